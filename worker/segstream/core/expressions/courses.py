"""How a value moves while no event comes, and which movements can be waited for.

A condition is only useful when the moment it turns can be told ahead. That is possible when, between two moments
at which buckets leave windows, each side of a comparison only rises or only falls. What breaks this rule is refused
here, when the definitions are read, with what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.tree import (
    Arithmetic,
    Coalesce,
    Compare,
    Constant,
    Member,
    Negative,
    Node,
    Read,
    Since,
    children,
    reads,
    write,
)
from segstream.core.types import Motion

STEEPEST: Final = 16
"""How many times steeper a part may be than the whole. Up to here one ms of the whole (1/16 of at least one part's
slope) outweighs the rounding of the parts: 2^-53 of 10^13 ms, 300 years, in a handful of operations."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a value moves.

    Parameters
    ----------
    windowed : tuple of Read
        Features in it that move in steps.
    ages : bool
        Whether a ``since`` is in it, so that it moves all the time.
    slope : float or None
        Its change per ms by those, between steps; None when that depends on other features.
    widest : float
        The largest slope of any one of them.
    rate : bool
        Whether a decaying rate is in it.
    """

    windowed: tuple[Read, ...] = ()
    ages: bool = False
    slope: float | None = 0.0
    widest: float = 0.0
    rate: bool = False

    @property
    def flows(self) -> bool:
        """Whether it moves all the time, not only in steps."""
        return self.ages or self.rate


def moves(node: Node) -> bool:
    """Return whether a value or a condition can change without an event."""
    return any(read.accumulator.motion is not Motion.STATIC for read in reads(node)) or any(ages(node))


def ages(node: Node) -> Iterator[Since]:
    """Yield every ``since`` in a value or a condition."""
    if isinstance(node, Since):
        yield node
    for child in children(node):
        yield from ages(child)


def windows(node: Node) -> list[Read]:
    """Return the features of a value or a condition that move in steps."""
    return [read for read in reads(node) if read.accumulator.motion is Motion.STEPS]


def course(node: Node) -> Course:  # noqa: PLR0911 (one case per kind of node)
    """Return how a value moves.

    Raises
    ------
    ExpressionError
        If the moments at which it passes a bound cannot be told ahead.
    """
    match node:
        case Constant():
            return Course()
        case Read():
            motion = node.accumulator.motion
            return Course((node,) if motion is Motion.STEPS else (), rate=motion is Motion.DECAY)
        case Since():
            inner = course(node.operand)
            if inner.flows:
                raise ExpressionError(
                    "since() of a value that itself moves with time cannot be waited for", node.offset
                )
            return replace(inner, ages=True, slope=1.0, widest=1.0)
        case Negative():
            inner = course(node.operand)
            return replace(inner, slope=None if inner.slope is None else -inner.slope)
        case Arithmetic():
            return _arithmetic(node)
        case Coalesce():
            return _either(node)
        case _:
            return course(children(node)[0])


def compared(node: Compare | Member) -> Course:
    """Return how the difference of both sides of a comparison moves.

    Raises
    ------
    ExpressionError
        If the moments at which the comparison turns cannot be told ahead.
    """
    if isinstance(node, Member):
        whole = course(node.operand)
    else:
        whole = _difference(node, course(node.left), course(node.right))
    if not whole.flows:
        return whole
    if isinstance(node, Member) or node.comparator in {"==", "!="}:
        moving = write(node.operand if isinstance(node, Member) else _flowing(node))
        message = f"{moving} moves all the time and equals a value only for an instant; use <, <=, > or >="
        raise ExpressionError(message, node.offset)
    if whole.ages and whole.slope is not None and abs(whole.slope) * STEEPEST < whole.widest:
        message = "the times passed cancel each other out; write last_a - last_b in place of since(last_b) - since(last_a)"
        raise ExpressionError(message, node.offset)
    return whole


def _flowing(node: Compare) -> Node:
    return node.left if course(node.left).flows else node.right


def _arithmetic(node: Arithmetic) -> Course:
    one, other = course(node.left), course(node.right)
    if node.operator in {"+", "-"}:
        return _difference(node, one, other if node.operator == "-" else _negative(other))
    if one.flows and other.flows:
        message = f"{write(node)} combines two values that both move all the time; compare them one by one, joined by and"
        raise ExpressionError(message, node.offset)
    if node.operator == "/" and other.flows:
        right = write(node.right)
        message = f"cannot divide by {right}, which moves all the time; multiply instead: a > b * {right}, not a / {right} > b"
        raise ExpressionError(message, node.right.offset)
    _check_rate(node, one, other)
    moving, factor = (one, node.right) if one.flows or not other.flows else (other, node.left)
    return Course(
        one.windowed + other.windowed,
        moving.ages,
        _scaled(moving.slope, node, factor) if moving.ages else 0.0,
        abs(_scaled(moving.widest, node, factor) or 0.0),
        moving.rate,
    )


def _either(node: Coalesce) -> Course:
    """Return how one of two values moves.

    Which of the two it is changes in steps only. Of what moves all the time that holds for a plain ``since``, known
    as long as its time is; a sum or a product may one day grow too large to be known.
    """
    one, other = course(node.left), course(node.right)
    for part, way in ((node.left, one), (node.right, other)):
        if way.rate or (way.flows and not isinstance(part, Since | Coalesce)):
            advice = "a rate is never unknown" if way.rate else "compute with coalesce(...), not in it"
            message = f"{write(part)} moves all the time; in coalesce() only since(x) may: {advice}"
            raise ExpressionError(message, part.offset)
    return Course(
        one.windowed + other.windowed,
        one.ages or other.ages,
        one.slope if one.slope == other.slope else None,
        max(one.widest, other.widest),
    )


def _scaled(slope: float | None, node: Arithmetic, factor: Node) -> float | None:
    if slope is None or not isinstance(factor, Constant) or isinstance(factor.value, str):
        return None
    return slope / factor.value if node.operator == "/" else slope * factor.value


def _negative(part: Course) -> Course:
    return replace(part, slope=None if part.slope is None else -part.slope)


def _difference(node: Arithmetic | Compare, one: Course, other: Course) -> Course:
    _check_rate(node, one, other)
    slope = None if one.slope is None or other.slope is None else one.slope - other.slope
    if slope is None and one.ages and other.ages:
        message = f"{write(node)} lets two times pass at speeds that depend on other features; multiply by plain numbers only"
        raise ExpressionError(message, node.offset)
    return Course(
        one.windowed + other.windowed,
        one.ages or other.ages,
        slope,
        max(one.widest, other.widest),
        one.rate or other.rate,
    )


def _check_rate(node: Arithmetic | Compare, one: Course, other: Course) -> None:
    """Refuse a decaying rate beside anything but a factor and a bound that stand still."""
    rate, rest = (one, other) if one.rate else (other, one)
    if not rate.rate:
        return
    if rest.flows or rest.windowed or rate.windowed:
        message = f"{write(node)} compares a decaying rate with a value that moves too; compare each with a number that stands still"
        raise ExpressionError(message, node.offset)
    if isinstance(node, Arithmetic) and node.operator in {"+", "-"}:
        message = f"{write(node)} adds to a decaying rate; put the rate alone on one side: rate > b - a, not rate + a > b"
        raise ExpressionError(message, node.offset)
