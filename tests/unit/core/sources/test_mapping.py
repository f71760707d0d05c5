"""Documents of sources as events: the same as if somebody had written them by hand, or a reason why not."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.definitions import read_definitions
from segstream.core.events import Event, decode
from segstream.core.records import LogRecord, Rejected
from segstream.core.sources import PathError, compile_path
from segstream.core.sources.paths import MAX_COPIES
from segstream.core.time import format_time
from tests.unit.flow.worlds import START

MINUTE = 60_000


def decoded(source: str, document: Any, *, arrival: int = START) -> Event | Rejected:
    """Return what becomes of a document of a source, which is written in YAML."""
    (mapping,) = read_definitions(f"version: 1\nsources: {{crm: {source}}}\n").mappings.values()
    value = document if isinstance(document, bytes) else orjson.dumps(document)
    record = LogRecord("crm", 3, 17, arrival, b"whatever", value)
    return decode(record, max_clock_skew=MINUTE, mapping=mapping)


def by_hand(document: dict[str, Any], *, arrival: int = START) -> Event | Rejected:
    """Return what becomes of an event of the Segment spec."""
    return decode(
        LogRecord("crm", 3, 17, arrival, b"whatever", orjson.dumps(document)), max_clock_skew=MINUTE
    )


# what it is -> (the source, its document, the event by hand)
SAME: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "a row of a CRM": (
        "{type: identify, user: customer.id, timestamp: updated, traits: {country: address.country, income: income}}",
        {
            "customer": {"id": 42},
            "updated": "2020-09-13T12:26:40Z",
            "address": {"country": "NO"},
            "income": 51000,
        },
        {
            "type": "identify",
            "userId": 42,
            "timestamp": "2020-09-13T12:26:40Z",
            "traits": {"country": "NO", "income": 51000},
        },
    ),
    "an answer to a survey": (
        "{type: track, event: Survey Answered, user: respondent, message_id: answer, properties: {score: nps}}",
        {"respondent": "ada", "answer": "a-7", "nps": 9},
        {
            "type": "track",
            "event": "Survey Answered",
            "userId": "ada",
            "messageId": "crm:a-7",
            "properties": {"score": 9},
        },
    ),
    "a ticket whose kind is in it": (
        "{type: track, event_from: \"join(' ', ['Ticket', kind])\", user: requester.email || requester.id}",
        {"kind": "Opened", "requester": {"id": 7}},
        {"type": "track", "event": "Ticket Opened", "userId": 7},
    ),
    "a visit of somebody unknown": (
        "{type: page, name_from: path, user: account, anonymous: cookie}",
        {"account": "", "cookie": "7c9e", "path": "/pricing"},
        {"type": "page", "name": "/pricing", "anonymousId": "7c9e"},
    ),
    "a visit without a name": (
        "{type: page, name_from: path, user: account}",
        {"account": "ada"},
        {"type": "page", "userId": "ada"},
    ),
    "a screen": (
        "{type: screen, name: Checkout, user: id}",
        {"id": "ada"},
        {"type": "screen", "name": "Checkout", "userId": "ada"},
    ),
    "seconds since 1970": (
        "{type: identify, user: id, timestamp: t, timestamp_unit: s}",
        {"id": "ada", "t": 1_599_999_999.25},
        {"type": "identify", "userId": "ada", "timestamp": "2020-09-13T12:26:39.250Z"},
    ),
    "milliseconds since 1970": (
        "{type: identify, user: id, timestamp: t, timestamp_unit: ms}",
        {"id": "ada", "t": START},
        {"type": "identify", "userId": "ada", "timestamp": format_time(START)},
    ),
    "fields that are not there are left out": (
        "{type: identify, user: id, traits: {country: address.country, plan: plan, age: age}}",
        {"id": "ada", "address": "Oslo", "plan": None, "age": 0},
        {"type": "identify", "userId": "ada", "traits": {"age": 0}},
    ),
    "lists, objects and constants": (
        (
            "{type: track, event: Mentioned, user: id, properties: {tags: 'tags[].name', first: 'tags[0]', via: \"'social'\", "
            "n: 'length(tags)'}}"
        ),
        {"id": "ada", "tags": [{"name": "a"}, {"name": "b"}]},
        {
            "type": "track",
            "event": "Mentioned",
            "userId": "ada",
            "properties": {"tags": ["a", "b"], "first": {"name": "a"}, "via": "social", "n": 2},
        },
    ),
    "a number in a text": (
        "{type: identify, user: id, traits: {income: to_number(income)}}",
        {"id": "ada", "income": "51000.5"},
        {"type": "identify", "userId": "ada", "traits": {"income": 51000.5}},
    ),
    "no number in a text": (
        "{type: identify, user: id, traits: {income: to_number(income), wealth: to_number(wealth)}}",
        {"id": "ada", "income": "nan", "wealth": "much"},
        {"type": "identify", "userId": "ada", "traits": {"income": None}},
    ),
}


@pytest.mark.parametrize(("source", "document", "event"), SAME.values(), ids=SAME)
def test_a_document_is_the_event_that_one_would_write(
    source: str, document: Any, event: dict[str, Any]
) -> None:
    """The same user, time, message, type and name; the document of the event holds what is mapped and no more."""
    found = decoded(source, document)
    assert isinstance(found, Event), found
    assert found == by_hand(event)


# what it is -> (the source, its document, reason, where)
REFUSED: dict[str, tuple[str, Any, str, str]] = {
    "no user": ("{type: identify, user: customer.id}", {"customer": {}}, "no_user", "customer.id"),
    "an empty user": ("{type: identify, user: id}", {"id": ""}, "no_user", "id"),
    "neither user": (
        "{type: identify, user: id, anonymous: cookie}",
        {"id": None, "cookie": ""},
        "no_user",
        "id",
    ),
    "a user that is an object": (
        "{type: identify, user: customer}",
        {"customer": {}},
        "wrong_type",
        "customer",
    ),
    "a user that is half a number": ("{type: identify, user: id}", {"id": 4.2}, "wrong_type", "id"),
    "a user that is true": ("{type: identify, user: id}", {"id": True}, "wrong_type", "id"),
    "a user of more than 64 bits": (
        "{type: identify, user: to_number(id)}",
        {"id": "9" * 30},
        "wrong_type",
        "to_number(id)",
    ),
    "a user with a control character": (
        "{type: identify, user: who.id}",
        {"who": {"id": "a\n"}},
        "bad_id",
        "who.id",
    ),
    "a user that looks anonymous": ("{type: identify, user: id}", {"id": "anon:1"}, "bad_id", "id"),
    "a message that is a list": (
        "{type: identify, user: id, message_id: n}",
        {"id": "a", "n": [1]},
        "wrong_type",
        "n",
    ),
    "a message of more than 64 bits": (
        "{type: identify, user: id, message_id: to_number(n)}",
        {"id": "a", "n": "9" * 30},
        "wrong_type",
        "to_number(n)",
    ),
    "a message that is too long with its topic": (
        "{type: identify, user: id, message_id: n}",
        {"id": "a", "n": "x" * 509},
        "bad_id",
        "n",
    ),
    "no time": ("{type: identify, user: id, timestamp: t.at}", {"id": "a", "t": {}}, "bad_timestamp", "t.at"),
    "a time that is none": (
        "{type: identify, user: id, timestamp: t}",
        {"id": "a", "t": "yesterday"},
        "bad_timestamp",
        "t",
    ),
    "a number without a unit": (
        "{type: identify, user: id, timestamp: t}",
        {"id": "a", "t": 1_600_000_000},
        "bad_timestamp",
        "t",
    ),
    "a text with a unit": (
        "{type: identify, user: id, timestamp: t, timestamp_unit: s}",
        {"id": "a", "t": "1600000000"},
        "bad_timestamp",
        "t",
    ),
    "milliseconds taken for seconds": (
        "{type: identify, user: id, timestamp: t, timestamp_unit: s}",
        {"id": "a", "t": START},
        "bad_timestamp",
        "t",
    ),
    "a time beyond all calendars": (
        "{type: identify, user: id, timestamp: t, timestamp_unit: s}",
        {"id": "a", "t": 1e300},
        "bad_timestamp",
        "t",
    ),
    "a time to come": (
        "{type: identify, user: id, timestamp: t.at, timestamp_unit: ms}",
        {"id": "a", "t": {"at": START + MINUTE + 1}},
        "future_timestamp",
        "t.at",
    ),
    "no name": ("{type: track, event_from: kind, user: id}", {"id": "a"}, "missing_field", "kind"),
    "an empty name": (
        "{type: track, event_from: kind, user: id}",
        {"id": "a", "kind": ""},
        "missing_field",
        "kind",
    ),
    "a name that is a number": (
        "{type: track, event_from: kind, user: id}",
        {"id": "a", "kind": 3},
        "wrong_type",
        "kind",
    ),
    "a function that meets nothing": (
        "{type: identify, user: id, traits: {n: length(items)}}",
        {"id": "a"},
        "wrong_type",
        "length(items)",
    ),
    "no object": ("{type: identify, user: id}", [{"id": "a"}], "not_an_object", ""),
    "no JSON": ("{type: identify, user: id}", b"id;name", "not_json", "line 1 column 1"),
    "an event larger than a record may be": (
        "{type: identify, user: id, traits: {a: '[big, big]', b: big}}",
        {"id": "a", "big": "x" * 100_000},
        "too_large",
        "traits",
    ),
}


@pytest.mark.parametrize(("source", "document", "reason", "where"), REFUSED.values(), ids=REFUSED)
def test_a_document_that_cannot_be_an_event_is_refused(
    source: str, document: Any, reason: str, where: str
) -> None:
    """With a reason, the path in the document, and a sentence that quotes nothing of it."""
    found = decoded(source, document)
    assert isinstance(found, Rejected), found
    assert (found.reason, found.where) == (reason, where)
    assert found.message.endswith(".")
    assert "yesterday" not in found.message


def test_an_event_without_a_time_or_a_message_of_its_own_has_those_of_its_record() -> None:
    """As events of the spec have."""
    found = decoded("{type: identify, user: id}", {"id": "ada"}, arrival=START + 5)
    assert isinstance(found, Event)
    assert (found.at, found.message_id) == (START + 5, "crm-3-17")


def test_the_rows_of_two_tables_are_numbered_each_for_itself() -> None:
    """An id is one of its topic; none is taken for another topic's, nor for a place in Kafka."""
    text = """
version: 1
sources:
  crm: {type: track, event: Ticket, user: customer, message_id: id}
  surveys: {topic: crm-eu, type: track, event: Survey, user: customer, message_id: id}
"""
    mappings = read_definitions(text).mappings
    found = [
        decode(
            LogRecord(topic, 3, 17, START, None, orjson.dumps({"customer": "ada", **row})),
            max_clock_skew=MINUTE,
            mapping=mappings[topic],
        )
        for topic, row in (
            ("crm", {"id": 17}),
            ("crm-eu", {"id": 17}),
            ("crm", {"id": "eu-17"}),
            ("crm", {"id": "3-17"}),
            ("crm", {}),
        )
    ]
    messages = [event.message_id for event in found if isinstance(event, Event)]
    assert messages == ["crm:17", "crm-eu:17", "crm:eu-17", "crm:3-17", "crm-3-17"]


