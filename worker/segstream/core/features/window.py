"""Counts and sums over the last so many days, minutes, …, in sparse buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from segstream.core.features.fixed import PER_UNIT, Wide, amount, kept, plus, whole
from segstream.core.features.grid import Sliding
from segstream.core.time import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segstream.core.types import Value

Windowed: TypeAlias = tuple[Wide, int, dict[int, Wide]]
"""Sum of all buckets; the moment the earliest of them leaves; bucket number -> amount, ascending."""


class Window(Sliding):
    """Count or sum over a sliding window; 0 while it is empty. See `Sliding` for its buckets.

    Parameters
    ----------
    window : int
        Milliseconds.
    resolution : int or None
        Width of a bucket in ms; `default_resolution` if None.
    summing : bool
        Sum the numbers told (as integers of 10^-6) instead of counting events.
    of : bool
        When counting: only events that hold any value at the feature's ``of`` path.

    Raises
    ------
    ValueError
        If the resolution does not suit the window.

    Examples
    --------
    >>> from segstream.core.time import HOUR, SECOND
    >>> visits = Window(HOUR)
    >>> state = visits.add(visits.zero(), 4_000, None, "m1")
    >>> visits.next_change(state, 4_000) == 10 * SECOND + HOUR
    True
    >>> visits.value(state, 10 * SECOND + HOUR - 1), visits.value(state, 10 * SECOND + HOUR)
    (1, 0)
    """

    __slots__ = ("of", "summing")

    def __init__(
        self, window: int, resolution: int | None = None, *, summing: bool = False, of: bool = False
    ) -> None:
        super().__init__(window, resolution)
        self.summing = summing
        self.of = of

    def zero(self) -> Windowed:
        """Return no buckets."""
        return 0, NEVER, {}

    def add(self, state: Windowed, at: int, value: Value, tie: str) -> Windowed:
        """Put the amount into the bucket of its timestamp, late or not."""
        brought = 1
        if self.summing:
            told = amount(value)
            if told is None:
                return state
            brought = told
        elif self.of and value is None:
            return state
        total, leaves, buckets = state
        bucket = at // self.resolution
        start = latest = bucket * self.resolution
        newest = next(reversed(buckets), bucket)
        if newest > bucket:
            latest = newest * self.resolution
            if start + self.reach <= latest:
                return state
        if newest > bucket and bucket not in buckets:
            buckets = dict(sorted((*buckets.items(), (bucket, kept(brought)))))
        else:
            buckets = buckets.copy()
            buckets[bucket] = plus(buckets.get(bucket, 0), brought)
        first_leaves = start + self.reach
        after = plus(total, brought), first_leaves if first_leaves < leaves else leaves, buckets
        return after if after[1] > latest else self.compact(after, latest)

    def merge(self, a: Windowed, b: Windowed) -> Windowed:
        """Add bucket by bucket."""
        if not a[2] or not b[2]:
            return a if a[2] else b
        both = dict(a[2])
        for bucket, brought in b[2].items():
            both[bucket] = plus(both.get(bucket, 0), brought)
        buckets = dict(sorted(both.items()))
        merged = plus(a[0], b[0]), min(a[1], b[1]), buckets
        return self.compact(merged, next(reversed(buckets)) * self.resolution)

    def value(self, state: Windowed, at: int) -> float:
        """Return what the buckets that have not left hold."""
        total = state[0]
        if at >= state[1]:
            total = whole(total) - self._departed(state[2], at)
        elif type(total) is str:
            total = int(total)
        return total / PER_UNIT if self.summing else total  # type: ignore[operator,return-value]  # an int by now

    def steps(self, state: Windowed, at: int) -> Iterator[tuple[int, float]]:
        """Yield each moment at which a bucket leaves and takes something away."""
        rest = whole(state[0])
        for bucket, brought in state[2].items():
            if brought:
                rest -= whole(brought)
                leaves = bucket * self.resolution + self.reach
                if leaves > at:
                    yield leaves, rest / PER_UNIT if self.summing else rest

    def compact(self, state: Windowed, at: int) -> Windowed:
        """Drop the buckets that have left; each takes away exactly what it brought."""
        total, leaves, buckets = state
        if at < leaves:
            return state
        rest = kept(whole(total) - self._departed(buckets, at))
        last = self._last_departed(at)
        remaining = buckets.copy()
        for bucket in buckets:
            if bucket > last:
                return rest, bucket * self.resolution + self.reach, remaining
            del remaining[bucket]
        return self.zero()

    def _departed(self, buckets: dict[int, Wide], at: int) -> int:
        last = self._last_departed(at)
        departed = 0
        for bucket, brought in buckets.items():
            if bucket > last:
                break
            departed += whole(brought)
        return departed
