"""Records become events, or say why they cannot; nothing in a record stops a partition."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import msgpack
import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from segstream.core.dead_letters import dead_letter
from segstream.core.events import MAX_DEPTH, MAX_VALUE, Event, decode, home, raw_id
from segstream.core.partitioning import murmur2
from segstream.core.records import LogRecord, Rejected
from segstream_schemas import DeadLetter, RejectionReason
from segstream_schemas import Event as EventModel
from segstream_schemas.events import EventShape, well_formed
from segstream_schemas.times import LATEST

ARRIVAL = 865_987_201_000  # 1997-06-11T00:00:01Z
MINUTE = 60_000

TRACK: dict[str, Any] = {
    "messageId": "m1",
    "type": "track",
    "event": "Order Completed",
    "userId": "00042",
    "timestamp": "1997-06-11T00:00:00.000Z",
    "properties": {"revenue": 25.5, "quantity": 2},
}


def record(value: bytes | None, **other: Any) -> LogRecord:
    """Return a record at a fixed place with this value."""
    return LogRecord("events", 2, 17, ARRIVAL, b"00042", value)._replace(**other)


def encoded(**changed: Any) -> bytes:
    """Return the track event with some fields changed; those set to ``...`` are left out."""
    return json.dumps({key: value for key, value in (TRACK | changed).items() if value is not ...}).encode()


def decoded(value: bytes | None) -> Event:
    """Decode what must be valid."""
    outcome = decode(record(value), max_clock_skew=MINUTE)
    assert isinstance(outcome, Event), outcome
    return outcome


def rejected(value: bytes | None) -> Rejected:
    """Decode what must be refused."""
    outcome = decode(record(value), max_clock_skew=MINUTE)
    assert isinstance(outcome, Rejected), outcome
    return outcome


# --- what is taken ------------------------------------------------------------------------------------------


def test_an_event_is_read_with_all_its_fields() -> None:
    """User, time, id, type and name are drawn out, and the whole document is kept."""
    event = decoded(encoded(plan="gold"))
    assert event == Event(
        "00042", ARRIVAL - 1_000, "m1", "track", "Order Completed", TRACK | {"plan": "gold"}
    )


def test_a_record_of_aiokafka_is_taken_as_it_stands() -> None:
    """The consumer's own records fit, so none is copied on the hot path."""
    value = encoded()
    theirs: ConsumerRecord[bytes, bytes] = ConsumerRecord(
        "events", 2, 17, ARRIVAL, 0, b"00042", value, None, 5, len(value), ()
    )
    assert decode(theirs, max_clock_skew=MINUTE) == decoded(value)


def test_numeric_ids_become_strings() -> None:
    """``userId``, ``anonymousId`` and ``messageId`` may be integers, nought included."""
    event = decoded(encoded(userId=0, messageId=17))
    assert (event.user, event.message_id) == ("0", "17")
    assert decoded(encoded(userId=None, anonymousId=7)).user == "anon:7"


@pytest.mark.parametrize("user", [..., None, ""])
def test_without_a_user_id_the_anonymous_id_names_the_user(user: object) -> None:
    """Absent, null and empty mean the same; the prefix keeps the two kinds of id apart."""
    event = decoded(encoded(userId=user, anonymousId="7c9e"))
    assert event.user == "anon:7c9e"
    assert raw_id(event.user) == "7c9e"


@pytest.mark.parametrize("message_id", [..., None, ""])
def test_without_a_message_id_the_place_in_the_log_is_the_id(message_id: object) -> None:
    """It is ``topic-partition-offset``, the same at every delivery."""
    assert decoded(encoded(messageId=message_id)).message_id == "events-2-17"


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_pages_and_screens_are_named_by_their_name(kind: str) -> None:
    """``name`` may be absent."""
    assert decoded(encoded(type=kind, name="Home", event=...)).name == "Home"
    assert decoded(encoded(type=kind, event=...)).name is None


@pytest.mark.parametrize("kind", ["identify", "group", "alias"])
def test_other_types_have_no_name(kind: str) -> None:
    """Even when the document happens to hold one."""
    assert decoded(encoded(type=kind, name="x")).name is None


@pytest.mark.parametrize("field", ["properties", "traits", "context", "timestamp", "sentAt", "name"])
def test_null_counts_as_absent(field: str) -> None:
    """A null never makes an event bad."""
    decoded(encoded(**{field: None}))


