"""How many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstream.core.features.base import Accumulator

if TYPE_CHECKING:
    from segstream.core.types import Value


class Count(Accumulator):
    """Number of events.

    Parameters
    ----------
    of : bool
        Count only events that hold any value at the feature's ``of`` path.

    Examples
    --------
    >>> pages = Count()
    >>> pages.value(pages.add(pages.zero(), 0, None, "m1"), 0)
    1
    """

    __slots__ = ("of",)

    def __init__(self, *, of: bool = False) -> None:
        self.of = of

    def zero(self) -> int:
        """Return nought."""
        return 0

    def add(self, state: int, at: int, value: Value, tie: str) -> int:
        """Count one more."""
        return state if self.of and value is None else state + 1

    def merge(self, a: int, b: int) -> int:
        """Add both counts."""
        return a + b

    def value(self, state: int, at: int) -> int:
        """Return the count."""
        return state
