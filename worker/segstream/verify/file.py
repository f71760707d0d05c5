"""Events from a file in place of Kafka: one JSON document per line, in the order they were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from segstream.core.records import LogRecord
from segstream.core.sources.lines import event_line
from segstream.errors import UsageError
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from segstream.core.records import Record
    from segstream.core.sources import Mapping as SourceMapping
    from segstream.verify.partition import Terms

_BATCH: Final = 5_000


class FileLog:
    """One partition's lines of a file, numbered as if they had been sent in this order. Use it in ``async with``.

    There are no arrivals in it: it is for replays (``clock: event``), and for events that have a time of their own.

    Parameters
    ----------
    path : Path
    terms : Terms
        Say which lines belong to the partition: by ``userId``, else ``anonymousId``, as `segstream demo` sends them.
    topic : str
        The input topic that the events were sent to.
    begun : int
        The offset of the first line.
    mappings : mapping of str to Mapping
        How documents of sources among them become events, by topic: they too are sent to the one topic.

    Attributes
    ----------
    number : int
        The partition number.
    lacking : int
        Offsets that the state has been through and the file does not have: clock records, for instance.
    """

    def __init__(
        self, path: Path, terms: Terms, topic: str, begun: int, mappings: Mapping[str, SourceMapping]
    ) -> None:
        self._path, self._terms, self._topic, self._next = path, terms, topic, begun
        self._mappings = mappings
        self._records: Iterator[Record] = iter(())
        self._ahead: Record | None = None
        self.number = terms.number
        self.lacking = 0

    async def __aenter__(self) -> Self:
        """Begin at the first line."""
        self._records = self._lines()
        self._ahead = next(self._records, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records = iter(())

    async def read(self, applied: Mapping[str, int]) -> AsyncIterator[Sequence[Record]]:
        """Yield the records up to this offset, some at a time; called again it goes on."""
        last, records = applied.get(self._topic, -1), list[Any]()
        while self._ahead is not None and self._ahead.offset <= last:
            records.append(self._ahead)
            self._ahead = next(self._records, None)
            if len(records) == _BATCH:
                yield records
                records = []
        if records:
            yield records
        self.lacking = max(0, last + 1 - self._next) if self._ahead is None else 0

    def _lines(self) -> Iterator[Record]:
        try:
            with self._path.open("rb") as file:
                for place, text in enumerate(file, 1):
                    line = event_line(text, place, self._mappings)
                    if line.strip() and self._here(key := _key(line)):
                        number, self._next = self._next, self._next + 1
                        yield LogRecord(self._topic, self._terms.number, number, LATEST, key, line)
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from None

    def _here(self, key: bytes) -> bool:
        return self._terms.partitioner(key, self._terms.partitions) == self._terms.number


def _key(line: bytes) -> bytes:
    try:
        document: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return b""
    if not isinstance(document, dict):
        return b""
    return str(document.get("userId") or document.get("anonymousId") or "").encode()
