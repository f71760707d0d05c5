"""Records fetched and not yet applied, for one partition number: merged by arrival over its topics."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segstream.core.events import Record

MOST_BYTES: Final = 16 << 20
"""Bytes of a topic's records that may wait for one partition; what one fetch brings (1 MB) comes on top."""

LEAST_BYTES: Final = 1 << 20
"""The same for a worker with so many logs that its memory for records would leave less: one fetch."""

RECORD_BYTES: Final = 500
"""What a record takes besides key and value: measured, the object with its fields' own."""

MOST_BATCH_BYTES: Final = 8 << 20
"""Bytes of a batch: with dead letters, which grow by a third, far below the 512 MB that Redis takes at once."""


class Inbox:
    """Queues by topic.

    While records wait on several topics the one that arrived first is taken first; a topic whose queue is empty
    holds the others back unless all of it has been fetched. Except the topic of forwarded records: between partitions
    there is no order anyway, and another worker's unfinished transaction there must not stop a partition that is well.

    Parameters
    ----------
    topics : iterable of str
        The input topics.
    most_bytes : int
        Bytes of each topic's records that may wait.
    rerouted : str
        The topic of forwarded records, if there is one.

    Attributes
    ----------
    taken : int
        How much memory the records that were taken last take, about.

    Examples
    --------
    >>> from segstream.core.events import LogRecord
    >>> inbox = Inbox(["a", "b"])
    >>> inbox.add("a", [LogRecord("a", 0, 0, 20, None, None)], fetched_all=True)
    >>> inbox.take(10)
    []
    >>> inbox.add("b", [LogRecord("b", 0, 0, 10, None, None)], fetched_all=True)
    >>> [record.topic for record in inbox.take(10)]
    ['b', 'a']
    """

    def __init__(self, topics: Iterable[str], most_bytes: int = MOST_BYTES, rerouted: str = "") -> None:
        self._most_bytes, self.rerouted, self.taken = most_bytes, rerouted, 0
        self._queues: dict[str, deque[Record]] = {topic: deque() for topic in topics}
        self._bytes = dict.fromkeys(self._queues, 0)
        self._fetched_all: dict[str, bool | None] = dict.fromkeys(self._queues)

    def __len__(self) -> int:
        """Return how many records wait."""
        return sum(map(len, self._queues.values()))

    @property
    def bytes(self) -> int:
        """How much memory the records that wait take, about."""
        return sum(self._bytes.values())

    def waiting(self, topic: str) -> int:
        """Return how many records of a topic wait."""
        return len(self._queues[topic])

    def head(self, topic: str) -> int | None:
        """Return when the first record that waits of a topic arrived, in ms; None if none does."""
        queue = self._queues[topic]
        return queue[0].timestamp if queue else None

    def clear(self) -> None:
        """Forget all records: they will be fetched again."""
        for topic, queue in self._queues.items():
            queue.clear()
            self._bytes[topic] = 0
            self._fetched_all[topic] = None

    def unsure(self, topic: str) -> bool:
        """Tell whether something was fetched of a topic that holds others back, and not whether that was all."""
        return self._fetched_all[topic] is False and topic != self.rerouted

    def full(self, topic: str) -> bool:
        """Tell whether a topic's records take so much memory that no more should be fetched."""
        return self._bytes[topic] >= self._most_bytes

    def add(self, topic: str, records: Iterable[Record], *, fetched_all: bool) -> None:
        """Append records of a topic in log order, and note whether that was all there is for now."""
        added = list(records)
        self._queues[topic].extend(added)
        self._bytes[topic] += sum(map(weight, added))
        self._fetched_all[topic] = fetched_all

    def put_back(self, records: Iterable[Record]) -> None:
        """Put records that were taken last in front again."""
        for record in reversed(list(records)):
            self._queues[record.topic].appendleft(record)
            self._bytes[record.topic] += weight(record)

    def take(self, most: int, most_bytes: int = MOST_BATCH_BYTES) -> list[Record]:
        """Return up to ``most`` records, those that arrived first in front; the last may exceed ``most_bytes``."""
        taken: list[Record] = []
        alone = self._alone()
        if alone is not None:
            self._take_from(alone, most, most_bytes, taken)
            return taken
        size = 0
        while len(taken) < most and size < most_bytes:
            queue = self._next()
            if queue is None:
                break
            record = queue.popleft()
            length = weight(record)
            self._bytes[record.topic] -= length
            size += length
            taken.append(record)
        self.taken = size
        return taken

    def _take_from(self, topic: str, most: int, most_bytes: int, taken: list[Record]) -> None:
        queue, size = self._queues[topic], 0
        while queue and len(taken) < most and size < most_bytes:
            record = queue.popleft()
            size += weight(record)
            taken.append(record)
        self._bytes[topic] -= size
        self.taken = size

    def _alone(self) -> str | None:
        """Return the one topic of which records wait, as it mostly is; None if there is none, or another may be first."""
        waiting = [topic for topic, queue in self._queues.items() if queue]
        return waiting[0] if len(waiting) == 1 and not self._held_back() else None

    def _next(self) -> deque[Record] | None:
        """Return the queue whose first record comes next, None if that cannot be told yet."""
        if self._held_back():
            return None
        waiting = [queue for queue in self._queues.values() if queue]
        return min(waiting, key=lambda queue: queue[0].timestamp, default=None)

    def _held_back(self) -> bool:
        """Tell whether what comes next may be a record that is not fetched yet."""
        return any(
            not queue and not self._fetched_all[topic] and topic != self.rerouted
            for topic, queue in self._queues.items()
        )


def weight(record: Record) -> int:
    """Return how many bytes of memory a record takes, about."""
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"")


def share_of(memory: int, logs: int) -> int:
    """Return how many bytes may wait for each of so many logs of a worker.

    Examples
    --------
    >>> share_of(256 << 20, 64) >> 20
    4
    """
    return min(MOST_BYTES, max(LEAST_BYTES, memory // max(logs, 1)))
