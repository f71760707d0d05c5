"""Filters of features: the language over one event, in place of a user's features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from segstream.core.expressions.check import boolean, check
from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.parser import parse
from segstream.core.expressions.tree import Node, write
from segstream.core.expressions.truths import truth
from segstream.core.features import Accumulator
from segstream.core.features.told import READERS
from segstream.core.types import State, Value, ValueKind

Event: TypeAlias = Mapping[str, Any]
"""A decoded event."""

OBJECTS: Final = ("properties", "traits", "context", "integrations")
"""Fields of an event in which others stand."""

FIELDS: Final = (
    "type",
    "event",
    "name",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "messageId",
    "category",
    "channel",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
)
"""The other fields of an event."""

_ELSEWHERE: Final = {"since": "no time passes in it", "in_segment": "knows no segments"}
"""Functions that a filter has no use for, and why."""

_READ: Final = READERS[ValueKind.ANY]


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter.

    Parameters
    ----------
    source : str
        As written.
    text : str
        In normal form; two filters of one text let the same events pass.
    passes : callable
        ``passes(event) -> bool``: whether the filter is true of an event. Where a value is missing, or of another
        kind than it is compared with, the filter is unknown, and so the event does not pass.
    node : Node
        The typed tree that it was compiled from; its names are places in the event.
    """

    source: str
    text: str
    passes: Callable[[Event], bool]
    node: Node = field(repr=False, compare=False)


def compile_filter(text: str) -> Filter:
    """Read, check and compile a filter.

    Parameters
    ----------
    text : str
        For instance ``properties.category == 'shoes' and properties.revenue > 20``.

    Raises
    ------
    ExpressionError
        If anything is wrong with it, with the place and what to write instead.

    Examples
    --------
    >>> shoes = compile_filter("properties.category == 'shoes' and coalesce(properties.revenue, 0) > 20")
    >>> shoes.passes({"properties": {"category": "shoes", "revenue": 59.9}})
    True
    >>> shoes.passes({"properties": {"category": "shoes", "revenue": "59.90"}})
    False
    >>> compile_filter("since(timestamp) > 1d")
    Traceback (most recent call last):
    segstream.core.expressions.errors.ExpressionError: a filter looks at one event and no time passes in it; use since() in a segment's when
    """
    tree = parse(text)
    for call in sorted(tree.find_data("call"), key=lambda part: part.meta.start_pos):
        function = str(call.children[0])
        if function in _ELSEWHERE:
            message = f"a filter looks at one event and {_ELSEWHERE[function]}; use {function}() in a segment's when"
            raise ExpressionError(message, call.meta.start_pos)
    node = boolean(check(tree, _FIELDS, _advise))
    known = truth(node)
    return Filter(text.strip(), write(node), lambda event: known((event,), 0) is True, node)


def _advise(name: str, known: Iterable[str], *, beside_text: bool) -> str:
    root, _, rest = name.partition(".")
    if root in OBJECTS:
        return f"; {root} holds other fields, name one of them: {root}.category"
    close = get_close_matches(root.lower(), [field.lower() for field in known], 1, 0.8)
    near = next((field for field in known if field.lower() in close), None)
    if near is not None:
        return f"; did you mean {(f'{near}.{rest}' if rest else near)!r}?"
    if beside_text and not rest:
        return f"; a text needs quotes: '{name}'; a field, where it is: properties.{name}"
    return f"; did you mean 'properties.{name}'? An event has {', '.join(OBJECTS)} and fields such as event"


class _Field(Accumulator):
    """A place in an event, in the garb of a feature: the event is the state."""

    __slots__ = ("_last", "_way")

    kind = ValueKind.ANY

    def __init__(self, path: str) -> None:
        *self._way, self._last = path.split(".")

    def value(self, state: Event, at: int) -> Value:  # noqa: ARG002 (as all accumulators)
        """Return the text, number or truth value there; None where there is none."""
        part: Any = state
        for step in self._way:
            part = part.get(step)
            if part.__class__ is not dict:
                return None
        return _READ(part.get(self._last))

    def zero(self) -> State:
        """Return an event that holds nothing."""
        return {}

    def add(self, state: State, at: int, value: Value, tie: str) -> State:  # noqa: ARG002 (as all accumulators)
        """Return the same: an event is complete."""
        return state

    def merge(self, a: State, b: State) -> State:  # noqa: ARG002 (as all accumulators)
        """Return the first: there is one event only."""
        return a


class _Fields(Mapping[str, tuple[int, Accumulator]]):
    """Every place an event may have, as the names that a condition may read."""

    def __contains__(self, name: object) -> bool:
        root, dot, rest = str(name).partition(".")
        return bool(rest) if root in OBJECTS else not dot and root in FIELDS

    def __getitem__(self, name: str) -> tuple[int, Accumulator]:
        if name not in self:
            raise KeyError(name)
        return 0, _Field(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*OBJECTS, *FIELDS))

    def __len__(self) -> int:
        return len(OBJECTS) + len(FIELDS)


_FIELDS: Final = _Fields()
