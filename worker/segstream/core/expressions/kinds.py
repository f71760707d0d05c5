"""Which kinds of value go together, and what to write when they do not."""

from __future__ import annotations

from typing import Final

from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.tree import Constant, Guard, Node, Operator, write
from segstream.core.time import parse_time
from segstream.core.types import ValueKind

NUMBER, TEXT, BOOLEAN, TIME, DURATION, ANY = (
    ValueKind.NUMBER,
    ValueKind.TEXT,
    ValueKind.BOOLEAN,
    ValueKind.TIME,
    ValueKind.DURATION,
    ValueKind.ANY,
)

_RESULTS: Final[dict[tuple[ValueKind, Operator, ValueKind], ValueKind]] = {
    (NUMBER, "+", NUMBER): NUMBER,
    (NUMBER, "-", NUMBER): NUMBER,
    (NUMBER, "*", NUMBER): NUMBER,
    (NUMBER, "/", NUMBER): NUMBER,
    (DURATION, "+", DURATION): DURATION,
    (DURATION, "-", DURATION): DURATION,
    (DURATION, "*", NUMBER): DURATION,
    (NUMBER, "*", DURATION): DURATION,
    (DURATION, "/", NUMBER): DURATION,
    (DURATION, "/", DURATION): NUMBER,
    (TIME, "+", DURATION): TIME,
    (DURATION, "+", TIME): TIME,
    (TIME, "-", DURATION): TIME,
    (TIME, "-", TIME): DURATION,
}

_ARTICLES: Final = {
    NUMBER: "a number",
    TEXT: "a text",
    BOOLEAN: "true or false",
    TIME: "a time",
    DURATION: "a duration",
    ANY: "a value of any kind",
}

_EXAMPLES: Final = {NUMBER: "{} > 3", TEXT: "{} == 'DE'", DURATION: "{} > 30d", TIME: "since({}) > 30d"}

_VERBS: Final = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


def article(kind: ValueKind) -> str:
    """Name a kind in a sentence."""
    return _ARTICLES[kind]


def example(kind: ValueKind, text: str) -> str:
    """Show how a value of a kind is compared."""
    return _EXAMPLES[kind].format(text)


def numeric(node: Node) -> Node:
    """Take a value of any kind as a number."""
    return Guard(node, NUMBER, node.offset) if node.kind is ANY else node


def textual(node: Node, look: str) -> Node:
    """Take a value as a text to look into.

    Raises
    ------
    ExpressionError
        If it is of another kind.
    """
    if node.kind is ANY:
        return Guard(node, TEXT, node.offset)
    if node.kind is TEXT:
        return node
    text = write(node)
    hint = f"in quotes it is a text: '{text}'" if isinstance(node, Constant) else "compare it with == or <"
    raise ExpressionError(f"{text} is {article(node.kind)} and {look} takes texts; {hint}", node.offset)


def result(left: Node, operator: Operator, right: Node, offset: int) -> ValueKind:
    """Return the kind of a sum, difference, product or quotient.

    Raises
    ------
    ExpressionError
        If the two cannot be combined so.
    """
    one, other = numeric(left).kind, numeric(right).kind
    kind = _RESULTS.get((one, operator, other))
    if kind is not None:
        return kind
    message = (
        f"cannot {_VERBS[operator]} {write(left)} ({article(one)}) and {write(right)} ({article(other)})"
    )
    if {one, other} in ({NUMBER, DURATION}, {NUMBER, TIME}) and operator in {"+", "-"}:
        message += "; give the number a unit, for instance 7d"
    elif one is NUMBER and other is DURATION:
        message += "; turn the duration into a number first: since(x) / 1d"
    raise ExpressionError(message, offset)


def fit(left: Node, right: Node, comparator: str) -> tuple[Node, Node]:
    """Return both sides of a comparison as values of one kind.

    A value of any kind is taken as what it is compared with; a text beside a time is read as a time.

    Raises
    ------
    ExpressionError
        If they cannot be compared.
    """
    if left.kind is TIME and right.kind is TEXT and isinstance(right, Constant):
        right = _time(right)
    elif right.kind is TIME and left.kind is TEXT and isinstance(left, Constant):
        left = _time(left)
    plain = {NUMBER, TEXT, BOOLEAN}
    if left.kind is ANY and right.kind in plain:
        left = Guard(left, right.kind, left.offset)
    elif right.kind is ANY and left.kind in plain:
        right = Guard(right, left.kind, right.offset)
    if left.kind is not right.kind:
        culprit = left if isinstance(left, Constant) else right
        raise ExpressionError(_unlike(left, right), culprit.offset)
    if comparator not in {"==", "!="} and left.kind in {BOOLEAN, ANY}:
        message = f"{write(left)} is {article(left.kind)} and has no order; compare it with == or !="
        if left.kind is ANY:
            message += f", numbers by {write(left)} - {write(right)} {comparator} 0"
        raise ExpressionError(message, left.offset)
    return left, right


def _unlike(left: Node, right: Node) -> str:
    message = f"{write(left)} is {article(left.kind)} and {write(right)} is {article(right.kind)}"
    kinds = {left.kind, right.kind}
    if kinds == {NUMBER, DURATION}:
        number = left if left.kind is NUMBER else right
        unit = (
            f"{write(number)}d"
            if isinstance(number, Constant) and isinstance(number.value, int)
            else f"{write(number)} * 1d"
        )
        return f"{message}; write a unit, for instance {unit}"
    if kinds == {ANY, DURATION}:
        other = left if left.kind is ANY else right
        return f"{message}; say in what unit it was told, for instance {write(other)} * 1s"
    if kinds == {TIME, DURATION}:
        time = left if left.kind is TIME else right
        return f"{message}; write since({write(time)})"
    if kinds == {TIME, NUMBER}:
        time, number = (left, right) if left.kind is TIME else (right, left)
        unit = f"{write(number)}d" if isinstance(number, Constant) else "60d"
        return f"{message}; write since({write(time)}) > {unit}, or a date in quotes: '2024-01-31'"
    if kinds == {NUMBER, TEXT} and _looks_like_number(right if isinstance(right, Constant) else left):
        return f"{message}; without quotes it is a number"
    return f"{message}; only values of one kind can be compared"


def _looks_like_number(node: Node) -> bool:
    return (
        isinstance(node, Constant)
        and isinstance(node.value, str)
        and node.value.replace(".", "", 1).isdigit()
    )


def _time(node: Constant) -> Constant:
    try:
        return Constant(parse_time(str(node.value)), TIME, node.offset)
    except (ValueError, OverflowError):
        message = (
            f"{str(node.value)!r} is not a time; write for instance '1997-06-11' or '1997-06-11T12:00:00Z'"
        )
        raise ExpressionError(message, node.offset) from None
