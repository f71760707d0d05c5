"""How much: sum and mean, in fixed-point integers of 10^-6 (the rule is in `fixed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstream.core.features.base import Accumulator
from segstream.core.features.fixed import PER_UNIT, Wide, amount, plus, whole

if TYPE_CHECKING:
    from segstream.core.types import Value


class Sum(Accumulator):
    """Sum of the numbers told; 0 before the first.

    Examples
    --------
    >>> revenue = Sum()
    >>> state = revenue.zero()
    >>> for order in range(10):
    ...     state = revenue.add(state, order, 0.10, f"m{order}")
    >>> revenue.value(state, 10)
    1.0
    """

    __slots__ = ()

    def zero(self) -> Wide:
        """Return nought."""
        return 0

    def add(self, state: Wide, at: int, value: Value, tie: str) -> Wide:
        """Add the number."""
        told = amount(value)
        return state if told is None else plus(state, told)

    def merge(self, a: Wide, b: Wide) -> Wide:
        """Add both sums."""
        return plus(a, b)

    def value(self, state: Wide, at: int) -> float:
        """Return the sum, correctly rounded to a float."""
        return (state if type(state) is int else int(state)) / PER_UNIT


class Mean(Accumulator):
    """Arithmetic mean of the numbers told; unknown before the first.

    The state is ``(sum, how many)`` or ``None``.

    Examples
    --------
    >>> basket = Mean()
    >>> state = basket.add(basket.add(basket.zero(), 1, 10, "m1"), 2, 20.5, "m2")
    >>> basket.value(state, 2)
    15.25
    """

    __slots__ = ()

    def zero(self) -> None:
        """Return the unknown."""
        return

    def add(self, state: tuple[Wide, int] | None, at: int, value: Value, tie: str) -> tuple[Wide, int] | None:
        """Take the number in."""
        told = amount(value)
        if told is None:
            return state
        return (plus(told, 0), 1) if state is None else (plus(state[0], told), state[1] + 1)

    def merge(self, a: tuple[Wide, int] | None, b: tuple[Wide, int] | None) -> tuple[Wide, int] | None:
        """Add sums and counts."""
        if a is None or b is None:
            return b if a is None else a
        return plus(a[0], b[0]), a[1] + b[1]

    def value(self, state: tuple[Wide, int] | None, at: int) -> float | None:
        """Return the mean, correctly rounded to a float."""
        return None if state is None else whole(state[0]) / (state[1] * PER_UNIT)
