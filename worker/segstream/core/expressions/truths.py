"""Typed tree -> functions ``(states, at) -> True | False | None``, in Kleene's three-valued logic.

None is unknown. A comparison with an unknown is unknown; ``and`` is false as soon as one part is, ``or`` true as
soon as one part is, whatever the others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from segstream.core.expressions.patterns import pattern
from segstream.core.expressions.tree import (
    MIRRORED,
    Comparator,
    Compare,
    Constant,
    Exists,
    Junction,
    Looks,
    Member,
    Negation,
    Node,
    Read,
    Since,
)
from segstream.core.expressions.values import Getter, States, getter
from segstream.core.types import ValueKind

Truth: TypeAlias = Callable[[States, int], bool | None]
Test: TypeAlias = Callable[[Any], bool]

TESTS: Final[dict[Comparator, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def truth(node: Node) -> Truth:  # noqa: PLR0911 (one case per kind of node)
    """Compile a condition."""
    match node:
        case Compare():
            return _compare(node)
        case Member():
            return _tested(getter(node.operand), membership(node))
        case Looks():
            return _looks(node)
        case Exists():
            known = getter(node.operand)
            return lambda states, at: known(states, at) is not None
        case Negation():
            operand = truth(node.operand)
            return lambda states, at: None if (value := operand(states, at)) is None else not value
        case Junction():
            return _junction(node.decisive, [truth(part) for part in node.parts])
        case _:
            return getter(node)


def facing(node: Compare) -> Compare:
    """Return the comparison with what is constant, if only one side is, on the right."""
    if isinstance(node.left, Constant) and not isinstance(node.right, Constant):
        return mirrored(node)
    return node


def mirrored(node: Compare) -> Compare:
    """Return the comparison with its sides exchanged; it says the same."""
    return Compare(MIRRORED[node.comparator], node.right, node.left, node.offset)


def membership(node: Member) -> Test:
    """Return whether a known value is in the list (or not, as asked)."""
    items, negated = frozenset(item.value for item in node.items), node.negated
    return lambda value: (value in items) is not negated


def _compare(node: Compare) -> Truth:
    node = facing(node)
    compare = TESTS[node.comparator]
    if node.left.kind is ValueKind.ANY:
        return _alike(node)
    if isinstance(node.right, Constant):
        return _against(node.left, compare, node.right.value)
    left, right = getter(node.left), getter(node.right)

    def compared(states: States, at: int) -> bool | None:
        one, other = left(states, at), right(states, at)
        return None if one is None or other is None else compare(one, other)

    return compared


def _against(left: Node, compare: Callable[[Any, Any], bool], bound: Any) -> Truth:
    """Compare with a constant. The two commonest shapes save one call."""
    if isinstance(left, Read):
        index, value = left.index, left.accumulator.value

        def of_feature(states: States, at: int) -> bool | None:
            one = value(states[index], at)
            return None if one is None else compare(one, bound)

        return of_feature
    if isinstance(left, Since) and isinstance(left.operand, Read):
        index, value = left.operand.index, left.operand.accumulator.value

        def of_age(states: States, at: int) -> bool | None:
            time = value(states[index], at)
            return None if time is None else compare(at - time, bound)  # type: ignore[operator]  # a time by its kind

        return of_age
    return _tested(getter(left), lambda one: compare(one, bound))


def _tested(read: Getter, test: Test) -> Truth:
    return lambda states, at: None if (value := read(states, at)) is None else test(value)


def _looks(node: Looks) -> Truth:
    left = getter(node.left)
    if node.look == "matches":
        found = pattern(str(node.right.value))  # type: ignore[union-attr]  # a constant, as checked
        return lambda states, at: None if (text := left(states, at)) is None else found(text)
    if isinstance(node.right, Constant):
        part = str(node.right.value)
        if node.look == "contains":
            return _tested(left, lambda text: part in text)
        return _tested(left, lambda text: text.startswith(part))
    right, contains = getter(node.right), node.look == "contains"

    def looks(states: States, at: int) -> bool | None:
        one, other = left(states, at), right(states, at)
        if one is None or other is None:
            return None
        return other in one if contains else one.startswith(other)

    return looks


def _alike(node: Compare) -> Truth:
    """Compare two values of any kind: those of unlike kinds differ, and True is not 1."""
    left, right, equal = getter(node.left), getter(node.right), node.comparator == "=="

    def alike(states: States, at: int) -> bool | None:
        one, other = left(states, at), right(states, at)
        if one is None or other is None:
            return None
        return (one == other and isinstance(one, bool) is isinstance(other, bool)) is equal

    return alike


def _junction(decisive: bool, parts: list[Truth]) -> Truth:  # noqa: FBT001 (which of the two words it is)
    if len(parts) == 1:
        return parts[0]

    def junction(states: States, at: int) -> bool | None:
        unknown = False
        for part in parts:
            value = part(states, at)
            if value is decisive:
                return decisive
            if value is None:
                unknown = True
        return None if unknown else not decisive

    return junction
