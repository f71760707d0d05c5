"""How often lately: an exponentially decaying rate."""

from __future__ import annotations

from math import exp2, inf, ldexp, log, log2
from typing import TYPE_CHECKING, Final, TypeAlias

from segstream.core.features.base import Accumulator, comparison
from segstream.core.features.fixed import PER_UNIT, Wide, kept, number, plus, scaled, whole
from segstream.core.time import DAY, NEVER
from segstream.core.types import Motion, Value

if TYPE_CHECKING:
    from collections.abc import Callable

PRECISION: Final = 32
"""Bits after the point of an event's weight, which lies between 1 and 2: right to 2^-33."""

LIFE: Final = 64
"""Half-lives an event counts for at least. It is then forgotten at less than 2^-64 of what it brought."""

Cells: TypeAlias = dict[int, Wide]
"""Cell number (one half-life each, since 1970) -> sum of the weights of its events, ascending."""


class Rate(Accumulator):
    """Events per unit of time (or the sum of their numbers); each counts half after every half-life.

    Scaled so that a steady stream of three events a day gives 3 when ``per`` is a day. Before the first event
    it is 0.

    This is forward decay: an event's weight depends on its own timestamp only, so the order of arrival does
    not matter and states merge exactly. An event at ``t`` adds ``round(2^32 * 2^((t - kh) / h))`` to the cell
    ``k = t // h``, where ``h`` is the half-life. The value at a moment is the cells' exact integer sum at
    their powers of two, times one factor for the moment. An event counts for 64 half-lives and until the end
    of its cell; leaving it out then changes the value by less than 2^-64 of what the event once added, and
    holds a state to 65 cells.

    Parameters
    ----------
    half_life : int
        Milliseconds.
    per : int
        The unit of time in ms.
    summing : bool
        Add up the numbers told instead of counting events.

    References
    ----------
    G. Cormode, V. Shkapenyuk, D. Srivastava, B. Xu: Forward Decay: A Practical Time Decay Model for Streaming
    Systems. ICDE 2009.

    Examples
    --------
    >>> visits = Rate(7 * DAY)
    >>> state = visits.zero()
    >>> for day in range(100):
    ...     for visit in range(3):
    ...         state = visits.add(state, day * DAY + visit * DAY // 3, None, f"m{day}.{visit}")
    >>> round(visits.value(state, 100 * DAY), 2), round(visits.value(state, 107 * DAY), 2)
    (2.95, 1.48)
    >>> turns = visits.crosses(state, "<", 1.0, 100 * DAY)
    >>> visits.value(state, turns - 1) < 1.0, visits.value(state, turns) < 1.0
    (False, True)
    """

    __slots__ = ("_unit", "half_life", "per", "summing")

    motion = Motion.DECAY

    def __init__(self, half_life: int, per: int = DAY, *, summing: bool = False) -> None:
        self.half_life = half_life
        self.per = per
        self.summing = summing
        # A stream of one event per ms adds up to half_life / ln 2.
        self._unit = log(2) / half_life * per / (PER_UNIT if summing else 1)

    def zero(self) -> Cells:
        """Return no cells."""
        return {}

    def add(self, state: Cells, at: int, value: Value, tie: str) -> Cells:
        """Add the event's weight to the cell of its timestamp."""
        amount = 1
        if self.summing:
            told = number(value)
            if told is None:
                return state
            amount = scaled(told)
        cell, past = divmod(at, self.half_life)
        newest = next(reversed(state), cell)
        if cell < newest - LIFE:
            return state
        weight = amount * round(ldexp(exp2(past / self.half_life), PRECISION))
        if cell < newest and cell not in state:
            return dict(sorted((*state.items(), (cell, kept(weight)))))
        after = state.copy()
        after[cell] = plus(after.get(cell, 0), weight)
        return self._since(after, cell - LIFE)

    def merge(self, a: Cells, b: Cells) -> Cells:
        """Add cell by cell."""
        if not a or not b:
            return a or b
        both = dict(a)
        for cell, weight in b.items():
            both[cell] = plus(both.get(cell, 0), weight)
        cells = dict(sorted(both.items()))
        return self._since(cells, next(reversed(cells)) - LIFE)

    def value(self, state: Cells, at: int) -> float:
        """Return the rate."""
        cell, past = divmod(at, self.half_life)
        oldest = cell - LIFE
        total = 0
        base = 0
        for counted, weight in state.items():
            if counted >= oldest:
                if not total:
                    base = counted
                total += (weight if type(weight) is int else int(weight)) << (counted - base)
        return ldexp(float(total), base - cell - PRECISION) * exp2(-past / self.half_life) * self._unit

    def crosses(self, state: Cells, op: str, bound: float, at: int) -> int:
        """Return when ``value op bound`` turns if no event comes; see `Accumulator.crosses`.

        Between two moments at which a cell is forgotten the value only shrinks towards 0, so it turns at most
        once: at ``start + half_life * log2(value / bound)``, rounding apart. If all amounts have one sign,
        forgetting shrinks it too, and the whole future is one such stretch.
        """
        holds = comparison(op)
        before = holds(self.value(state, at), bound)
        ends = [(cell + LIFE + 1) * self.half_life for cell in state]
        if not self.summing or self._one_sided(state):
            if not ends or ends[-1] <= at or before == holds(0.0, bound):
                return NEVER
            return self._turn(state, holds, bound, at, ends[-1])
        start = at
        for forgotten in ends:
            if forgotten <= at:
                continue
            if holds(self.value(state, forgotten - 1), bound) != before:
                return self._turn(state, holds, bound, start, forgotten - 1)
            if holds(self.value(state, forgotten), bound) != before:
                return forgotten
            start = forgotten
        return NEVER

    def compact(self, state: Cells, at: int) -> Cells:
        """Drop the cells that are forgotten by then."""
        return self._since(state, at // self.half_life - LIFE)

    def _turn(
        self, state: Cells, holds: Callable[[float, float], bool], bound: float, start: int, end: int
    ) -> int:
        """Return when the comparison turns, given that it does so once in (start, end]."""
        before = holds(now := self.value(state, start), bound)
        ratio = now / bound if bound else inf
        guess = int(min(start + self.half_life * log2(ratio), end)) if ratio > 1 else start
        # The formula is right to a rounding error, so these two nearly always leave four milliseconds.
        for probe in (guess - 2, guess + 2):
            if start < probe < end:
                if holds(self.value(state, probe), bound) == before:
                    start = probe
                else:
                    end = probe
        while end - start > 1:
            middle = (start + end) // 2
            if holds(self.value(state, middle), bound) == before:
                start = middle
            else:
                end = middle
        return end

    @staticmethod
    def _one_sided(state: Cells) -> bool:
        weights = [whole(weight) for weight in state.values()]
        return not weights or min(weights) >= 0 or max(weights) <= 0

    @staticmethod
    def _since(cells: Cells, oldest: int) -> Cells:
        if next(iter(cells), oldest) >= oldest:
            return cells
        return {cell: weight for cell, weight in cells.items() if cell >= oldest}
