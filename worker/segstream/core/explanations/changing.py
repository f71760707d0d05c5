"""What would turn a comparison: so many more events, so much more of an amount, so long a silence, a trait told.

Only what follows exactly from the comparison and the kind of its feature is told; of anything else the threshold
alone. Each way is about one comparison: the same event may turn others, too.

Examples
--------
>>> from segstream.core.definitions import read_definitions
>>> shop = read_definitions(
...     '''
... version: 1
... features: {orders: {op: count, event: Order Completed}}
... segments: {loyal: {when: orders >= 3}}
... '''
... )
>>> ways(shop.segments[0].when.node, shop, [1], 0, 1 << 62)
(Way(text='2 more Order Completed', becomes=True, feature='orders', events=2, amount=None, silence=None),)
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from segstream.core.definitions.model import several
from segstream.core.expressions.tree import Compare, Constant, Exists, Member, Node, Read, Since, reads
from segstream.core.expressions.truths import TESTS, facing, truth
from segstream.core.features.count import Count
from segstream.core.features.fixed import PER_UNIT
from segstream.core.features.times import FirstTime, LastTime
from segstream.core.features.total import Sum
from segstream.core.features.window import Window
from segstream.core.time import format_duration
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segstream.core.definitions import Definitions, Feature
    from segstream.core.types import State

Known: TypeAlias = bool | None
"""A truth; None is unknown."""

EXACT: Final = 1e9
"""Amounts up to here are told: beyond it a double has no six decimals to spare."""

_STEP: Final = Decimal(1) / PER_UNIT


class Way(NamedTuple):
    """One way in which a comparison would turn, if nothing else happens.

    Parameters
    ----------
    text : str
        For people.
    becomes : bool or None
        The comparison's truth then.
    feature : str or None
        What has to change; None for time alone.
    events : int or None
        How many more events have to reach the feature, all of them now.
    amount : float or None
        How much has to be added to the feature, now; more than that where ``text`` says *over*.
    silence : int or None
        How long, in ms, nothing must reach the feature.
    """

    text: str
    becomes: bool | None
    feature: str | None = None
    events: int | None = None
    amount: float | None = None
    silence: int | None = None


def ways(
    node: Node, definitions: Definitions, states: Sequence[State], at: int, until: int
) -> tuple[Way, ...]:
    """Return how a comparison would turn.

    Parameters
    ----------
    node : Node
        A condition without ``and``, ``or`` and ``not`` at its top.
    definitions : Definitions
        Whose features it reads.
    states : sequence of State
        The user's feature states and memberships.
    at : int
        The moment in ms.
    until : int
        When it turns if nothing happens, in ms.
    """
    return (*_by_events(node, definitions, states, at), *_by_time(node, definitions, states, at, until))


def called(feature: Feature, count: int = 1) -> str:
    """Return what the events are called that a feature takes in, one or so many of them.

    Examples
    --------
    >>> from segstream.core.definitions import read_definitions
    >>> shop = read_definitions(
    ...     '''
    ... version: 1
    ... features:
    ...   carts: {op: count, event: [Cart Viewed, Product Added]}
    ...   pages: {op: count, type: page, name: Pricing}
    ...   all: {op: count}
    ... segments: {new: {when: all > 0}}
    ... '''
    ... )
    >>> [called(feature) for feature in shop.features], called(shop.features[0], 2)
    (['event', 'Cart Viewed or Product Added', 'page Pricing'], 'events')
    """
    selector = feature.selector
    types = " or ".join(sorted(selector.types or ()))
    names = " or ".join(sorted(selector.names or ()))
    event = "event" if count == 1 else "events"
    text = names if types == "track" and names else f"{types} {names or event}".strip()
    if selector.topics is not None:
        text += f" on topic {' or '.join(sorted(selector.topics))}"
    if feature.path is not None and not feature.name.startswith("traits."):
        text += f" with {'.'.join(feature.path)}"
    return text if feature.where is None else f"{text} where {feature.where.text}"


def _by_events(node: Node, definitions: Definitions, states: Sequence[State], at: int) -> Iterator[Way]:
    now = truth(node)(states, at)
    if isinstance(node, Compare):
        node = facing(node)
        if isinstance(node.right, Constant):
            yield from _of_comparison(node, node.right, definitions, (states, at, now))
    elif isinstance(node, Member):
        if isinstance(node.operand, Read) and _is_trait(node.operand) and now is node.negated:
            items = " or ".join(_quoted(item.value) for item in node.items)
            told = f"{node.operand.name} told as {'anything but ' if node.negated else ''}{items}"
            if not node.negated:
                yield Way(told, becomes=True, feature=node.operand.name)
    elif isinstance(node, Exists):
        yield from _of_exists(node.operand, definitions, now)
    elif isinstance(node, Read):
        yield from _of_truth_value(node, definitions, now)


def _of_comparison(
    node: Compare,
    bound: Constant,
    definitions: Definitions,
    moment: tuple[Sequence[State], int, Known],
) -> Iterator[Way]:
    states, at, now = moment
    left = node.left
    if isinstance(left, Since) and isinstance(left.operand, Read):
        yield from _of_age(node, left.operand, bound, definitions, now)
        return
    if not isinstance(left, Read) or left.index >= len(definitions.features):
        return
    feature, accumulator = definitions.features[left.index], left.accumulator
    value: Any = accumulator.value(states[left.index], at)
    # By exact class: what is derived from these counts otherwise.
    window = accumulator if type(accumulator) is Window else None
    if type(accumulator) is Count or (window and not window.summing):
        count = None if several(feature.path) else _more(node, bound, value, now)
        if count is not None:
            text = f"{count} more {called(feature, count)}{', now' if window else ''}"
            yield Way(text, becomes=not now, feature=feature.name, events=count)
    elif type(accumulator) is Sum or window:
        yield from _of_sum(node, bound, feature, value, now)
    elif _is_trait(left) and node.comparator == "==" and now is not True:
        yield Way(f"{left.name} told as {_quoted(bound.value)}", becomes=True, feature=left.name)


def _more(node: Compare, bound: Constant, value: int, now: Known) -> int | None:
    """Return the least number of more events that turns a comparison of a count."""
    test, limit = TESTS[node.comparator], bound.value
    if isinstance(limit, str):
        return None
    steps = sorted({1, ceil(limit) - value, floor(limit) + 1 - value})
    return next((step for step in steps if step > 0 and test(value + step, limit) is not now), None)


def _of_sum(node: Compare, bound: Constant, feature: Feature, value: float, now: Known) -> Iterator[Way]:
    """Tell how much more turns a comparison of a sum: not how much less, which no event may bring."""
    limit = bound.value
    if isinstance(limit, str) or max(abs(limit), abs(value)) > EXACT or node.comparator in {"==", "!="}:
        return
    lacking = (Decimal(repr(limit)) - Decimal(repr(value))).quantize(_STEP, ROUND_CEILING)
    over = node.comparator in {">", "<="}
    if lacking < 0 or now is (node.comparator in {">", ">="}):
        return
    path = ".".join(feature.path or ())
    noun = called(feature).replace(f" with {path}", "", 1)
    amount = f"{lacking:f}".rstrip("0").rstrip(".") if lacking else "0"
    now_only = ", now" if isinstance(feature.accumulator, Window) else ""
    text = f"{'over ' * over}{amount} more in {path} of {noun}{now_only}"
    yield Way(text, becomes=not now, feature=feature.name, amount=float(lacking))


def _of_age(
    node: Compare, read: Read, bound: Constant, definitions: Definitions, now: Known
) -> Iterator[Way]:
    """Tell that an event turns a comparison of a time passed: it makes it nought."""
    first = isinstance(read.accumulator, FirstTime) and now is not None
    if first or not isinstance(read.accumulator, FirstTime | LastTime):
        return
    then = TESTS[node.comparator](0, bound.value)
    if then is not now:
        text = _a(called(definitions.features[read.index]))
        yield Way(text, becomes=then, feature=read.name, events=1)


def _of_exists(read: Read, definitions: Definitions, now: Known) -> Iterator[Way]:
    if now is True:
        return
    if _is_trait(read):
        yield Way(f"{read.name} told", becomes=True, feature=read.name)
    elif isinstance(read.accumulator, FirstTime | LastTime):
        text = _a(called(definitions.features[read.index]))
        yield Way(text, becomes=True, feature=read.name, events=1)


def _of_truth_value(read: Read, definitions: Definitions, now: Known) -> Iterator[Way]:
    if read.index >= len(definitions.features):
        segment = definitions.memberships[read.index - len(definitions.features)]
        yield Way(f"{'leaving' if now else 'entering'} {segment}", becomes=not now, feature=None)
    elif _is_trait(read):
        told = "false" if now else "true"
        yield Way(f"{read.name} told as {told}", becomes=not now, feature=read.name)


def _by_time(
    node: Node, definitions: Definitions, states: Sequence[State], at: int, until: int
) -> Iterator[Way]:
    if until > LATEST:
        return
    found = {read.index: read for read in reads(node)}
    length = format_duration(until - at)
    only = next(iter(found.values())) if len(found) == 1 else None
    becomes = truth(node)(states, until)
    if only is None or isinstance(only.accumulator, FirstTime) or only.index >= len(definitions.features):
        yield Way(f"{length} going by", becomes, silence=until - at)
    else:
        text = f"{length} without {_a(called(definitions.features[only.index]))}"
        yield Way(text, becomes, only.name, silence=until - at)


def _is_trait(read: Read) -> bool:
    return read.name.startswith("traits.")


def _a(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)
