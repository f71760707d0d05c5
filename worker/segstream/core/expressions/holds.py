"""Typed tree -> functions ``(states, at) -> (truth, until)``: what is so, and up to when it certainly stays so.

``until`` is exclusive and never late: no moment in ``[at, until)`` has another truth if no event comes. It may be
early where a whole is made of parts; a single comparison is exact.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from segstream.core.expressions.courses import compared, course, moves, windows
from segstream.core.expressions.tree import (
    MIRRORED,
    Coalesce,
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
from segstream.core.expressions.truths import TESTS, Test, facing, membership, mirrored, truth
from segstream.core.expressions.turns import Hold, of_age, of_crossing, of_pieces, of_rate
from segstream.core.expressions.values import States
from segstream.core.features.base import COMPARISONS, MOST_STEPS
from segstream.core.time import NEVER
from segstream.core.types import Motion

# The commonest answers, made once.
FOREVER: Final[dict[bool | None, tuple[bool | None, int]]] = {
    known: (known, NEVER) for known in (True, False, None)
}


def hold(node: Node) -> Hold:
    """Compile a condition to its truth and how long that holds.

    Raises
    ------
    ExpressionError
        If the moments at which it turns cannot be told ahead.
    """
    match node:
        case Compare() | Member():
            return _compare(node)
        case _ if not moves(node):
            return _still(node)
        case Looks() | Exists() | Coalesce():
            return of_pieces(node, windows(node), flows=False)
        case Negation():
            return _negation(hold(node.operand))
        case Junction():
            return _junction(node)
        case _:
            raise TypeError(type(node).__name__)


def _still(node: Node) -> Hold:
    known = truth(node)
    return lambda states, at: FOREVER[known(states, at)]


def _compare(node: Compare | Member) -> Hold:
    way = compared(node)
    if not (way.flows or way.windowed):
        return _still(node)
    if isinstance(node, Member) or not way.flows:
        return _single_window(node) or of_pieces(node, way.windowed, flows=False)
    node = node if course(node.left).flows else mirrored(node)
    if way.rate:
        return of_rate(node)
    left = node.left
    if isinstance(left, Since) and isinstance(left.operand, Read) and not (way.windowed or moves(node.right)):
        return of_age(left.operand, node.comparator, node.right)
    return of_pieces(node, way.windowed, flows=True)


def _single_window(node: Compare | Member) -> Hold | None:
    """Return the hold of one windowed feature against constants, if it is that."""
    test: Test
    if isinstance(node, Member):
        left, test = node.operand, membership(node)
    else:
        node = facing(node)
        left = node.left
        if not isinstance(node.right, Constant):
            return None
        test = partial(TESTS[MIRRORED[node.comparator]], node.right.value)
    if not (isinstance(left, Read) and left.accumulator.motion is Motion.STEPS):
        return None
    if isinstance(node, Compare) and left.accumulator.quick and node.comparator in COMPARISONS:
        return of_crossing(left, node.comparator, node.right)
    index, value_of, steps = left.index, left.accumulator.value, left.accumulator.steps

    def windowed(states: States, at: int) -> tuple[bool | None, int]:
        state = states[index]
        value = value_of(state, at)
        now = None if value is None else test(value)
        for seen, (moment, later) in enumerate(steps(state, at), 1):
            if (None if later is None else test(later)) is not now or seen == MOST_STEPS:
                return now, moment
        return FOREVER[now]

    return windowed


def _negation(operand: Hold) -> Hold:
    def negation(states: States, at: int) -> tuple[bool | None, int]:
        value, until = operand(states, at)
        return None if value is None else not value, until

    return negation


def _junction(node: Junction) -> Hold:
    """Hold what decides (a false of an ``and``) as long as any that decides; anything else as long as all hold."""
    still = tuple(part for part in node.parts if not moves(part))
    moving = [hold(part) for part in node.parts if moves(part)]
    decisive = node.decisive
    if not still:
        return _moving(decisive, moving)
    known = truth(Junction(decisive, still, node.offset))
    rest = moving[0] if len(moving) == 1 else _moving(decisive, moving)
    decided = FOREVER[decisive]

    def junction(states: States, at: int) -> tuple[bool | None, int]:
        value = known(states, at)
        if value is decisive:
            return decided
        answer = rest(states, at)
        if value is not None or answer[0] is decisive:
            return answer
        return None, answer[1]

    return junction


def _moving(decisive: bool, parts: list[Hold]) -> Hold:  # noqa: FBT001 (which of the two words it is)
    def junction(states: States, at: int) -> tuple[bool | None, int]:
        unknown, earliest, latest = False, NEVER, at
        for part in parts:
            value, until = part(states, at)
            if value is decisive:
                latest = max(latest, until)
            else:
                earliest = min(earliest, until)
                if value is None:
                    unknown = True
        if latest > at:
            return decisive, latest
        return None if unknown else not decisive, earliest

    return junction
