"""When first and when last."""

from __future__ import annotations

from segstream.core.features.base import Accumulator
from segstream.core.types import Value, ValueKind


class _Moment(Accumulator):
    """The timestamp of one of the events; unknown before the first.

    Parameters
    ----------
    of : bool
        Look only at events that hold any value at the feature's ``of`` path.
    """

    __slots__ = ("of",)

    kind = ValueKind.TIME

    def __init__(self, *, of: bool = False) -> None:
        self.of = of

    def zero(self) -> None:
        """Return the unknown."""
        return

    def value(self, state: int | None, at: int) -> int | None:
        """Return the timestamp in ms."""
        return state


class FirstTime(_Moment):
    """The timestamp of the earliest event.

    Examples
    --------
    >>> joined = FirstTime()
    >>> joined.add(joined.add(joined.zero(), 20, None, "m1"), 10, None, "m2")
    10
    """

    __slots__ = ()

    def add(self, state: int | None, at: int, value: Value, tie: str) -> int | None:
        """Keep the timestamp if it is earlier."""
        if self.of and value is None:
            return state
        return at if state is None or at < state else state

    def merge(self, a: int | None, b: int | None) -> int | None:
        """Keep the earlier."""
        if a is None or b is None:
            return b if a is None else a
        return min(a, b)


class LastTime(_Moment):
    """The timestamp of the latest event.

    Examples
    --------
    >>> last_order = LastTime()
    >>> last_order.add(last_order.add(last_order.zero(), 20, None, "m1"), 10, None, "m2")
    20
    """

    __slots__ = ()

    def add(self, state: int | None, at: int, value: Value, tie: str) -> int | None:
        """Keep the timestamp if it is later."""
        if self.of and value is None:
            return state
        return at if state is None or at > state else state

    def merge(self, a: int | None, b: int | None) -> int | None:
        """Keep the later."""
        if a is None or b is None:
            return b if a is None else a
        return max(a, b)
