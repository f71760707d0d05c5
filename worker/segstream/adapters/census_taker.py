"""Counts users, timers and what sweeps have left, now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from segstream.adapters.redis.census import Count, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segstream.adapters.holdings import Holdings

EVERY: Final = 10_000
"""Milliseconds between two counts: a third of the usual time between two looks at metrics."""


class Census(Protocol):
    """Where to ask."""

    async def count(self, questions: Sequence[Question]) -> dict[int, Count]:
        """Return what is there by partition number."""
        ...


class CensusTaker:
    """Keeps the latest counts of the partitions owned.

    Parameters
    ----------
    holdings : Holdings
    census : Census
    now : callable
        Returns the time in ms.

    Attributes
    ----------
    counts : dict of int to Count
        By partition number.
    """

    def __init__(self, holdings: Holdings, census: Census, now: Callable[[], int]) -> None:
        self._holdings, self._census, self._now = holdings, census, now
        self._next = 0
        self.counts: dict[int, Count] = {}

    async def count(self) -> None:
        """Count, if it is time or a partition is new; raises ``ServerError`` if Redis does not answer."""
        questions = self._questions()
        new = any(question.partition not in self.counts for question in questions)
        if self._now() < self._next and not new:
            return
        self._next = self._now() + EVERY
        self.counts = await self._census.count(questions)

    def _questions(self) -> list[Question]:
        questions = []
        for number, runner in self._holdings.runners.items():
            if runner.flow is not None and not runner.trouble:
                partition = runner.flow.partition
                swept = partition.meta.sweep.partition(" ")[2] if partition.meta.sweep else None
                questions.append(Question(number, swept, partition.settled()))
        return questions
