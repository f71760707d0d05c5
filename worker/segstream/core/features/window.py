"""Counts and sums over the last so many days, minutes, …, in sparse buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from segstream.core.features.base import Accumulator
from segstream.core.features.fixed import PER_UNIT, Wide, amount, kept, plus, whole
from segstream.core.time import DAY, HOUR, MINUTE, NEVER, SECOND
from segstream.core.types import Motion, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

RESOLUTIONS: Final = (DAY, 6 * HOUR, HOUR, 15 * MINUTE, 5 * MINUTE, MINUTE, 10 * SECOND)
"""Default bucket widths in ms, widest first; 1 s where all of these are too wide."""

FINENESS: Final = 288
"""Buckets a window has at least by default: 24 h in 5 m, so it is right to about a third of a percent."""

MOST_BUCKETS: Final = 10_000
"""Buckets a window may have: some 100 KB of state for a user who fills them all."""

Windowed: TypeAlias = tuple[Wide, int, dict[int, Wide]]
"""Sum of all buckets; the moment the earliest of them leaves; bucket number -> amount, ascending."""


def default_resolution(window: int) -> int:
    """Return the bucket width of a window that does not set its own.

    It is the widest of 1 s, 10 s, 1 m, 5 m, 15 m, 1 h, 6 h, 1 d that goes into the window at least 288 times
    (it need not go evenly), else 1 s.

    Parameters
    ----------
    window : int
        Milliseconds.

    Examples
    --------
    >>> default_resolution(30 * DAY) == HOUR, default_resolution(365 * DAY) == DAY
    (True, True)
    """
    return next((width for width in RESOLUTIONS if window // width >= FINENESS), SECOND)


class Window(Accumulator):
    """Count or sum over a sliding window; 0 while it is empty.

    Buckets lie on a fixed grid, multiples of the resolution since 1970, and only those that hold something
    are kept. An event counts from its timestamp until the end of its bucket plus the window, exclusive. What
    is out of reach for the newest bucket is dropped at once, so a state has no more than
    ``window / resolution + 2`` buckets.

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
    >>> visits = Window(HOUR)
    >>> state = visits.add(visits.zero(), 4_000, None, "m1")
    >>> visits.next_change(state, 4_000) == 10 * SECOND + HOUR
    True
    >>> visits.value(state, 10 * SECOND + HOUR - 1), visits.value(state, 10 * SECOND + HOUR)
    (1, 0)
    """

    __slots__ = ("of", "reach", "resolution", "summing", "window")

    motion = Motion.STEPS

    def __init__(
        self, window: int, resolution: int | None = None, *, summing: bool = False, of: bool = False
    ) -> None:
        width = default_resolution(window) if resolution is None else resolution
        if resolution is not None and resolution > window:
            message = "resolution must not be longer than the window"
            raise ValueError(message)
        if window > width * MOST_BUCKETS:
            message = f"resolution is too fine: the window would have over {MOST_BUCKETS} buckets"
            raise ValueError(message)
        self.window = window
        self.resolution = width
        self.reach = width + window  # from the start of a bucket to the moment it leaves
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

    def _last_departed(self, at: int) -> int:
        return (at - self.reach) // self.resolution

    def _departed(self, buckets: dict[int, Wide], at: int) -> int:
        last = self._last_departed(at)
        departed = 0
        for bucket, brought in buckets.items():
            if bucket > last:
                break
            departed += whole(brought)
        return departed
