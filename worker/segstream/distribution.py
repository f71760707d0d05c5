"""How numbers are distributed: counts per bucket, cheap to add to by the batch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Distribution:
    """A histogram with fixed bounds.

    Parameters
    ----------
    bounds : sequence of float
        Upper bounds of the buckets, inclusive and ascending; one bucket more takes whatever is above.

    Attributes
    ----------
    counts : list of int
        How many numbers each bucket holds.
    total : float
        Their sum.
    last : float
        The number that was added last on its own, 0 before the first.

    Examples
    --------
    >>> sizes = Distribution([10, 100])
    >>> for size in (3, 10, 70, 500):
    ...     sizes.add(size)
    >>> sizes.counts, sizes.total
    ([2, 1, 1], 583.0)
    """

    __slots__ = ("bounds", "counts", "last", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = self.last = 0.0

    def add(self, value: float) -> None:
        """Count one number."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.last = value

    def add_ages(self, moments: Sequence[int], now: int, unit: float) -> None:
        """Count how long ago each of many moments was; one that is still to come counts as now.

        One look per bucket instead of one per number: the moments are sorted, which costs next to nothing for those
        of a batch, since they nearly are.

        Parameters
        ----------
        moments : sequence of int
            Such as arrivals in ms.
        now : int
            In the same unit.
        unit : float
            What to divide an age by, such as 1000 for seconds.

        Examples
        --------
        >>> seconds = Distribution([0.5, 1])
        >>> seconds.add_ages([8_000, 9_000, 9_600, 12_000], 10_000, 1000)
        >>> seconds.counts, seconds.total
        ([2, 1, 1], 3.4)
        """
        moments = sorted(moments)
        past = bisect_right(moments, now)
        right = len(moments)
        for index, bound in enumerate(self.bounds):
            left = bisect_left(moments, now - bound * unit)
            self.counts[index] += right - left
            right = left
        self.counts[-1] += right
        self.total += (past * now - sum(moments[:past])) / unit
