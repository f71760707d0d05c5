"""What a worker has done since it was started, counted by the batch: what its metrics are made of."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from segstream.distribution import Distribution
from segstream.partition import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from segstream.errors import SegstreamError
    from segstream.partition import Partition

SIZES: Final = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
"""Bounds for records in a batch: up to the largest that the settings allow."""

LATENCIES: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
"""Bounds in seconds from arrival to published: 50 ms is the pace of publishing, an hour a long outage."""

DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Bounds in seconds for one step: a transaction takes 4 ms, and is given up after 30 s."""

MOST_SEGMENTS: Final = 200
"""Discovered segments told apart: their ids are never used again, so over the years there is no end to them."""

OTHER: Final = "other"
"""Where changes of further discovered segments are counted."""

NO_SEGMENT: Final = "none"
"""Where restatements to users without a segment are counted."""


def wall_clock() -> int:
    """Return the time in ms since 1970."""
    return time.time_ns() // 1_000_000


class Latency:
    """From arrival to published, for one partition that this worker owns.

    A record is published when all that its batch led to is; where that is nothing, when the batch is committed. What
    a predecessor committed and this worker publishes is not counted, since only the batch knows the arrivals.

    Parameters
    ----------
    seconds : Distribution
        Where to count.
    now : callable
        Returns the time in ms.

    Examples
    --------
    >>> seconds = Distribution([1])
    >>> latency = Latency(seconds, lambda: 5_000)
    >>> latency.committed([4_500, 4_900], 0, 1)
    >>> latency.committed([4_950], 1, 1)
    >>> seconds.counts
    [1, 0]
    >>> latency.published(1)
    >>> seconds.counts
    [3, 0]
    """

    def __init__(self, seconds: Distribution, now: Callable[[], int]) -> None:
        self._seconds, self._now = seconds, now
        self._pending: deque[tuple[int, Sequence[int]]] = deque()

    def committed(self, arrivals: Sequence[int], before: int, after: int) -> None:
        """Note a batch.

        Parameters
        ----------
        arrivals : sequence of int
            Of its records, in ms.
        before, after : int
            The partition's sequence before and after it.
        """
        if after == before:
            self._seconds.add_ages(arrivals, self._now(), 1_000)
        else:
            self._pending.append((after, arrivals))

    def published(self, sequence: int) -> None:
        """Count the batches that are published up to ``sequence``."""
        while self._pending and self._pending[0][0] <= sequence:
            self._seconds.add_ages(self._pending.popleft()[1], self._now(), 1_000)


class Tally:
    """A worker's counts, over all partitions that it owns or has owned.

    Parameters
    ----------
    now : callable
        Returns the time in ms.

    Attributes
    ----------
    interruptions : Counter
        How often a partition was given up for an error, by the error's class.
    take_overs, incarnations : int
        How often a partition was taken over, and how often that began a new incarnation.
    batches : Distribution
        Records per batch.
    latency : Distribution
        Seconds from arrival to published.
    commits : Distribution
        Seconds of a commit to Redis, until it is durable.
    transactions : Distribution
        Seconds of a transaction.
    """

    def __init__(self, now: Callable[[], int] = wall_clock) -> None:
        self.now = now
        self.interruptions: Counter[str] = Counter()
        self.take_overs = self.incarnations = 0
        self.batches, self.latency = Distribution(SIZES), Distribution(LATENCIES)
        self.commits, self.transactions = Distribution(DURATIONS), Distribution(DURATIONS)
        self._counts, self._evicted = Counts(), 0
        self._changed: dict[str, Counter[str | None]] = defaultdict(Counter)
        self._rejected: Counter[str] = Counter()
        self._rerouted: Counter[str] = Counter()
        self._suppressed: Counter[tuple[str, str]] = Counter()
        self._discovered: set[str] = set()

    def taken_over(self, *, forgotten: bool) -> None:
        """Count that a partition was taken over; ``forgotten`` says that Redis had lost something that was told."""
        self.take_overs += 1
        self.incarnations += forgotten

    def interrupted(self, error: SegstreamError) -> None:
        """Count a partition's loss."""
        self.interruptions[type(error).__name__] += 1

    def retire(self, partition: Partition) -> None:
        """Keep what a partition has counted: it is given up."""
        _add(self._counts, partition.counts)
        self._evicted += partition.cache.evicted
        for direction, segments in partition.changed.items():
            self._changed[direction].update(segments)
        self._rejected.update(partition.rejected)
        self._rerouted.update(partition.rerouted)
        self._suppressed.update(partition.suppressed)

    def counts(self, owned: Iterable[Partition]) -> Counts:
        """Return the sum of all counts, those of the partitions owned included."""
        total = Counts()
        for counts in (self._counts, *(partition.counts for partition in owned)):
            _add(total, counts)
        return total

    def evicted(self, owned: Iterable[Partition]) -> int:
        """Return how many users had to leave the caches."""
        return self._evicted + sum(partition.cache.evicted for partition in owned)

    def rejected(self, owned: Iterable[Partition]) -> dict[str, int]:
        """Return the number of dead letters by reason."""
        total = self._rejected.copy()
        for partition in owned:
            total.update(partition.rejected)
        return total

    def rerouted(self, owned: Iterable[Partition]) -> dict[str, int]:
        """Return the number of records sent on to the partition of their user, by topic."""
        total = self._rerouted.copy()
        for partition in owned:
            total.update(partition.rerouted)
        return total

    def changed(self, owned: Iterable[Partition]) -> dict[tuple[str, str], int]:
        """Return the number of changes by segment and direction; only so many discovered segments have a name."""
        total: Counter[tuple[str, str]] = Counter()
        for changed in (self._changed, *(partition.changed for partition in owned)):
            for direction, segments in changed.items():
                for segment, count in segments.items():
                    total[self._name(segment), direction] += count
        return total

    def suppressed(self, owned: Iterable[Partition]) -> dict[tuple[str, str], int]:
        """Return the number of flips that anti-flap has kept from being told, by segment and reason."""
        total = self._suppressed.copy()
        for partition in owned:
            total.update(partition.suppressed)
        return total

    def _name(self, segment: str | None) -> str:
        if segment is None:
            return NO_SEGMENT
        if "." not in segment or segment in self._discovered:
            return segment
        # Which ones have a name must not change: a counter never goes down.
        if len(self._discovered) < MOST_SEGMENTS:
            self._discovered.add(segment)
            return segment
        return OTHER


def _add(total: Counts, counts: Counts) -> None:
    for name in _COUNTED:
        setattr(total, name, getattr(total, name) + getattr(counts, name))


_COUNTED: Final = [field.name for field in fields(Counts)]
