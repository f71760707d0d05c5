"""Typed tree -> functions ``(states, at) -> value``.

Rules: whatever is computed from an unknown is unknown; so are a division by zero and a result too large for a
double. A value of another kind than is asked for counts as unknown.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, Final, TypeAlias

from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.tree import (
    Arithmetic,
    Coalesce,
    Constant,
    Guard,
    Negative,
    Node,
    Operator,
    Read,
    Since,
)
from segstream.core.time import CENTURY
from segstream.core.types import State, ValueKind

States: TypeAlias = Sequence[State]
Getter: TypeAlias = Callable[[States, int], Any]
"""Reads a value (None: unknown) from a user's states at a moment in ms."""

_OPERATIONS: Final[dict[Operator, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}

LARGEST: Final = {ValueKind.NUMBER: 1e15, ValueKind.DURATION: CENTURY}
"""The largest number and duration that may be written: beyond 1e15 a double cannot tell neighbours with tenths apart."""

_CLASSES: Final[dict[ValueKind, tuple[type, ...]]] = {
    ValueKind.NUMBER: (int, float),
    ValueKind.TEXT: (str,),
    ValueKind.BOOLEAN: (bool,),
}


def getter(node: Node) -> Getter:  # noqa: PLR0911 (one case per kind of node)
    """Compile a node that is a value.

    Raises
    ------
    TypeError
        If the node is a condition; see `truth`.
    """
    match node:
        case Constant():
            constant = node.value
            return lambda states, at: constant  # noqa: ARG005 (all getters are called alike)
        case Read():
            return _read(node)
        case Since():
            return _since(node)
        case Guard():
            return _guard(node)
        case Negative():
            operand = getter(node.operand)
            return lambda states, at: None if (value := operand(states, at)) is None else -value
        case Arithmetic():
            return _arithmetic(node)
        case Coalesce():
            left, right = getter(node.left), getter(node.right)
            return lambda states, at: right(states, at) if (value := left(states, at)) is None else value
        case _:
            raise TypeError(type(node).__name__)


def combine(operation: Operator, left: Any, right: Any) -> Any:
    """Add, subtract, multiply or divide; None where there is no finite result.

    Examples
    --------
    >>> combine("/", 30, 4), combine("/", 1, 0), combine("*", 1e300, 1e300)
    (7.5, None, None)
    """
    try:
        result = _OPERATIONS[operation](left, right)
        return result if isfinite(result) else None
    except (ZeroDivisionError, OverflowError):
        return None


def fold(node: Arithmetic | Negative) -> Constant | None:
    """Compute what consists of constants only.

    Raises
    ------
    ExpressionError
        If there is no result.
    """
    if isinstance(node, Negative):
        if not isinstance(node.operand, Constant):
            return None
        return Constant(-node.operand.value, node.kind, node.offset)  # type: ignore[operator]  # a number by its kind
    left, right = node.left, node.right
    if not (isinstance(left, Constant) and isinstance(right, Constant)):
        if node.operator == "/" and isinstance(right, Constant) and not right.value:
            raise ExpressionError("this divides by zero", right.offset)
        return None
    value = combine(node.operator, left.value, right.value)
    if value is None or (node.kind in LARGEST and abs(value) > LARGEST[node.kind]):
        raise ExpressionError("this divides by zero or is too large", node.offset)
    return Constant(value, node.kind, node.offset)


def _read(node: Read) -> Getter:
    index, value = node.index, node.accumulator.value
    return lambda states, at: value(states[index], at)


def _since(node: Since) -> Getter:
    operand = getter(node.operand)
    return lambda states, at: None if (time := operand(states, at)) is None else at - time


def _guard(node: Guard) -> Getter:
    operand, classes = getter(node.operand), _CLASSES[node.kind]
    # By exact class: True is an int, and not a number here.
    return lambda states, at: value if (value := operand(states, at)).__class__ in classes else None


def _arithmetic(node: Arithmetic) -> Getter:
    left, right, operation = getter(node.left), getter(node.right), node.operator

    def compute(states: States, at: int) -> Any:
        one = left(states, at)
        if one is None:
            return None
        other = right(states, at)
        return None if other is None else combine(operation, one, other)

    return compute
