r"""Reading records whatever is in them: one that Kafka's client cannot unpack must not stop a worker.

aiokafka unpacks all that one fetch brings of a log as it hands it over. It takes the names of headers for UTF-8, which
Kafka leaves to producers, and raises for one that is not: at every start again, whatever else was fetched with it.
And an error in the middle loses what came before it in the same call, of other logs too. So its fetcher is given

- `_Kept` in place of its ``MemoryRecords``: the same with the bytes at hand, to unpack them once more;
- `_Partition` in place of its ``PartitionRecords``: after an error it goes on with the first record not handed over,
  and takes bytes in header names that are no text as escapes, ``\xff``.

What cannot be unpacked so either comes as an `Unreadable`, last of its log, and is fetched again at the next call.
`next_records` makes an error of it; the workers put the log off (see `segstream.adapters.fetcher`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from segstream.errors import ServerError

_MemoryRecords: Final = fetcher.MemoryRecords
_PartitionRecords: Final = fetcher.PartitionRecords

_BATCH: Final = struct.Struct(">qiibIhi")
"""What a batch begins with: base offset, length, leader's epoch, magic, checksum, attributes, last offset's delta."""

_OVERHEAD: Final = 12
"""Bytes of a batch that its length does not count."""

_MAGIC: Final = 16
"""Where a batch says in which format it is."""

_WITH_HEADERS: Final = 2
"""The format since Kafka 0.11; records of the first one (0) have no time."""


class Unreadable:
    """Stands for what cannot be unpacked at an offset; to look at it as a record raises its error.

    Parameters
    ----------
    there : TopicPartition
    offset : int
        The first offset that cannot be read.
    behind : int
        The first offset behind the batch.
    why : Exception
        As it was raised.
    """

    def __init__(self, there: TopicPartition, offset: int, behind: int, why: Exception) -> None:
        self.topic, self.partition = there
        self.offset, self.behind, self.why = offset, behind, why

    @property
    def error(self) -> ServerError:
        """What to say of it."""
        name = f"{self.topic}-{self.partition}"
        text = " ".join(str(self.why).split()) or type(self.why).__name__
        if isinstance(self.why, UnsupportedCodecError):
            return ServerError(
                f"{name}, offset {self.offset}: cannot be read ({text}); install cramjam where this program runs"
            )
        return ServerError(
            f"{name}, offset {self.offset}: cannot be read ({text}); have the broker's disk and replicas checked. If it "
            f"is lost, stop all workers and go on behind it: `segstream reset --partition {self.partition} --topic "
            f"{self.topic} --keep-state --to {self.behind}`"
        )

    def __getattr__(self, name: str) -> NoReturn:
        """Raise the error: a reader that does not know of this class must not take it for a record."""
        raise self.error


def take_unreadable(found: dict[TopicPartition, list[Any]]) -> dict[TopicPartition, Unreadable]:
    """Take out of what ``getmany`` returned all that stands for no record, and return it."""
    taken = {}
    for there, records in list(found.items()):
        if isinstance(records[-1], Unreadable):
            taken[there] = records.pop()
            if not records:
                del found[there]
    return taken


async def next_records(
    consumer: AIOKafkaConsumer, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
) -> dict[TopicPartition, list[Any]]:
    """Return the next records by partition, as ``getmany`` does.

    Raises
    ------
    ServerError
        What comes next of a log cannot be unpacked: names it and its offset. What is before it was returned before.
    """
    found: dict[TopicPartition, list[Any]] = await consumer.getmany(
        *partitions, timeout_ms=timeout_ms, max_records=max_records
    )
    for there, unreadable in take_unreadable(found).items():
        if there not in found:
            raise unreadable.error
    return found


def read_any_record() -> None:
    """Let all consumers of this process read any record; to be called before the first of them fetches."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = _Kept, _Partition


class _Kept(_MemoryRecords):  # type: ignore[misc, valid-type]  # aiokafka ships no types
    """What was fetched of a log."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class _Partition(_PartitionRecords):  # type: ignore[misc, valid-type]  # as above
    """The records in it, one after the other."""

    _records: _Kept | _LenientRecords
    _records_iterator: Iterator[Any]

    def __init__(
        self,
        tp: TopicPartition,
        records: _Kept,
        aborted_transactions: list[tuple[int, int]] | None,
        fetch_offset: int,
        *options: Any,
    ) -> None:
        self._begin, self._lenient = fetch_offset, False
        super().__init__(tp, records, aborted_transactions, fetch_offset, *options)
        if len(records.data) > _MAGIC and records.data[_MAGIC] == 0:
            self._consumer_record = self._undated

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = iter(())
            raise
        except Exception as error:  # noqa: BLE001 - whatever the client's and its codecs' code makes of damaged bytes
            # Without its compiled parts aiokafka wraps what decoding raises.
            if not self._lenient and isinstance(error.__cause__ or error, UnicodeDecodeError):
                return self._once_more()
            return self._stop(error)

    def _once_more(self) -> Any:
        """Unpack the rest again, leniently, from the batch on that could not be.

        Not from the beginning: for each batch aiokafka sets the next offset, to what lies before it too.
        """
        self._lenient = True
        data = self._records.data
        self._records = _LenientRecords(data[_find(data, self.next_fetch_offset)[0] :])
        self._records_iterator = self._unpack_records()
        return next(self)

    def _stop(self, error: Exception) -> Unreadable:
        """End here; where something came before it, without a word: fetched from here on it may well be readable.

        Batches of two formats in one fetch, as an upgrade leaves them, are taken for the first one's by aiokafka.
        """
        self._records_iterator = iter(())
        if self.next_fetch_offset > self._begin:
            raise StopIteration
        offset = self.next_fetch_offset
        return Unreadable(self._tp, offset, _find(self._records.data, offset)[1], error)

    def _undated(self, tp: TopicPartition, record: Any) -> Any:
        """Return a record without a time as Kafka's other clients do."""
        found = super()._consumer_record(tp, record)
        return found if found.timestamp is not None else replace(found, timestamp=-1, timestamp_type=0)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # as above
    """The same as `_Kept`, slower: with batches that read any header."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data

    def next_batch(self) -> Any:
        part = self._next_slice
        if part is None or len(part) <= _MAGIC or part[_MAGIC] < _WITH_HEADERS:
            return super().next_batch()
        self._cache_next()
        return _LenientBatch(part)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # as above
    """A batch that reads any header."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Text):
            self._buffer = _Text(self._buffer)


class _Text(bytearray):
    """Bytes of which a part can be decoded whatever it is, and none be taken that is not there."""

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, slice):
            return super().__getitem__(place)
        if place.stop > len(self):
            raise IndexError
        return _Text(super().__getitem__(place))

    def decode(self, encoding: str = "utf-8", _errors: str = "") -> str:
        return super().decode(encoding, "backslashreplace")


def _find(data: bytes, offset: int) -> tuple[int, int]:
    """Return where the batch with ``offset`` begins, and the first offset behind it, as far as its head can tell."""
    place = 0
    while place + _BATCH.size <= len(data):
        base, length, _, magic, _, _, delta = _BATCH.unpack_from(data, place)
        behind: int = base + (delta if magic >= _WITH_HEADERS else 0) + 1
        if behind > offset:
            return place, behind
        place += _OVERHEAD + max(length, 0)
    return 0, offset + 1
