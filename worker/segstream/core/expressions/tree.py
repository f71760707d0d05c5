"""The typed tree: what a condition means, after names and types have been checked.

Nodes know where they came from (``offset``) and of which kind their value is. ``write`` prints one in a
normal form, so that two spellings of one meaning (``8w`` and ``56d``) read and hash the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from segstream.core.features import Accumulator
from segstream.core.time import format_duration, format_time
from segstream.core.types import ValueKind

Comparator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Operator: TypeAlias = Literal["+", "-", "*", "/"]
Look: TypeAlias = Literal["contains", "starts_with", "matches"]

MIRRORED: Final[dict[Comparator, Comparator]] = {
    "==": "==",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
"""The comparator that says the same with both sides exchanged."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the condition; times and durations in milliseconds."""

    value: int | float | str | bool
    kind: ValueKind
    offset: int


@dataclass(frozen=True, slots=True)
class Read:
    """A feature or trait of the user."""

    name: str
    index: int
    accumulator: Accumulator
    kind: ValueKind
    offset: int


@dataclass(frozen=True, slots=True)
class Since:
    """How long ago a time is: the moment of evaluation minus ``operand``."""

    operand: Node
    offset: int
    kind: ValueKind = ValueKind.DURATION


@dataclass(frozen=True, slots=True)
class Negative:
    """Minus a number or duration."""

    operand: Node
    kind: ValueKind
    offset: int


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two values added, subtracted, multiplied or divided."""

    operator: Operator
    left: Node
    right: Node
    kind: ValueKind
    offset: int


@dataclass(frozen=True, slots=True)
class Guard:
    """A value of any kind, taken as one certain kind; unknown when it is of another."""

    operand: Node
    kind: ValueKind
    offset: int


@dataclass(frozen=True, slots=True)
class Coalesce:
    """A value, or another one while the first is unknown."""

    left: Node
    right: Node
    kind: ValueKind
    offset: int


@dataclass(frozen=True, slots=True)
class Compare:
    """Two values of one kind, compared."""

    comparator: Comparator
    left: Node
    right: Node
    offset: int
    kind: ValueKind = ValueKind.BOOLEAN


@dataclass(frozen=True, slots=True)
class Member:
    """A value that is, or is not, one of a list."""

    operand: Node
    items: tuple[Constant, ...]
    negated: bool
    offset: int
    kind: ValueKind = ValueKind.BOOLEAN


@dataclass(frozen=True, slots=True)
class Looks:
    """What a text looks like: what it contains, what it begins with, which pattern is found in it."""

    look: Look
    left: Node
    right: Node
    offset: int
    kind: ValueKind = ValueKind.BOOLEAN


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether a feature or trait is known; never unknown itself."""

    operand: Read
    offset: int
    kind: ValueKind = ValueKind.BOOLEAN


@dataclass(frozen=True, slots=True)
class Negation:
    """Not."""

    operand: Node
    offset: int
    kind: ValueKind = ValueKind.BOOLEAN


@dataclass(frozen=True, slots=True)
class Junction:
    """``and`` (decided by one false) or ``or`` (decided by one true) of two or more."""

    decisive: bool
    parts: tuple[Node, ...]
    offset: int
    kind: ValueKind = ValueKind.BOOLEAN


Node: TypeAlias = (
    Constant
    | Read
    | Since
    | Negative
    | Arithmetic
    | Guard
    | Coalesce
    | Compare
    | Member
    | Looks
    | Exists
    | Negation
    | Junction
)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below, in the order written."""
    match node:
        case Constant() | Read():
            return ()
        case Arithmetic() | Compare() | Coalesce() | Looks():
            return (node.left, node.right)
        case Junction():
            return node.parts
        case _:
            return (node.operand,)


def reads(node: Node) -> Iterator[Read]:
    """Yield every feature or trait read, from left to right."""
    if isinstance(node, Read):
        yield node
    for child in children(node):
        yield from reads(child)


def write(node: Node) -> str:
    """Print a node in the normal form, with no more parentheses than needed."""
    return _write(node)[0]


# How tightly a printed node holds together; a looser one inside a tighter one gets parentheses.
_EITHER, _BOTH, _NOT, _COMPARE, _SUM, _PRODUCT, _ATOM = range(7)


def _write(node: Node) -> tuple[str, int]:  # noqa: C901, PLR0911, PLR0912 (one case per kind of node)
    match node:
        case Constant():
            text = _constant(node)
            return text, _ATOM if " * " not in text or isinstance(node.value, str) else _PRODUCT
        case Read():
            return node.name, _ATOM
        case Since():
            return f"since({write(node.operand)})", _ATOM
        case Guard():
            return _write(node.operand)
        case Negative():
            return f"-{_inside(node.operand, _ATOM)}", _PRODUCT
        case Arithmetic():
            own = _SUM if node.operator in {"+", "-"} else _PRODUCT
            return f"{_inside(node.left, own)} {node.operator} {_inside(node.right, own + 1)}", own
        case Compare():
            return f"{_inside(node.left, _SUM)} {node.comparator} {_inside(node.right, _SUM)}", _COMPARE
        case Member():
            items = ", ".join(_constant(item) for item in node.items)
            return f"{_inside(node.operand, _SUM)} {'not in' if node.negated else 'in'} [{items}]", _COMPARE
        case Looks():
            return f"{_inside(node.left, _SUM)} {node.look} {_inside(node.right, _SUM)}", _COMPARE
        case Exists():
            return f"exists({write(node.operand)})", _ATOM
        case Coalesce():
            return f"coalesce({write(node.left)}, {write(node.right)})", _ATOM
        case Negation():
            return f"not {_inside(node.operand, _NOT)}", _NOT
        case Junction():
            own, word = (_EITHER, " or ") if node.decisive else (_BOTH, " and ")
            return word.join(_inside(part, own + 1) for part in node.parts), own


def _inside(node: Node, tightness: int) -> str:
    text, own = _write(node)
    return text if own >= tightness else f"({text})"


def _constant(node: Constant) -> str:
    value = node.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    if node.kind is ValueKind.TIME:
        return f"'{format_time(int(value))}'"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if node.kind is ValueKind.DURATION:
        return format_duration(value) if isinstance(value, int) else f"{value!r} * 1ms"
    return repr(value)
