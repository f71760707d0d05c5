"""When a single comparison turns: closed forms, and the search where there is none.

All functions made here return ``(truth, until)`` with ``until`` the first moment with another truth, exact to the
millisecond, or `NEVER`; only `of_pieces` gives up early when many windows move at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import merge
from math import ceil, floor
from typing import Any, Final, TypeAlias

from segstream.core.expressions.tree import (
    MIRRORED,
    Arithmetic,
    Comparator,
    Compare,
    Constant,
    Negative,
    Node,
    Read,
    reads,
)
from segstream.core.expressions.truths import TESTS, Truth, truth
from segstream.core.expressions.values import States, combine, getter
from segstream.core.time import NEVER
from segstream.core.types import Motion, ValueKind

Hold: TypeAlias = Callable[[States, int], tuple[bool | None, int]]
"""Returns the truth at a moment, and the moment up to which (exclusive) it certainly stays so."""

Moments: TypeAlias = Callable[[States, int], Iterator[int]]
"""Yields the moments after a moment at which any of some windows moves, in order."""

MOST_MOMENTS: Final = 64
"""Moments at which a comparison of several windows is tried out before it says: ask again then."""

FAR: Final = 1 << 50
"""36,000 years in ms: what has not turned by then never will, and such times are still exact in a double."""

UNKNOWN: Final[tuple[bool | None, int]] = (None, NEVER)


def of_age(feature: Read, comparator: Comparator, right: Node) -> Hold:
    """Compare the time since a moment ``x`` with a duration ``c``, both standing still.

    ``since(x) > c`` turns true at ``x + floor(c) + 1``, ``>=`` at ``x + ceil(c)``; ``<=`` and ``<`` turn false
    there.

    Parameters
    ----------
    feature : Read
        The moment.
    comparator : str
        One of ``<``, ``<=``, ``>``, ``>=``.
    right : Node
        The duration.
    """
    index, time_of = feature.index, feature.accumulator.value
    # An age is a whole number of ms, so its bound may be rounded to one.
    first_past: Callable[[Any], int] = ceil if comparator in {">=", "<"} else lambda bound: floor(bound) + 1
    late = comparator in {">", ">="}
    over: tuple[bool | None, int] = (late, NEVER)
    early = not late

    if isinstance(right, Constant):
        past = first_past(right.value)

        def of_constant(states: States, at: int) -> tuple[bool | None, int]:
            time = time_of(states[index], at)
            if time is None:
                return UNKNOWN
            turns: int = time + past  # type: ignore[operator,assignment]  # a time is an int
            return over if at >= turns else (early, turns)

        return of_constant
    bound_of = getter(right)

    def of_value(states: States, at: int) -> tuple[bool | None, int]:
        time, bound = time_of(states[index], at), bound_of(states, at)
        if time is None or bound is None:
            return UNKNOWN
        turns: int = time + first_past(bound)  # type: ignore[operator,assignment]  # a time is an int
        return over if at >= turns else (early, min(turns, NEVER))

    return of_value


def of_crossing(feature: Read, comparator: Comparator, right: Node) -> Hold:
    """Compare a feature that moves with what stands still, where the feature itself tells when it crosses a bound.

    Parameters
    ----------
    feature : Read
        The feature.
    comparator : str
        One of ``<``, ``<=``, ``>``, ``>=``.
    right : Node
        The bound, a number.
    """
    known, bound_of = truth(Compare(comparator, feature, right, right.offset)), getter(right)
    index, crosses = feature.index, feature.accumulator.crosses

    def crossing(states: States, at: int) -> tuple[bool | None, int]:
        now = known(states, at)
        if now is None:
            return UNKNOWN
        return now, crosses(states[index], comparator, bound_of(states, at), at)

    return crossing


def of_rate(node: Compare) -> Hold:
    """Compare a decaying rate on the left, or a multiple of it, with what stands still.

    ``gain * rate op bound`` turns when ``rate op bound / gain`` does, give or take the rounding: less than a ms,
    since even with a half-life of a century a rate loses 2e-13 of itself per ms.
    """
    if isinstance(node.left, Read):
        return of_crossing(node.left, node.comparator, node.right)
    known, bound_of = truth(node), getter(node.right)
    rate = _rate(node.left)
    index, accumulator, comparator = rate.index, rate.accumulator, node.comparator
    gain_of = getter(_at_one(node.left))

    def multiple(states: States, at: int) -> tuple[bool | None, int]:
        now, gain = known(states, at), gain_of(states, at)
        if now is None or not gain:
            return now, NEVER
        bound = combine("/", bound_of(states, at), gain)
        if bound is None:
            return now, NEVER
        sign, state = comparator if gain > 0 else MIRRORED[comparator], states[index]
        if TESTS[sign](accumulator.value(state, at), bound) is not now:
            return now, at + 1  # right now the bound lies within the rounding of the value
        turns = accumulator.crosses(state, sign, bound, at)
        if turns == NEVER:
            return now, NEVER
        around = (moment for moment in (turns - 1, turns, turns + 1) if moment > at)
        return now, next((moment for moment in around if known(states, moment) is not now), turns)

    return multiple


def of_pieces(node: Node, windowed: Iterable[Read], *, flows: bool) -> Hold:
    """Compare values that move in steps and, if ``flows``, evenly in between.

    Between two steps the difference of both sides only rises or only falls, so the comparison turns there at most
    once: where a straight line through both ends says, rounding apart.
    """
    known = truth(node)
    sources = list({read.index: read.accumulator.steps for read in windowed}.items())

    def moments(states: States, at: int) -> Iterator[int]:
        return merge(*([moment for moment, _ in steps(states[index], at)] for index, steps in sources))

    if flows and isinstance(node, Compare):
        return _flowing(node, known, moments)
    return _stepping(known, moments)


def _stepping(known: Truth, moments: Moments) -> Hold:
    def stepping(states: States, at: int) -> tuple[bool | None, int]:
        now = known(states, at)
        for seen, moment in enumerate(moments(states, at), 1):
            if known(states, moment) is not now or seen == MOST_MOMENTS:
                return now, moment
        return now, NEVER

    return stepping


def _flowing(node: Compare, known: Truth, moments: Moments) -> Hold:
    gap = getter(Arithmetic("-", node.left, node.right, node.left.kind, node.offset))

    def flowing(states: States, at: int) -> tuple[bool | None, int]:
        now, start = known(states, at), at

        def turn(end: int) -> int:
            one, other = gap(states, start), gap(states, end)
            known_ends = one is not None and other is not None
            share = combine("/", one, one - other) if known_ends else None
            guess = start + int((end - start) * share) if share is not None and 0 <= share <= 1 else start
            return first_turn(lambda moment: known(states, moment) is not now, start, end, guess)

        for seen, moment in enumerate(moments(states, at), 1):
            if known(states, moment - 1) is not now:
                return now, turn(moment - 1)
            if known(states, moment) is not now or seen == MOST_MOMENTS:
                return now, moment
            start = moment
        return now, turn(at + FAR) if known(states, at + FAR) is not now else NEVER

    return flowing


def first_turn(turned: Callable[[int], bool], low: int, high: int, guess: int) -> int:
    """Find the first moment after ``low`` that has turned, given that ``high`` has and none turns back.

    Searches outwards from ``guess`` in doubling steps, then halves.

    Examples
    --------
    >>> first_turn(lambda moment: moment >= 700, 0, 1 << 50, guess=698)
    700
    """
    step, probe = 1, min(max(guess, low + 1), high)
    if turned(probe):
        high = probe
        while (probe := high - step) > low and turned(probe):
            high, step = probe, step * 2
        low = max(low, probe)
    else:
        low = probe
        while (probe := low + step) < high and not turned(probe):
            low, step = probe, step * 2
        high = min(high, probe)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if turned(middle) else (middle, high)
    return high


def _rate(node: Node) -> Read:
    """Return the one decaying rate in a product."""
    match node:
        case Negative():
            return _rate(node.operand)
        case Arithmetic():
            return _rate(node.left if _decays(node.left) else node.right)
        case Read():
            return node
        case _:
            raise TypeError(type(node).__name__)


def _decays(node: Node) -> bool:
    return any(read.accumulator.motion is Motion.DECAY for read in reads(node))


def _at_one(node: Node) -> Node:
    """Return a product with its rate set to 1, which makes it the factor."""
    match node:
        case Read() if node.accumulator.motion is Motion.DECAY:
            return Constant(1.0, ValueKind.NUMBER, node.offset)
        case Negative():
            return replace(node, operand=_at_one(node.operand))
        case Arithmetic():
            return replace(node, left=_at_one(node.left), right=_at_one(node.right))
        case _:
            return node
