"""Records that Kafka's own client cannot unpack: read all the same, or named with their place, and nothing skipped."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import gzip_encode
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from segstream.adapters.kafka.records import Unreadable, next_records, read_any_record, take_unreadable
from segstream.errors import ServerError

HERE = TopicPartition("events", 3)
NONE, GZIP = 0, 1
HEAD = 61  # bytes of a batch before its records
ABORT = struct.pack(">HH", 0, 0)


@pytest.fixture(autouse=True)
def _any_record() -> None:
    read_any_record()


def summed(raw: bytearray) -> bytes:
    """Return a batch with the checksum that belongs to it."""
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def batch(
    first: int,
    *records: tuple[bytes, Sequence[tuple[str, bytes | None]]],
    producer: int = -1,
    control: bool = False,
) -> bytes:
    """Return a batch of (value, headers) that begins at an offset; a producer's is part of a transaction."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=NONE,
        is_transactional=int(producer >= 0),
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for number, (value, headers) in enumerate(records):
        key = ABORT if control else b"key"
        builder.append(number, timestamp=1_000 + number, key=key, value=value, headers=list(headers))
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, first)
    raw[22] |= 0x20 if control else 0
    return summed(raw)


def old(first: int, *values: bytes, magic: int = 1) -> bytes:
    """Return records as brokers wrote them before 0.11: each its own batch."""
    made = b""
    for number, value in enumerate(values):
        builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
        builder.append(0, timestamp=500, key=b"key", value=value)
        raw = bytearray(builder.build())
        struct.pack_into(">q", raw, 0, first + number)
        made += bytes(raw)
    return made


def spoilt(part: bytes, found: bytes, instead: bytes) -> bytes:
    """Return a batch with some bytes replaced, as a producer might have sent it."""
    raw = bytearray(part)
    place = raw.index(found)
    raw[place : place + len(found)] = instead
    return summed(raw)


def not_utf8(part: bytes) -> bytes:
    """Return a batch in which header ``AB`` has a name that is no text."""
    return spoilt(part, b"AB", b"\xff\xfe")


class Assignment:
    """What is assigned: one partition, and how far it has been handed over."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _there: TopicPartition) -> Assignment:
        """Return the partition's part."""
        return self

    def consumed_to(self, position: int) -> None:
        """Note how far."""
        self.position = position


def hand_over(data: bytes, at: int, aborted: Sequence[tuple[int, int]] = ()) -> tuple[list[Any], int]:
    """Return what one fetch hands over, and the next offset to fetch, as aiokafka does it."""
    there = Assignment(at)
    options = (None, None, True, READ_COMMITTED)
    records = fetcher.PartitionRecords(HERE, fetcher.MemoryRecords(data), list(aborted), at, *options)
    found = FetchResult(HERE, assignment=there, partition_records=records, backoff=0).getall()
    return found, there.position


def told(records: Sequence[Any]) -> list[tuple[int, bytes]]:
    """Return offsets and values."""
    return [(record.offset, record.value) for record in records]


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_a_header_whose_name_is_no_text_does_not_hold_up_its_record_nor_others(compression: int) -> None:
    """The records before it, itself with the bytes escaped, and those behind it, in order."""
    before = batch(0, (b"a", ()), (b"b", [("trace", b"1")]))
    raw = bytearray(not_utf8(batch(2, (b"c", [("AB", b"v"), ("nothing", None)]), (b"d", ()))))
    if compression == GZIP:
        raw[HEAD:] = gzip_encode(bytes(raw[HEAD:]))
        raw[22] |= GZIP
        struct.pack_into(">i", raw, 8, len(raw) - 12)
    found, position = hand_over(before + summed(raw) + batch(4, (b"e", [("after", b"2")])), 0)
    assert told(found) == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]
    assert [record.headers for record in found] == [
        (),
        (("trace", b"1"),),
        (("\\xff\\xfe", b"v"), ("nothing", None)),
        (),
        (("after", b"2"),),
    ]
    assert [record.timestamp for record in found] == [1_000, 1_001, 1_000, 1_001, 1_000]
    assert position == 5


def test_what_was_aborted_stays_out_when_a_log_is_unpacked_once_more() -> None:
    """A transaction that was given up before such a record, and one behind it, are passed over both."""
    data = (
        batch(0, (b"aborted", ()), producer=7)
        + batch(1, (b"", ()), producer=7, control=True)
        + batch(2, (b"kept", ()), producer=7)
        + not_utf8(batch(3, (b"odd", [("AB", b"v")])))
        + batch(4, (b"aborted too", ()), producer=8)
        + batch(5, (b"", ()), producer=8, control=True)
        + batch(6, (b"last", ()))
    )
    found, position = hand_over(data, 0, aborted=[(7, 0), (8, 4)])
    assert told(found) == [(2, b"kept"), (3, b"odd"), (6, b"last")]
    assert position == 7


