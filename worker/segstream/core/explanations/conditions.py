"""A condition part by part: each with its truth, its values, since when and until when, and what would turn it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from segstream.core.changes import shown
from segstream.core.explanations.changing import Known, Way, ways
from segstream.core.expressions.holds import hold
from segstream.core.expressions.tree import (
    Compare,
    Constant,
    Junction,
    Looks,
    Member,
    Negation,
    Node,
    Read,
    Since,
    children,
    write,
)
from segstream.core.expressions.truths import facing
from segstream.core.expressions.values import getter
from segstream.core.features.times import FirstTime, LastTime
from segstream.core.time import NEVER, format_time
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.definitions import Definitions
    from segstream.core.expressions.turns import Hold
    from segstream.core.types import State, Value

MOST_HOPS: Final = 256
"""How many of the moments that a condition names as "ask again then" are followed to the one at which it turns: half
as many are what one window's buckets can make of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A condition, or a part of one, at a moment.

    Parameters
    ----------
    text : str
        In normal form.
    word : str
        ``and``, ``or``, ``not``, or ``comparison`` for what has no parts.
    truth : bool or None
        None is unknown.
    since : int or None
        Since when (ms) it is so, by what is known now; only where a comparison of a time passed, or a negation of
        one, tells it.
    until : int
        When (ms) it turns if no event comes and the segments it asks for stay as they are; `NEVER` if it does not.
    value, threshold : Value
        What is compared, as people read it: of a comparison its two sides, of a list or a text to look for those.
    inputs : dict of str to Value
        The features, traits and times passed that a comparison reads, as people read them.
    ways : tuple of Way
        What would turn a comparison.
    parts : tuple of Part
        Of ``and``, ``or`` and ``not``.
    """

    text: str
    word: str
    truth: bool | None
    since: int | None
    until: int
    value: Value
    threshold: Value | list[Value]
    inputs: dict[str, Value]
    ways: tuple[Way, ...]
    parts: tuple[Part, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it; what does not apply is left out."""
        told: dict[str, Any] = {
            "condition": self.text,
            "kind": self.word,
            "truth": self.truth,
            "since": None if self.since is None else format_time(self.since),
            "until": moment(self.until),
        }
        if self.parts:
            return told | {"parts": [part.document() for part in self.parts]}
        return told | {
            "value": self.value,
            "threshold": self.threshold,
            "inputs": self.inputs,
            "would_change": [_way(each) for each in self.ways],
        }


def explain(node: Node, definitions: Definitions, states: Sequence[State], at: int) -> Part:
    """Take a condition apart.

    Parameters
    ----------
    node : Node
        The condition.
    definitions : Definitions
        Whose features it reads.
    states : sequence of State
        The user's feature states, and behind them whether the user is in each of ``definitions.memberships``.
    at : int
        The moment in ms.

    Examples
    --------
    >>> from segstream.core.definitions import read_definitions
    >>> shop = read_definitions(
    ...     '''
    ... version: 1
    ... features: {last_order: {op: last_time, event: Order Completed}, orders: {op: count, event: Order Completed}}
    ... segments: {lost: {when: orders >= 2 and since(last_order) > 60d}}
    ... '''
    ... )
    >>> whole = explain(shop.segments[0].when.node, shop, [0, 1], 5_184_000_001)
    >>> whole.truth, [(part.truth, part.value, part.threshold) for part in whole.parts]
    (False, [(False, 1, 2), (True, '60d1ms', '60d')])
    >>> whole.parts[0].ways[0].text
    '1 more Order Completed'
    """
    holds = hold(node)
    now, until = holds(states, at)[0], turns(holds, states, at)
    if isinstance(node, Junction | Negation):
        parts = tuple(explain(each, definitions, states, at) for each in children(node))
        word = "not" if isinstance(node, Negation) else "or" if node.decisive else "and"
        since = parts[0].since if word == "not" else None
        return Part(write(node), word, now, since, until, None, None, {}, (), parts)
    value, threshold = _sides(node, states, at)
    return Part(
        text=write(node),
        word="comparison",
        truth=now,
        since=_since(node, states, at, now),
        until=until,
        value=value,
        threshold=threshold,
        inputs=_inputs(node, states, at),
        ways=ways(node, definitions, states, at, until),
        parts=(),
    )


def turns(holds: Hold, states: Sequence[State], at: int) -> int:
    """Return the first moment (ms) with another truth if no event comes, `NEVER` if there is none.

    Where it takes more than `MOST_HOPS` steps to find, an earlier moment up to which the truth certainly stays.
    """
    now, until = holds(states, at)
    for _ in range(MOST_HOPS):
        if until > LATEST:
            return NEVER
        later, following = holds(states, until)
        if later is not now:
            break
        until = following
    return until


def moment(at: int | None) -> str | None:
    """Return a moment (ms) as JSON has it: null for none, and for one that does not come."""
    return None if at is None or at > LATEST else format_time(at)


def _way(each: Way) -> dict[str, Any]:
    told = {"text": each.text, "becomes": each.becomes, "feature": each.feature}
    exact = {"events": each.events, "amount": each.amount, "silence_ms": each.silence}
    return told | {name: value for name, value in exact.items() if value is not None}


def _sides(node: Node, states: Sequence[State], at: int) -> tuple[Value, Value | list[Value]]:
    """Return what is compared with what."""
    if isinstance(node, Member):
        return _read(node.operand, states, at), [shown(item.value, item.kind) for item in node.items]
    if isinstance(node, Compare):
        node = facing(node)
    if isinstance(node, Compare | Looks):
        return _read(node.left, states, at), _read(node.right, states, at)
    return (_read(node, states, at) if isinstance(node, Read) else None), None


def _read(node: Node, states: Sequence[State], at: int) -> Value:
    return shown(getter(node)(states, at), node.kind)


def _inputs(node: Node, states: Sequence[State], at: int) -> dict[str, Value]:
    if isinstance(node, Read | Since):
        return {write(node): _read(node, states, at)}
    found: dict[str, Value] = {}
    for child in children(node):
        found |= _inputs(child, states, at)
    return found


def _since(node: Node, states: Sequence[State], at: int, now: Known) -> int | None:
    """Return when a bound of time was passed, which is all that the present tells of the past.

    A bound not passed yet may have been passed before: then since when it is not, nobody remembers.
    """
    if now is None or not isinstance(node, Compare):
        return None
    node = facing(node)
    if not (isinstance(node.left, Since) and isinstance(node.left.operand, Read)):
        return None
    read = node.left.operand
    if not (isinstance(read.accumulator, FirstTime | LastTime) and isinstance(node.right, Constant)):
        return None
    if now is not (node.comparator in {">", ">="}):
        return None
    holds = hold(node)
    begin = read.accumulator.value(states[read.index], at)
    # Just at the event the bound has not been passed, unless it is nought or less.
    then, turned = holds(states, int(begin))  # type: ignore[arg-type]  # a time, as ``now`` is known
    return turned if then is not now and turned <= at else None
