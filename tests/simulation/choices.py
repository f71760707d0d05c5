"""The decisions of a schedule: drawn from a seed, or given, so that a schedule can be run again and cut down."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random


class Weights:
    """How often each of several things is to be chosen.

    Parameters
    ----------
    shares : sequence of float
        In any unit; the first is the tamest, which a schedule is cut down to.
    """

    __slots__ = ("_sums", "_total")

    def __init__(self, shares: Sequence[float]) -> None:
        self._sums = list(accumulate(shares))
        self._total = self._sums[-1]

    def __len__(self) -> int:
        """Return how many things there are."""
        return len(self._sums)

    def at(self, place: float) -> int:
        """Return the thing at a place from 0 to 1 (exclusive)."""
        return bisect_right(self._sums, place * self._total)


class Choices:
    """Decisions, each a small number of which 0 is the tamest.

    Parameters
    ----------
    seed : int, optional
        Where they are drawn from.
    given : sequence of int, optional
        Instead: the decisions themselves; after the last one they are all 0.

    Attributes
    ----------
    made : list of int
        The decisions so far.

    Examples
    --------
    >>> drawn = Choices(seed=7)
    >>> first = [drawn.pick(10) for _ in range(5)]
    >>> again = Choices(given=drawn.made)
    >>> [again.pick(10) for _ in range(5)] == first, again.pick(10)
    (True, 0)
    """

    __slots__ = ("_given", "_random", "made")

    def __init__(self, seed: int | None = None, given: Sequence[int] = ()) -> None:
        self._random = None if seed is None else Random(seed).random
        self._given = given
        self.made: list[int] = []

    def pick(self, count: int) -> int:
        """Return a number below ``count``."""
        value = self._next(count) if self._random is None else int(self._random() * count)
        self.made.append(value)
        return value

    def weigh(self, weights: Weights) -> int:
        """Return which thing to do."""
        value = self._next(len(weights)) if self._random is None else weights.at(self._random())
        self.made.append(value)
        return value

    def _next(self, count: int) -> int:
        place = len(self.made)
        return min(self._given[place], count - 1) if place < len(self._given) else 0