def test_of_duplicate_keys_the_last_counts() -> None:
    """As in every common JSON parser."""
    assert decoded(b'{"type": "page", "userId": "a", "userId": "b"}').user == "b"


@pytest.mark.parametrize(
    "text",
    [
        "1997-06-11T00:00:00Z",
        "1997-06-11T02:00:00.0009+02:00",
        "1997-06-11 00:00",
        "1997-06-11",
        "19970611T000000Z",
    ],
)
def test_a_timestamp_is_any_iso_8601_text(text: str) -> None:
    """Without a zone it is UTC; parts below a millisecond are cut off."""
    assert decoded(encoded(timestamp=text)).at == ARRIVAL - 1_000


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (
            {
                "timestamp": "00:00:10",
                "originalTimestamp": "00:00:20",
                "sentAt": "00:00:21",
                "receivedAt": "00:00:09",
            },
            10,
        ),
        ({"originalTimestamp": "00:00:20", "sentAt": "00:00:23", "receivedAt": "00:00:09"}, 6),
        ({"originalTimestamp": "00:00:20", "sentAt": "00:00:23"}, 20),
        ({"originalTimestamp": "00:00:20"}, 20),
        ({"sentAt": "00:00:23", "receivedAt": "00:00:09"}, 1),
        ({}, 1),
    ],
)
def test_the_time_is_taken_in_the_order_of_the_contract(times: dict[str, str], seconds: int) -> None:
    """Timestamp, else receivedAt less how long it lay, else originalTimestamp, else the record's."""
    fields = {name: f"1997-06-11T{clock}Z" for name, clock in times.items()}
    assert decoded(encoded(**({"timestamp": ...} | fields))).at == ARRIVAL - 1_000 + seconds * 1_000


def test_times_that_are_not_used_need_not_be_readable() -> None:
    """An event with a good timestamp is not lost for a bad ``sentAt``."""
    assert decoded(encoded(sentAt="yesterday")).at == ARRIVAL - 1_000