def test_fetching_may_begin_in_the_middle_of_such_a_batch() -> None:
    """What was handed over before is not handed over again."""
    data = not_utf8(batch(10, (b"a", ()), (b"b", [("AB", b"v")]), (b"c", ())))
    assert told(hand_over(data, 12)[0]) == [(12, b"c")]
    assert told(hand_over(data, 11)[0]) == [(11, b"b"), (12, b"c")]


def test_batches_of_two_formats_in_one_fetch_are_all_read() -> None:
    """An upgrade of old brokers leaves them; the client takes the first one's format for that of all."""
    parts = [old(0, b"a"), old(1, b"b"), batch(2, (b"c", ()))]
    seen: list[Any] = []
    position = 0
    for _ in range(2):  # at most two fetches, each from where the last one ended
        found, position = hand_over(b"".join(parts[position:]), position)
        seen += found
        if position == len(parts):
            break
    assert told(seen) == [(0, b"a"), (1, b"b"), (2, b"c")]


def test_a_record_from_before_there_were_times_has_the_time_that_means_none() -> None:
    """As with Kafka's other clients: the clock leaves it alone."""
    found, _ = hand_over(old(0, b"a", magic=0), 0)
    assert [(record.value, record.timestamp) for record in found] == [(b"a", -1)]


def damaged(part: bytes) -> bytes:
    """Return a batch with a bit turned over, under the old checksum."""
    return part[:-1] + bytes([part[-1] ^ 1])


def coded(part: bytes) -> bytes:
    """Return a batch that says it is compressed in a way that nobody knows."""
    raw = bytearray(part)
    raw[22] |= 5
    return summed(raw)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (
            damaged,
            r"[^)]*Invalid CRC.*disk.*`segstream reset --partition 3 --topic events --keep-state --to 4`",
        ),
        (coded, r"[^)]*Unknown compression codec 0x05\); install cramjam"),
    ],
    ids=["damaged", "unknown compression"],
)
def test_what_nobody_can_unpack_is_named_with_its_place_and_not_skipped(
    spoil: Callable[[bytes], bytes], why: str
) -> None:
    """First what is before it; then, fetched from there, a stand-in that raises whatever is asked of it."""
    bad = spoil(batch(2, (b"c", [("AB", b"v")]), (b"d", [("AB", b"v")])))
    found, position = hand_over(batch(0, (b"a", ()), (b"b", ())) + bad + batch(4, (b"e", ())), 0)
    assert told(found) == [(0, b"a"), (1, b"b")]
    assert position == 2
    stopped, position = hand_over(bad + batch(4, (b"e", ())), 2)
    assert position == 2
    assert [(one.topic, one.partition, one.offset) for one in stopped] == [("events", 3, 2)]
    with pytest.raises(ServerError, match=rf"^events-3, offset 2: cannot be read \({why}"):
        _ = stopped[0].value


def test_a_lenient_look_takes_no_bytes_that_are_not_there() -> None:
    """A header that would end behind its batch is no shorter header: the record is damaged."""
    plain = batch(2, (b"c", [("AB", b"v")]), (b"d", [("CD", b"v")]))
    bad = spoilt(not_utf8(plain), b"CD\x02v", b"CD\x7ev")
    found, position = hand_over(bad, 2)
    assert (told(found), position) == ([(2, b"c")], 3)
    (stopped,), _ = hand_over(bad, position)
    with pytest.raises(ServerError, match=r"^events-3, offset 3: .*Found invalid record structure.*--to 4`"):
        _ = stopped.value


class Consumer:
    """A consumer that is given what it fetches."""

    def __init__(self, found: dict[TopicPartition, list[Any]]) -> None:
        self._found = found

    async def getmany(self, *_partitions: TopicPartition, **_options: object) -> Any:
        """Return it."""
        return self._found


async def test_a_reader_gets_what_is_before_it_and_then_the_error() -> None:
    """What came with it of other logs is not lost without a word: the reader ends."""
    elsewhere = TopicPartition("events", 4)
    stop = Unreadable(HERE, 2, 3, ValueError("no\nway"))
    found: dict[TopicPartition, list[Any]] = {HERE: ["a", stop], elsewhere: ["b"]}
    assert await next_records(Consumer(found), timeout_ms=1) == {HERE: ["a"], elsewhere: ["b"]}
    with pytest.raises(ServerError, match=r"events-3, offset 2: cannot be read \(no way\)"):
        await next_records(Consumer({HERE: [stop], elsewhere: ["b"]}), timeout_ms=1)
    found = {HERE: [stop], elsewhere: ["b"]}
    assert take_unreadable(found) == {HERE: stop}
    assert found == {elsewhere: ["b"]}
