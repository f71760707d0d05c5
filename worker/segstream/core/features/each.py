"""Paths that find several values in one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from segstream.core.types import State, Value

    Add = Callable[[State, int, Value, str], State]


def each(add: Add) -> Callable[[State, int, Iterable[Value], str], State]:
    """Return an ``add`` that takes several values of one event, one after the other.

    Examples
    --------
    >>> from segstream.core.features import FeatureSpec, build
    >>> spent = build(FeatureSpec("sum", has_of=True))
    >>> spent.value(each(spent.add)(spent.zero(), 0, [5, 2.5], "m1"), 0)
    7.5
    """

    def add_each(state: State, at: int, values: Iterable[Value], tie: str) -> State:
        for value in values:
            state = add(state, at, value, tie)
        return state

    return add_each
