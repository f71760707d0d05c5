"""What a condition says: its typed tree walked at a moment, with nothing compiled."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from segstream.core.expressions.tree import (
    Arithmetic,
    Coalesce,
    Compare,
    Constant,
    Exists,
    Guard,
    Junction,
    Looks,
    Member,
    Negation,
    Negative,
    Node,
    Read,
    Since,
    children,
)
from segstream.core.types import ValueKind
from segstream.errors import SegstreamError

if TYPE_CHECKING:
    from segstream.core.types import Value

_LONGEST_TEXT: Final = 1_000

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SUMS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_CLASSES: Final[dict[ValueKind, tuple[type, ...]]] = {
    ValueKind.NUMBER: (int, float),
    ValueKind.TEXT: (str,),
    ValueKind.BOOLEAN: (bool,),
}


class UnknownConstruct(SegstreamError):
    """The definitions hold something that the recount does not know. Use a program of one version throughout."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the recount does not know {what}, which the definitions use; update this program, or report it"
        )


def evaluate(node: Node, read: Callable[[Read], Value], at: int) -> Any:
    """Return the value of a node at a moment; None is unknown.

    Parameters
    ----------
    node : Node
    read : callable
        Gives the value of a feature, trait or membership.
    at : int
        In ms.

    Raises
    ------
    UnknownConstruct
        It is a node of a kind not known here.
    """
    kind = type(node)
    if kind is Constant:
        return node.value  # type: ignore[union-attr]  # a constant
    if kind is Read:
        return read(node)  # type: ignore[arg-type]  # a read
    if kind in _OF_TWO:
        one = evaluate(node.left, read, at)  # type: ignore[union-attr]  # these have two sides
        other = evaluate(node.right, read, at)  # type: ignore[union-attr]
        return None if one is None or other is None else _OF_TWO[kind](node, one, other)
    if kind in _OF_ONE:
        value = evaluate(node.operand, read, at)  # type: ignore[union-attr]  # these have one operand
        return None if value is None else _OF_ONE[kind](node, value, at)
    return _of_many(node, read, at)


def _of_many(node: Node, read: Callable[[Read], Value], at: int) -> Any:
    """Return the value of what may be known although a part is not."""
    match node:
        case Junction():
            found = [evaluate(part, read, at) for part in node.parts]
            return node.decisive if node.decisive in found else None if None in found else not node.decisive
        case Coalesce():
            value = evaluate(node.left, read, at)
            return evaluate(node.right, read, at) if value is None else value
        case Exists():
            return read(node.operand) is not None
        case _:
            raise UnknownConstruct(f"{type(node).__name__} in a condition")


def _compared(node: Compare, one: Any, other: Any) -> bool:
    if node.comparator in _ORDER:
        return _ORDER[node.comparator](one, other)
    alike = one == other and isinstance(one, bool) is isinstance(other, bool)
    return alike is (node.comparator == "==")


def _computed(node: Arithmetic, one: Any, other: Any) -> Any:
    try:
        result = _SUMS[node.operator](one, other)
        return result if isfinite(result) else None
    except (ZeroDivisionError, OverflowError):
        return None


def _looks(node: Looks, text: str, wanted: str) -> bool | None:
    match node.look:
        case "contains":
            return wanted in text
        case "starts_with":
            return text.startswith(wanted)
        case "matches":
            return None if len(text) > _LONGEST_TEXT else _pattern(wanted)(text)
        case _:
            raise UnknownConstruct(f"{node.look!r} in a condition")


_OF_TWO: Final[dict[type, Callable[[Any, Any, Any], Any]]] = {
    Compare: _compared,
    Arithmetic: _computed,
    Looks: _looks,
}
_OF_ONE: Final[dict[type, Callable[[Any, Any, int], Any]]] = {
    Since: lambda _, value, at: at - value,
    Negation: lambda _, value, __: not value,
    Negative: lambda _, value, __: -value,
    Guard: lambda node, value, _: value if type(value) in _CLASSES[node.kind] else None,
    Member: lambda node, value, _: any(value == item.value for item in node.items) is not node.negated,
}


@cache
def _pattern(text: str) -> Callable[[str], bool]:
    import re2  # noqa: PLC0415 - most definitions have no pattern

    found = re2.compile(text)
    return lambda value: found.search(value) is not None


def parts(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in children(node):
        yield from parts(child)
