"""Counts and sums over the last so many days, minutes, …, in sparse buckets."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from segstream.core.features.base import MOST_STEPS, comparison
from segstream.core.features.fixed import PER_UNIT, Wide, amount, kept, plus, whole
from segstream.core.features.grid import Sliding
from segstream.core.time import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segstream.core.types import Value

Windowed: TypeAlias = tuple[Wide, int, dict[int, Wide]]
"""Sum of all buckets; the moment the earliest of them leaves; bucket number -> amount, ascending."""

_LARGEST: Final = 1 << 62
"""Amounts beyond it are few, and left to the plain way."""


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

    quick = True

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
            total = self._rest(total, state[2], at)
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

    def crosses(self, state: Windowed, op: str, bound: float, at: int) -> int:
        """Return when ``value op bound`` turns (see ``Accumulator``), looking at few buckets where it can only fall.

        What is left when a bucket leaves is what the later ones hold: so, from the newest on, the first with which there
        is enough for today's answer is the one that takes it along. That looks at three buckets for ``visits >= 3``.
        """
        total, _, buckets = state
        holds, upper = comparison(op), op in {">", ">="}
        now = holds(self.value(state, at), bound)
        if not self._falls(total, buckets):
            for seen, (moment, value) in enumerate(self.steps(state, at), 1):
                if holds(value, bound) is not now or seen == MOST_STEPS:
                    return moment
            return NEVER
        if now is not upper:
            return NEVER
        enough = _least(op, bound, PER_UNIT if self.summing else 1)
        if enough == 0:
            return NEVER
        rest = 0
        for bucket, brought in reversed(buckets.items()):
            rest += brought  # type: ignore[operator]  # an int, as seen above
            if rest >= enough:
                return bucket * self.resolution + self.reach
        return NEVER

    def _falls(self, total: Wide, buckets: dict[int, Wide]) -> bool:
        """Tell whether no bucket takes away less than nothing, and all are plain integers."""
        if not self.summing:
            return True
        if type(total) is not int or total > _LARGEST:
            return False
        try:
            return min(buckets.values(), default=0) >= 0  # type: ignore[operator]
        except TypeError:  # among them are texts: see `Wide`
            return False

    def compact(self, state: Windowed, at: int) -> Windowed:
        """Drop the buckets that have left; each takes away exactly what it brought."""
        total, leaves, buckets = state
        if at < leaves:
            return state
        rest = kept(self._rest(total, buckets, at))
        last = self._last_departed(at)
        remaining = buckets.copy()
        for bucket in buckets:
            if bucket > last:
                return rest, bucket * self.resolution + self.reach, remaining
            del remaining[bucket]
        return self.zero()

    def _rest(self, total: Wide, buckets: dict[int, Wide], at: int) -> int:
        """Return what the buckets hold that have not left, adding up whichever are likely to be fewer: these or those."""
        last = self._last_departed(at)
        found = 0
        if last - next(iter(buckets), last) > next(reversed(buckets), last) - last:
            for bucket, brought in reversed(buckets.items()):
                if bucket <= last:
                    break
                found += brought if type(brought) is int else int(brought)
            return found
        for bucket, brought in buckets.items():
            if bucket > last:
                break
            found += brought if type(brought) is int else int(brought)
        return whole(total) - found


@lru_cache(maxsize=1024)
def _least(op: str, bound: float, per_unit: int) -> int:
    """Return the least amount, in parts of a unit, from which on a comparison is as for very large ones."""
    holds, upper = comparison(op), op in {">", ">="}
    return bisect_left(
        range(_LARGEST),
        True,  # noqa: FBT003 - what is looked for
        key=lambda amount: holds(amount / per_unit if per_unit > 1 else amount, bound) is upper,
    )
