"""Which segments conditions ask for by ``in_segment``, and in what order segments are decided because of it.

A segment is decided after those it asks for, so that it reads what they are after the same decision. The segments of
a group are decided together, so what one of them asks for, all wait for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from segstream.core.features import Accumulator
from segstream.core.types import State, Value, ValueKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ASKED: Final = re.compile(r"""\bin_segment\s*\(\s*(?:'([^'\n]*)'|"([^"\n]*)")""")


class Membership(Accumulator):
    """Whether the user is in a segment; its state is the answer."""

    __slots__ = ()
    kind = ValueKind.BOOLEAN

    def zero(self) -> State:
        """Return that the user is not in it."""
        return False

    def add(self, state: State, at: int, value: Value, tie: str) -> State:  # noqa: ARG002 (as all accumulators)
        """Return the state as it is: no event adds to it."""
        return state

    def merge(self, a: State, b: State) -> State:
        """Return whether the user is in it by either."""
        return a or b

    def value(self, state: State, at: int) -> Value:  # noqa: ARG002 (as all accumulators)
        """Return whether the user is in it."""
        held: bool = state
        return held


class Ask(NamedTuple):
    """A place in a condition that asks for a segment.

    Parameters
    ----------
    segment : str
        Which one.
    offset : int
        Where in the condition's text, in characters.
    """

    segment: str
    offset: int


def asks(condition: str) -> Iterator[Ask]:
    """Yield each place of a condition's text that asks for a segment, in order.

    What looks like one inside a text is yielded too.

    Examples
    --------
    >>> list(asks("orders > 3 and not in_segment('lapsed')"))
    [Ask(segment='lapsed', offset=19)]
    """
    for found in _ASKED.finditer(condition):
        yield Ask(found[1] or found[2] or "", found.start())


def circle(units: Sequence[Sequence[str]], asked: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return a circle of segments that ask for each other, as (who asks, for whom); empty if there is none.

    Parameters
    ----------
    units : sequence of sequence of str
        Segments that are decided together.
    asked : mapping
        Segment -> those it asks for.

    Examples
    --------
    >>> circle([["a"], ["b", "c"]], {"a": ["c"], "b": ["a"]})
    [('a', 'c'), ('b', 'a')]
    """
    return _walk(units, asked)[1]


def in_order(units: Sequence[Sequence[str]], asked: Mapping[str, Sequence[str]]) -> list[int]:
    """Return the places of units such that each comes after those it asks for, and else as they are.

    Parameters
    ----------
    units, asked
        As for `circle`; there must be none.

    Examples
    --------
    >>> in_order([["a"], ["b"], ["c"]], {"a": ["c"]})
    [2, 0, 1]
    """
    return _walk(units, asked)[0]


def _walk(
    units: Sequence[Sequence[str]], asked: Mapping[str, Sequence[str]]
) -> tuple[list[int], list[tuple[str, str]]]:
    """Visit each unit after those it asks for. Without recursion: a chain may be a thousand long."""
    unit_of = {name: place for place, names in enumerate(units) for name in names}
    ways = {
        place: [(name, each) for name in names for each in asked.get(name, ()) if each in unit_of]
        for place, names in enumerate(units)
    }
    done: dict[int, None] = {}
    for start, first in ways.items():
        if start in done:
            continue
        path, open_ways, trail = [start], [iter(first)], list[tuple[str, str]]()
        while path:
            way = next(open_ways[-1], None)
            if way is None:
                done[path.pop()] = None
                open_ways.pop()
                if trail:
                    trail.pop()
                continue
            place = unit_of[way[1]]
            if place in path:
                return list(done), [*trail[path.index(place) :], way]
            if place not in done:
                path.append(place)
                open_ways.append(iter(ways[place]))
                trail.append(way)
    return list(done), []