def test_nesting_up_to_the_limit_is_taken() -> None:
    """Thirty-two levels, the event itself the first; brackets in texts and side by side do not count."""
    deepest = json.loads("[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2))
    decoded(encoded(properties={"x": deepest, "wide": [[]] * 500, "text": "{[" * 500}))


def test_integers_beyond_64_bits_are_floats() -> None:
    """So whatever a document holds can be kept in a state."""
    amount = decoded(encoded(properties={"amount": 10**30})).document["properties"]["amount"]
    assert isinstance(amount, float)
    assert amount == 1e30


def test_a_value_of_exactly_256_kib_is_taken() -> None:
    """The limit is the last size that is allowed."""
    value = encoded()
    decoded(value + b" " * (MAX_VALUE - len(value)))


def test_an_event_may_be_later_than_its_arrival_by_the_skew() -> None:
    """To the millisecond."""
    at = decoded(encoded(timestamp="1997-06-11T00:01:01.000Z")).at
    assert at == ARRIVAL + MINUTE


# --- what is refused ----------------------------------------------------------------------------------------

NESTED = b'{"type": "page", "userId": 1, "properties": %s}'

BAD = {
    "no value": (None, "null_value", ""),
    "over 256 KiB": (b" " * (MAX_VALUE + 1), "too_large", ""),
    "Latin-1": ('{"type": "page", "userId": "Jörg"}'.encode("latin-1"), "not_utf8", "byte 29"),
    "UTF-16": (encoded().decode().encode("utf-16"), "not_utf8", "byte 0"),
    "empty": (b"", "not_json", "line 1 column 1"),
    "cut off": (encoded()[:-1], "not_json", f"line 1 column {len(encoded())}"),
    "plain text": (b"hello", "not_json", "line 1 column 1"),
    "second document": (b'{"type": "page"}\n{}', "not_json", "line 2 column 1"),
    "NaN": (encoded(properties={"x": float("nan")}), "not_json", None),
    "infinity": (NESTED % b'{"x": 1e999}', "not_json", "line 1 column 51"),
    "endless integer": (NESTED % (b'{"x": ' + b"9" * 5_000 + b"}"), "not_json", "line 1 column 51"),
    "lone surrogate": (b'{"type": "page", "userId": "\\ud800"}', "not_json", None),
    "list": (b"[]", "not_an_object", ""),
    "text": (b'"track"', "not_an_object", ""),
    "null": (b"null", "not_an_object", ""),
    "33 levels of lists": (NESTED % (b'{"x": ' + b"[" * 31 + b"]" * 31 + b"}"), "too_deep", ""),
    "33 levels of objects": (NESTED % (b'{"x":' * 32 + b"1" + b"}" * 32), "too_deep", ""),
    "endless nesting": (b"[" * 200_000, "too_deep", ""),
    "no type": (encoded(type=...), "missing_field", "type"),
    "track without event": (encoded(event=...), "missing_field", "event"),
    "track with empty event": (encoded(event=""), "missing_field", "event"),
    "unknown type": (encoded(type="Track"), "unknown_type", "type"),
    "type null": (encoded(type=None), "wrong_type", "type"),
    "type a list": (encoded(type=["track"]), "wrong_type", "type"),
    "event a number": (encoded(event=5), "wrong_type", "event"),
    "user a truth": (encoded(userId=True), "wrong_type", "userId"),
    "user a fraction": (encoded(userId=1.5), "wrong_type", "userId"),
    "user an object": (encoded(userId={"id": 1}), "wrong_type", "userId"),
    "anonymous user a list": (encoded(anonymousId=[1]), "wrong_type", "anonymousId"),
    "message id a truth": (encoded(messageId=False), "wrong_type", "messageId"),
    "properties a list": (encoded(properties=[1]), "wrong_type", "properties"),
    "traits a text": (encoded(traits="gold"), "wrong_type", "traits"),
    "context a number": (encoded(context=1), "wrong_type", "context"),
    "timestamp a number": (encoded(timestamp=865_987_200_000), "wrong_type", "timestamp"),
    "no user": (encoded(userId=...), "no_user", "userId"),
    "empty ids": (encoded(userId="", anonymousId=""), "no_user", "userId"),
    "user of 513 bytes": (encoded(userId="é" * 256 + "x"), "bad_id", "userId"),
    "message id of 513 bytes": (encoded(messageId="x" * 513), "bad_id", "messageId"),
    "NUL in the user": (encoded(userId="a\0b"), "bad_id", "userId"),
    "newline in the anonymous user": (encoded(userId="", anonymousId="é\n"), "bad_id", "anonymousId"),
    "user with the reserved prefix": (encoded(userId="anon:7"), "bad_id", "userId"),
    "unreadable timestamp": (encoded(timestamp="yesterday"), "bad_timestamp", "timestamp"),
    "empty timestamp": (encoded(timestamp=""), "bad_timestamp", "timestamp"),
    "year 0": (encoded(timestamp="0000-01-01T00:00:00Z"), "bad_timestamp", "timestamp"),
    "year 1 less an hour": (encoded(timestamp="0001-01-01T00:00:00+01:00"), "bad_timestamp", "timestamp"),
    "year 10000": (encoded(timestamp="9999-12-31T23:59:59-01:00"), "bad_timestamp", "timestamp"),
    "unreadable receivedAt": (
        encoded(timestamp=..., originalTimestamp="1997-06-11", sentAt="1997-06-11", receivedAt="now"),
        "bad_timestamp",
        "receivedAt",
    ),
    "times that add up to year -1995": (
        encoded(timestamp=..., originalTimestamp="0001-01-01", sentAt="1997-06-11", receivedAt="0001-01-01"),
        "bad_timestamp",
        "originalTimestamp",
    ),
    "too far ahead": (encoded(timestamp="1997-06-11T00:01:01.001Z"), "future_timestamp", "timestamp"),
}


@pytest.mark.parametrize(("value", "reason", "where"), BAD.values(), ids=BAD)
def test_a_bad_record_is_refused_with_its_reason_and_place(
    value: bytes | None, reason: str, where: str | None
) -> None:
    """Every kind of bad record has a code, a message in a sentence, and where possible a place."""
    refusal = rejected(value)
    assert refusal.reason == reason
    assert refusal.message.endswith(".")
    if where is not None:
        assert refusal.where == where


def test_every_reason_the_decoder_may_give_is_shown_above() -> None:
    """The others are given to what was forwarded, and to control records."""
    shown = {reason for _, reason, _ in BAD.values()}
    assert {reason.value for reason in RejectionReason} == shown | {
        "misplaced",
        "not_forwarded",
        "unexpected_control",
    }


@pytest.mark.parametrize(
    "field", ["userId", "messageId", "timestamp", "properties", "type", "event", "sentAt"]
)
def test_a_message_quotes_no_value_of_the_event(field: str) -> None:
    """Values may be personal data, and dead letters are read by many."""
    private = "jane@example.com"
    for value in ([private], {private: private}, private + "\n"):
        outcome = decode(record(encoded(**{field: value})), max_clock_skew=MINUTE)
        assert not isinstance(outcome, Rejected) or private not in outcome.message + outcome.where


def test_a_record_without_any_usable_time_is_refused() -> None:
    """Neither the event nor its record says when."""
    for arrival in (10**18, -(10**18)):
        outcome = decode(record(encoded(timestamp=...), timestamp=arrival), max_clock_skew=MINUTE)
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "bad_timestamp"


def test_a_user_belongs_where_the_raw_id_is_placed() -> None:
    """Without the prefix of anonymous users."""
    assert home("7c9e", 4, murmur2) == home("anon:7c9e", 4, murmur2) == murmur2(b"7c9e", 4)


# --- whatever comes -----------------------------------------------------------------------------------------

integers = st.integers(-(2**63), 2**64 - 1)
scalars = (
    st.none()
    | st.booleans()
    | integers
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
fields = st.sampled_from(
    [*EventModel.model_fields, "userId", "anonymousId", "messageId", "sentAt", "receivedAt"]
)
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.text(max_size=30)


@given(st.binary())
@example(b'{"type":"page","userId":"\xed\xa0\x80"}')
@example(b"\xef\xbb\xbf{}")
def test_no_bytes_make_it_fail(value: bytes) -> None:
    """Arbitrary bytes are refused or taken, and the dead letter holds them all."""
    outcome = decode(record(value), max_clock_skew=MINUTE)
    if isinstance(outcome, Rejected):
        letter = DeadLetter.model_validate_json(dead_letter(record(value), outcome))
        assert b64decode(letter.value or "") == value


@given(st.data())
def test_no_mutation_of_an_event_makes_it_fail(data: st.DataObject) -> None:
    """Bytes cut out, put in and altered anywhere in a valid event."""
    value = bytearray(encoded())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(value)))
        value[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    decode(record(bytes(value)), max_clock_skew=MINUTE)


@given(st.dictionaries(fields | st.text(max_size=12), documents | times, max_size=6))
@settings(max_examples=300)
def test_worker_and_public_model_give_one_verdict(changed: dict[str, Any]) -> None:
    """The worker takes an event, its clock aside, exactly if it passes `segstream_schemas.Event`."""
    document = TRACK | changed
    outcome = decode(record(json.dumps(document).encode(), timestamp=LATEST), max_clock_skew=0)
    try:
        EventModel.model_validate(document)
    except ValidationError:
        assert isinstance(outcome, Rejected)
    else:
        assert isinstance(outcome, Event)
        assert outcome.document == document


@given(documents | st.integers() | st.floats())
def test_whatever_a_document_holds_can_be_kept_in_a_state(content: object) -> None:
    """States are msgpack, which takes integers of 64 bits and valid Unicode only."""
    outcome = decode(record(encoded(properties={"x": content})), max_clock_skew=MINUTE)
    if isinstance(outcome, Event):
        assert msgpack.unpackb(msgpack.packb(outcome.document), strict_map_key=False) == outcome.document


FIELDS = sorted(field.alias or name for name, field in EventShape.model_fields.items())
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({})),
    st.sampled_from(["track", "page", "identify"]),
)


@given(
    st.one_of(st.dictionaries(st.sampled_from([*FIELDS, "plan"]), VALUES, max_size=4), VALUES), st.booleans()
)
def test_the_quick_look_at_an_events_shape_is_the_models(document: Any, typed: bool) -> None:  # noqa: FBT001 - drawn
    """What passes `well_formed` is what `EventShape` takes, whatever the fields hold."""
    if typed and isinstance(document, dict):
        document["type"] = "track"
    try:
        EventShape.model_validate(document)
    except ValidationError:
        assert not well_formed(document)
    else:
        assert well_formed(document)