def test_what_a_path_makes_of_a_document_stays_in_proportion_to_it() -> None:
    """Of all that may be written the most: a separator as long as allowed, nested texts, a map in a map."""
    document = {"a": [""] * 30_000, "q": '"' * 100_000}
    size = len(orjson.dumps(document))
    for text in (
        "join('" + "-" * 189 + "', a)",
        "to_string([" * 6 + "q" + "])" * 6,
        "map(&[@,@], map(&[@,@,@], a))",
    ):
        assert len(orjson.dumps(compile_path(text).read(document))) <= MAX_COPIES * size
    for text in (
        "join('" + "-" * 190 + "', a)",
        "to_string([" * 7 + "q" + "])" * 7,
        "map(&[@,@]," * 7 + "a" + ")" * 7,
    ):
        with pytest.raises(PathError, match="repeats parts of the document more than 64 times"):
            compile_path(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
PATHS = st.sampled_from(
    """
    a | a.b | a.b.c | a[0] | a[*].b | a[].b | a.* | keys(a) | values(a) | length(a) | sum(a) | avg(a[]) | max(a) |
    min_by(a, &b) | sort(a) | sort_by(a, &b) | join('-', a) | to_number(a) | to_string(a) | to_array(a) | type(a) |
    a || b | a && b | not_null(c, b, a) | [a, b] | {x: a, y: b} | a[?b > `3`] | a[?contains(b, 'x')] | abs(a) | ceil(a) |
    floor(to_number(a)) | reverse(a) | merge(a, b) | map(&b, a) | a[::-1] | starts_with(a, b) | ends_with(a, 'x') | @ |
    a == b | !a | max_by(a, &c) | a[1:3] | "a" | 'x' | `{"a": [1]}`
    """.replace("\n", "").split(" | ")
).map(str.strip)


@given(
    document=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), VALUES, max_size=4),
    paths=st.tuples(*[PATHS] * 5),
)
@settings(max_examples=300, deadline=None)
def test_whatever_a_document_holds_a_mapping_yields_an_event_as_if_sent_or_a_reason(
    document: dict[str, Any], paths: tuple[str, ...]
) -> None:
    """Nothing raises; and the event is the one that its own document, sent as it is, would have been."""
    user, timestamp, message, *values = paths
    source = orjson.dumps(
        {
            "type": "identify",
            "user": "a" if compile_path(user).constant else user,
            "timestamp": timestamp,
            "message_id": "a" if compile_path(message).constant else message,
            "traits": {f"t{number}": path for number, path in enumerate(values)},
        }
    ).decode()
    found = decoded(source, document)
    if isinstance(found, Event):
        assert found == by_hand(found.document)
        assert found == decoded(source, document)
    else:
        assert found.message


@given(text=st.text("ab.[]()*&|!?@'`\"{}:,<>=- \\0n", max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_for_a_path_is_one_or_tells_what_is_wrong(text: str) -> None:
    """A place within the text and a message in one line."""
    wrong: PathError | None = None
    try:
        path = compile_path(text)
    except PathError as error:
        wrong = error
    else:
        assert compile_path(path.text).text == path.text
    if wrong is not None:
        assert 0 <= wrong.offset <= len(text)
        assert wrong.message
        assert "\n" not in wrong.message


def test_nested_paths_are_refused_before_they_take_long() -> None:
    """What is bounded cannot blow up, neither when it is read nor with a document."""
    started = time.process_time()
    for text in (
        "[@,@]|" * 80 + "[@,@]",
        "(" * 490 + "a",
        "[" * 250 + "a" + "]" * 250,
        "a." * 240 + "a",
        "!" * 480 + "a",
    ):
        try:
            compile_path(text[:500]).read({"a": 1})
        except PathError:
            continue
    assert time.process_time() - started < 10
