"""What the rest of the program sees of the language: compiled conditions and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from segstream.core.expressions.check import Scope, boolean, check
from segstream.core.expressions.courses import moves
from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.holds import hold
from segstream.core.expressions.kinds import article, numeric
from segstream.core.expressions.parser import parse
from segstream.core.expressions.tree import Node, Read, Since, children, reads, write
from segstream.core.expressions.truths import Truth, truth
from segstream.core.expressions.turns import Hold
from segstream.core.expressions.values import Getter, getter
from segstream.core.types import ValueKind


@dataclass(frozen=True, slots=True)
class Input:
    """A named value that a condition looks at.

    Parameters
    ----------
    text : str
        As written, in normal form: ``orders``, ``since(last_order)``, ``traits.country``.
    kind : ValueKind
        The kind of its value.
    read : callable
        ``read(states, at) -> Value`` at a moment in ms.
    """

    text: str
    kind: ValueKind
    read: Getter


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition.

    Parameters
    ----------
    source : str
        As written.
    text : str
        In normal form; two conditions of one text mean the same.
    inputs : tuple of Input
        What it looks at, in the order written, each once.
    reads : frozenset of int
        Indices of the states it looks at.
    moves : bool
        Whether it can turn without an event.
    truth : callable
        ``truth(states, at) -> bool | None``; None is unknown.
    hold : callable
        ``hold(states, at) -> (truth, until)``: the truth at ``at``, and a moment after it up to which (exclusive)
        the truth certainly stays if no event comes. Never late; `NEVER` if it does not turn by itself.
    node : Node
        What it was compiled from, for whoever explains it part by part.
    """

    source: str
    text: str
    inputs: tuple[Input, ...]
    reads: frozenset[int]
    moves: bool
    truth: Truth
    hold: Hold
    node: Node = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A compiled number or duration, such as a model's input.

    Parameters
    ----------
    source, text, inputs, reads
        As in `Condition`.
    kind : ValueKind
        NUMBER, or DURATION in ms.
    read : callable
        ``read(states, at) -> float | None``.
    """

    source: str
    text: str
    inputs: tuple[Input, ...]
    reads: frozenset[int]
    kind: ValueKind
    read: Getter


def compile_condition(text: str, scope: Scope) -> Condition:
    """Read, check and compile a condition.

    Parameters
    ----------
    text : str
        For instance ``orders >= 2 and since(last_order) > 60d``.
    scope : mapping
        Name -> (index into the states, accumulator).

    Raises
    ------
    ExpressionError
        If anything is wrong with it, with the place and what to write instead.

    Examples
    --------
    >>> from segstream.core.features import FeatureSpec, build
    >>> last_order = build(FeatureSpec("last_time"))
    >>> lapsed = compile_condition("since( last_order ) > 8w", {"last_order": (0, last_order)})
    >>> lapsed.text
    'since(last_order) > 56d'
    >>> states = [last_order.add(last_order.zero(), 865987200000, None, "m1")]
    >>> lapsed.hold(states, 865987200000)
    (False, 870825600001)
    """
    node = boolean(check(parse(text), scope))
    return Condition(
        source=text.strip(),
        text=write(node),
        inputs=_inputs(node),
        reads=frozenset(read.index for read in reads(node)),
        moves=moves(node),
        truth=truth(node),
        hold=hold(node),
        node=node,
    )


def compile_number(text: str, scope: Scope) -> Number:
    """Read, check and compile a number or a duration; see `compile_condition`.

    Raises
    ------
    ExpressionError
        If anything is wrong with it, or it is neither a number nor a duration.

    Examples
    --------
    >>> from segstream.core.features import FeatureSpec, build
    >>> orders = compile_number("orders / 2", {"orders": (0, build(FeatureSpec("count")))})
    >>> orders.read([5], 0)
    2.5
    """
    node = numeric(check(parse(text), scope))
    if node.kind not in {ValueKind.NUMBER, ValueKind.DURATION}:
        hint = f"; write since({write(node)})" if node.kind is ValueKind.TIME else ""
        raise ExpressionError(
            f"{write(node)} is {article(node.kind)}, not a number or a duration{hint}", node.offset
        )
    value = getter(node)
    return Number(
        source=text.strip(),
        text=write(node),
        inputs=_inputs(node),
        reads=frozenset(read.index for read in reads(node)),
        kind=node.kind,
        read=lambda states, at: None if (known := value(states, at)) is None else float(known),
    )


def _inputs(node: Node) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Read | Since):
            text = write(part)
            found.setdefault(text, Input(text, part.kind, getter(part)))
        else:
            waiting.extend(reversed(children(part)))
    return tuple(found.values())
