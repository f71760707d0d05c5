"""Dead letters taken up again: what is inside, and where it went wrong."""

from __future__ import annotations

import orjson
import pytest

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.letters import Mark
from segstream.adapters.kafka.replays import Replay, Tally, Target
from segstream.adapters.kafka.survey import Found
from segstream.core.dead_letters import dead_letter
from segstream.core.events import decode
from segstream.core.letters import REPLAYED_HEADER, Letter, Wanted, excerpt, letter_in, mark, original, shown
from segstream.core.partitioning import murmur2
from segstream.core.records import LogRecord, Rejected
from segstream_schemas import DeadLetter, RejectionReason
from tests.mutations import mutated

WRONG = Rejected(RejectionReason.BAD_TIMESTAMP, "Write it otherwise.", "timestamp")


def letter_of(record: LogRecord, wrong: Rejected = WRONG, *, offset: int = 0, at: int = 1_000) -> Letter:
    """Return the letter of a record, as it is read from the topic."""
    return Letter(record.partition, offset, at, DeadLetter.model_validate_json(dead_letter(record, wrong)))


def test_the_record_inside_is_the_one_that_was_sent() -> None:
    """Bytes for bytes, whatever they are; None stays None."""
    for number in range(300):
        record = mutated(1, number, "u1", 10**12)
        inside = original(letter_of(record).content)
        assert (inside.key, inside.value, inside.headers) == (record.key, record.value, tuple(record.headers))


def test_letters_are_chosen_by_all_that_is_asked() -> None:
    """Each filter leaves others out; what is left open lets all pass."""
    letter = letter_of(LogRecord("events", 2, 17, 0, b"00042", b"{}"), at=5_000)
    for fitting in (
        Wanted(),
        Wanted({"bad_timestamp", "not_json"}),
        Wanted(topic="events", key="00042"),
        Wanted(since=5_000, until=5_001),
    ):
        assert fitting.fits(letter)
    for other in (
        Wanted({"not_json"}),
        Wanted(topic="crm"),
        Wanted(key="42"),
        Wanted(since=5_001),
        Wanted(until=5_000),
    ):
        assert not other.fits(letter)


def test_a_record_is_known_by_its_place_and_bytes_and_not_by_its_letter() -> None:
    """Told twice it is the same; in a topic created anew another record has its place."""
    record = LogRecord("events", 2, 17, 0, b"00042", b"{}")
    known = mark(letter_of(record))
    assert mark(letter_of(record, offset=9, at=9)) == known
    others = [
        record._replace(offset=18),
        record._replace(partition=1),
        record._replace(topic="crm"),
        record._replace(value=b""),
    ]
    others += [record._replace(value=None), record._replace(key=b"0004"), record._replace(key=None)]
    assert len({known, *(mark(letter_of(other)) for other in others)}) == 1 + len(others)


def test_a_mark_is_read_as_it_was_written() -> None:
    """Its key names the record for a person who looks into the topic."""
    found = Mark.of(letter_of(LogRecord("events", 2, 17, 0, b"00042", b"{}"), offset=4))
    assert Mark.decode(found.encode()) == found
    assert found.key.startswith(b"events-2-17-")
    assert (found.origin, found.letter) == (("events", 2, 17), (2, 4))


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (b'{"a": 1,\n "b": nope}', [' "b": nope}', "      ^"]),
        (b'{"user": "caf\xe9 noir"}', ['{"user": "caf\\xe9 noir"}', "             ^"]),
        (b'{"type": "page", "userId": "anon:x"}', ['userId: "anon:x"']),
        (b'{"type": "page"}', []),
        (b"", ["", "^"]),
        (None, []),
    ],
)
def test_the_place_that_a_letter_names_is_shown(value: bytes | None, lines: list[str]) -> None:
    """With a caret where there is a line and column or a byte, as the field where there is one."""
    rejected = decode(LogRecord("events", 0, 0, 10**12, None, value), max_clock_skew=0)
    assert isinstance(rejected, Rejected)
    assert list(excerpt(value, rejected.where)) == lines


def test_showing_the_place_never_fails() -> None:
    """Whatever was sent; and lines stay short."""
    for number in range(2_000):
        record = mutated(2, number, "u1", 10**12)
        rejected = decode(record, max_clock_skew=0)
        if isinstance(rejected, Rejected):
            assert all(len(line) < 500 for line in excerpt(record.value, rejected.where))
            assert len(shown(record.value)) < 5_000


@pytest.mark.parametrize(
    "where",
    [
        "line 9 column 1",
        "line 0 column 0",
        "line 2 column 1",
        f"line {'9' * 5000} column 1",
        f"byte {'9' * 5000}",
    ],
)
def test_a_place_that_a_record_does_not_have_is_not_shown(where: str) -> None:
    """A letter that somebody else wrote may name any."""
    assert list(excerpt(b'{"type": 5}', where)) in ([], ["", "^"])


@pytest.mark.parametrize("part", ["value", "key", "headers"])
@pytest.mark.parametrize("text", ["abc", "@@@@", "aGVs bG8=", "é"])
def test_a_letter_whose_record_cannot_be_taken_out_is_none(part: str, text: str) -> None:
    """So it is found where letters are read, and named; it does not end what reads them."""
    content = letter_of(LogRecord("events", 2, 17, 0, b"00042", b"{}", (("trace", b"x"),))).content
    assert letter_in(content.model_dump_json().encode()) == content
    wrong = {part: [["trace", text]] if part == "headers" else text}
    with pytest.raises(ValueError, match=r"base64|padding|ASCII|Base64|data"):
        letter_in(orjson.dumps(content.model_dump(mode="json") | wrong))


def replay_of(*marks: Mark) -> Replay:
    """Return a replay that has read marks."""
    target = Target("segment-dead-letters", ("events",), murmur2, "segstream-dead-letters")
    replay = Replay(KafkaSettings(), target, Wanted(), lambda _done, _total: None)
    replay._topics = {"events": Found(2, 1, {})}
    replay._known = {found.known_by for found in marks}
    return replay


def test_a_record_told_twice_is_sent_once_and_not_counted_as_sent_before() -> None:
    """That it is only when a mark says so; and then once, as it was sent once."""
    record = LogRecord("events", 2, 17, 0, b"00042", b"{}")
    twice = [letter_of(record), letter_of(record, offset=9)]
    for replay, expected in (
        (replay_of(), ([True, False], 1, 0)),
        (replay_of(Mark.of(twice[0])), ([False, False], 0, 1)),
    ):
        tally = Tally()
        sendable = [replay._sendable(letter, tally) for letter in twice]
        assert (sendable, tally.sent.total(), tally.before) == expected


def test_a_record_sent_again_says_where_its_last_letter_lies() -> None:
    """Its own headers stay, and an earlier such header goes: it names the letter of another record."""
    headers = (("trace", b"x"), (REPLAYED_HEADER, b"segment-dead-letters-2-3"), ("none", b""))
    record = LogRecord("events", 2, 17, 0, b"00042", b"{}", headers)
    target = Target("segment-dead-letters", ("events",), murmur2, "segstream-dead-letters")
    replay = Replay(KafkaSettings(), target, Wanted(), lambda _done, _total: None)
    sent = replay._again(letter_of(record, offset=9))
    assert sent.headers == (("trace", b"x"), ("none", b""), (REPLAYED_HEADER, b"segment-dead-letters-2-9"))
    assert (sent.key, sent.value) == (b"00042", b"{}")
