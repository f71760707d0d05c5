"""Smallest and largest."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from segstream.core.features.base import Accumulator
from segstream.core.features.fixed import number

if TYPE_CHECKING:
    from segstream.core.types import Value


class _Extreme(Accumulator):
    """The number furthest to one side, as it was told; unknown before the first."""

    __slots__ = ()

    def zero(self) -> None:
        """Return the unknown."""
        return

    def add(self, state: float | None, at: int, value: Value, tie: str) -> float | None:
        """Keep the number if it is further out."""
        return self.merge(state, number(value))

    @abstractmethod
    def merge(self, a: float | None, b: float | None) -> float | None:
        """Keep the one further out; of the equal 3 and 3.0 the whole number, whichever came first."""

    def value(self, state: float | None, at: int) -> float | None:
        """Return the number as told."""
        return state


class Min(_Extreme):
    """The smallest number told.

    Examples
    --------
    >>> cheapest = Min()
    >>> cheapest.add(cheapest.add(cheapest.zero(), 1, 12.5, "m1"), 2, 30, "m2")
    12.5
    """

    __slots__ = ()

    def merge(self, a: float | None, b: float | None) -> float | None:
        """Keep the smaller."""
        if a is None or b is None:
            return b if a is None else a
        if a == b:
            return a if type(a) is int else b
        return min(b, a)


class Max(_Extreme):
    """The largest number told.

    Examples
    --------
    >>> dearest = Max()
    >>> dearest.add(dearest.add(dearest.zero(), 1, 12.5, "m1"), 2, 30, "m2")
    30
    """

    __slots__ = ()

    def merge(self, a: float | None, b: float | None) -> float | None:
        """Keep the larger."""
        if a is None or b is None:
            return b if a is None else a
        if a == b:
            return a if type(a) is int else b
        return max(b, a)
