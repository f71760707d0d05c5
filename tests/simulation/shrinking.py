"""Cuts a failing schedule down to the decisions that make it fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

ATTEMPTS: Final = 1_500
"""Schedules to try: some seconds."""


def shrink(choices: Sequence[int], fails: Callable[[list[int]], bool], attempts: int = ATTEMPTS) -> list[int]:
    """Return a shorter and tamer list of decisions that still fails.

    Parts are left out, then set to 0, the tamest, then lowered, in ever smaller pieces, until nothing helps any more.

    Parameters
    ----------
    choices : sequence of int
        Decisions that fail; missing ones at the end count as 0.
    fails : callable
        Tells whether a schedule fails.
    attempts : int
        How many schedules to try at most.

    Examples
    --------
    >>> shrink([3, 9, 4, 7, 0, 8], lambda given: sum(given) > 7)
    [8]
    """
    best = _trimmed(choices)
    left = attempts
    better = True
    while better and left > 0:
        better = False
        for attempt in _attempts(best):
            left -= 1
            if left < 0:
                break
            if _size(attempt) < _size(best) and fails(attempt):
                best, better = _trimmed(attempt), True
                break
    return best


def _attempts(best: list[int]) -> Iterator[list[int]]:
    piece = len(best)
    while piece > 0:
        for first in range(0, len(best), piece):
            yield [*best[:first], *best[first + piece :]]
        for first in range(0, len(best), piece):
            if any(best[first : first + piece]):
                yield [*best[:first], *[0] * len(best[first : first + piece]), *best[first + piece :]]
        piece //= 2
    for place, value in enumerate(best):
        for lower in {value // 2, value - 1} - {value, -1}:
            yield [*best[:place], lower, *best[place + 1 :]]


def _trimmed(choices: Sequence[int]) -> list[int]:
    kept = list(choices)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _size(choices: Sequence[int]) -> tuple[int, int, int]:
    """Return how large a schedule is: decisions other than the tamest, how many in all, and their sum."""
    return sum(map(bool, choices)), len(choices), sum(choices)
