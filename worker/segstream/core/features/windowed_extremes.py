"""Smallest and largest over the last so many days, hours or minutes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from segstream.core.features.fixed import number
from segstream.core.features.grid import Sliding
from segstream.core.features.identity import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segstream.core.types import Value


class WindowedExtreme(Sliding):
    """The largest or the smallest number told in a sliding window; unknown while it is empty.

    See `Sliding` for the buckets. Only a bucket that holds a number further out than all later ones is kept, so the
    first that has not left tells the value, and each that leaves changes it. A whole number is told as one: 3.0 as 3.

    Parameters
    ----------
    window, resolution : int
        See `Sliding`.
    largest : bool
        Whether the largest is looked for.

    Examples
    --------
    >>> from segstream.core.time import DAY
    >>> dearest = WindowedExtreme(30 * DAY, largest=True)
    >>> state = dearest.add(dearest.add(dearest.zero(), 0, 99.5, "m1"), DAY, 20, "m2")
    >>> dearest.value(state, DAY), dearest.value(state, 31 * DAY), dearest.value(state, 32 * DAY)
    (99.5, 20, None)
    """

    __slots__ = ("largest",)

    def __init__(self, window: int, resolution: int | None = None, *, largest: bool) -> None:
        super().__init__(window, resolution)
        self.largest = largest

    def zero(self) -> dict[int, float]:
        """Return no buckets."""
        return {}

    def add(self, state: dict[int, float], at: int, value: Value, tie: str) -> dict[int, float]:
        """Put the number into the bucket of its timestamp, if no later one holds one as far out."""
        told = number(value)
        return state if told is None else self.merge(state, {at // self.resolution: plain(told)})

    def merge(self, a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
        """Keep the buckets that are further out than all later ones of both."""
        if not a or not b:
            return a or b
        gone = self._out_of_reach(max(next(reversed(a)), next(reversed(b))))
        outermost: list[tuple[int, float]] = []
        for bucket, told in sorted((*a.items(), *b.items()), reverse=True):
            if bucket <= gone:
                break
            if outermost and not self._beyond(told, outermost[-1][1]):
                continue
            if outermost and outermost[-1][0] == bucket:
                outermost.pop()
            outermost.append((bucket, told))
        return dict(reversed(outermost))

    def value(self, state: dict[int, float], at: int) -> float | None:
        """Return the number."""
        gone = self._last_departed(at)
        return next((told for bucket, told in state.items() if bucket > gone), None)

    def steps(self, state: dict[int, float], at: int) -> Iterator[tuple[int, float | None]]:
        """Yield each moment at which a bucket leaves."""
        for (bucket, _), (_, after) in pairwise((*state.items(), (0, None))):
            leaves = self._leaves(bucket)
            if leaves > at:
                yield leaves, after

    def compact(self, state: dict[int, float], at: int) -> dict[int, float]:
        """Drop the buckets that have left."""
        gone = self._last_departed(at)
        if next(iter(state), gone + 1) > gone:
            return state
        return {bucket: told for bucket, told in state.items() if bucket > gone}

    def _beyond(self, one: float, other: float) -> bool:
        return one > other if self.largest else one < other
