"""What features and conditions are worth, counted anew from all events: the values behind `plain`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from lark import Token, Tree

from segstream.core.expressions.parser import parse
from segstream_schemas.definitions import FeatureDefinition

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
Moment = int
Syntax = Tree[Token]


def duration(text: str) -> int:
    """Return a written duration in ms."""
    total, digits, unit = 0, "", ""
    for character in text + "0":
        if character.isdigit() and unit:
            total, digits, unit = total + int(digits) * UNITS[unit], "", ""
        if character.isdigit():
            digits += character
        else:
            unit += character
    return total


@dataclass(frozen=True, eq=False)
class Happening:
    """An event as it was sent; ``at`` and ``arrival`` in ms."""

    user: str
    at: int
    arrival: int
    message: str
    type: str
    name: str | None
    document: Mapping[str, Any]
    topic: str
    partition: int
    offset: int


# ------------------------------------------------------------------------------------------------- features


def number(value: object) -> float | None:
    """Return the value if it is a finite number; True is none."""
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    return None


def looked_up(document: Mapping[str, Any], path: str) -> Any:
    """Return the scalar at a path, None where there is none."""
    part: Any = document
    for key in path.split("."):
        if not isinstance(part, dict):
            return None
        part = part.get(key)
    return part if isinstance(part, int | float | str | bool) else None


def listed(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return one or several names as several."""
    return () if names is None else (names,) if isinstance(names, str) else names


def selected(item: FeatureDefinition, event: Happening) -> bool:
    """Tell whether an event reaches a feature."""
    if item.event is not None and not (event.type == "track" and event.name in listed(item.event)):
        return False
    if item.type is not None and event.type != item.type:
        return False
    if item.name is not None and event.name not in listed(item.name):
        return False
    return item.topic is None or event.topic in listed(item.topic)


def resolution(item: FeatureDefinition) -> int:
    """Return the width of a window's buckets in ms."""
    if item.resolution is not None:
        return duration(item.resolution)
    widths = ["1d", "6h", "1h", "15m", "5m", "1m", "10s"]
    fine = [duration(width) for width in widths if duration(item.window or "") >= 288 * duration(width)]
    return fine[0] if fine else 1_000


def leaves(item: FeatureDefinition, event: Happening) -> Moment:
    """Return when an event stops to count in a window or a rate."""
    if item.window is not None:
        width = resolution(item)
        return (event.at // width + 1) * width + duration(item.window)
    half_life = duration(item.half_life or "")
    return (event.at // half_life + 65) * half_life


def exact(values: Sequence[float]) -> Fraction:
    """Add numbers, each rounded to six decimals."""
    places = Decimal("0.000001")
    return sum(
        (Fraction(Decimal(str(value)).quantize(places, ROUND_HALF_EVEN)) for value in values), Fraction(0)
    )


def moves(item: FeatureDefinition) -> bool:
    """Tell whether a feature changes without an event."""
    return item.window is not None or item.op == "rate"


def value_of(item: FeatureDefinition, events: Sequence[Happening], at: Moment) -> Any:  # noqa: C901, PLR0911 - one per op
    """Return what a feature is at a moment, from all events that count for it."""
    chosen = [event for event in events if selected(item, event)]
    if moves(item):
        chosen = [event for event in chosen if at < leaves(item, event)]
    found = {event: looked_up(event.document, item.of) for event in chosen} if item.of else {}
    numbers = {event: told for event, value in found.items() if (told := number(value)) is not None}
    present = [event for event in chosen if not item.of or found[event] is not None]
    match item.op:
        case "count":
            return len(present)
        case "sum":
            return float(exact(list(numbers.values())))
        case "mean":
            return float(exact(list(numbers.values())) / len(numbers)) if numbers else None
        case "min":
            return min(numbers.values(), default=None)
        case "max":
            return max(numbers.values(), default=None)
        case "first_time":
            return min((event.at for event in present), default=None)
        case "last_time":
            return max((event.at for event in present), default=None)
        case "first":
            earliest = min(present, key=lambda event: (event.at, event.message), default=None)
            return None if earliest is None else found[earliest]
        case "last":
            latest = max(present, key=lambda event: (event.at, event.message), default=None)
            return None if latest is None else found[latest]
        case "rate":
            half_life = duration(item.half_life or "")
            weights = numbers if item.of else dict.fromkeys(chosen, 1.0)
            shares = [weight * 2.0 ** ((event.at - at) / half_life) for event, weight in weights.items()]
            return math.fsum(shares) * math.log(2) / half_life * duration(item.per or "1d")
        case _:
            raise AssertionError(item.op)


def trait_of(name: str, kind: str, events: Sequence[Happening]) -> Any:
    """Return the trait as last told by a value of its kind."""
    kinds = {"text": str, "boolean": bool}
    told: dict[Happening, Any] = {}
    for event in events:
        value = looked_up(event.document, f"traits.{name}")
        fits = number(value) is not None if kind == "number" else type(value) is kinds[kind]
        if event.type == "identify" and fits:
            told[event] = value
    latest = max(told, key=lambda event: (event.at, event.message), default=None)
    return None if latest is None else told[latest]


# ----------------------------------------------------------------------------------------------- conditions


def evaluate(tree: Syntax | Token, read: Callable[[str], Any], at: Moment) -> Any:  # noqa: C901, PLR0911, PLR0912 - one per rule
    """Return the value of a condition or a part of one; None is unknown."""
    assert isinstance(tree, Tree)
    parts: list[Any] = tree.children

    def child(index: int) -> Any:
        return evaluate(parts[index], read, at)

    match tree.data:
        case "any_of" | "all_of":
            decisive = tree.data == "any_of"
            values = [evaluate(part, read, at) for part in parts]
            return decisive if decisive in values else None if None in values else not decisive
        case "negation":
            return None if (value := child(0)) is None else not value
        case "compare":
            return compared(child(0), str(parts[1]), child(2))
        case "member" | "no_member":
            value, items = child(0), [evaluate(item, read, at) for item in parts[1].children]
            if value is None or sort(value) != sort(items[0]):
                return None
            return (value in items) == (tree.data == "member")
        case "arithmetic":
            return computed(child(0), str(parts[1]), child(2))
        case "signed":
            return computed(0, str(parts[0]), child(1))
        case "number":
            return int(parts[0]) if parts[0].isdigit() else float(parts[0])
        case "duration":
            return duration(parts[0])
        case "text":
            return str(parts[0])[1:-1]
        case "true" | "false":
            return tree.data == "true"
        case "name":
            return read(str(parts[0]))
        case "call":
            return computed(at, "-", child(1))
        case _:
            raise AssertionError(tree.data)


def sort(value: object) -> str:
    """Return which kind of value it is."""
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def compared(one: Any, sign: str, other: Any) -> bool | None:
    """Compare; unknown if either is, or if they are of two kinds."""
    if one is None or other is None or sort(one) != sort(other):
        return None
    answers = {"==": one == other, "!=": one != other}
    if not isinstance(one, bool):
        answers |= {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}
    return bool(answers[sign])


def computed(one: Any, sign: str, other: Any) -> Any:
    """Compute; unknown if either is, or if there is no finite result."""
    if one is None or other is None or sort(one) != "number" or sort(other) != "number":
        return None
    if sign == "/" and other == 0:
        return None
    result = one / other if sign == "/" else {"+": one + other, "-": one - other, "*": one * other}[sign]
    return result if math.isfinite(result) else None


@cache
def tree_of(text: str) -> Syntax:
    """Return the syntax tree of a condition."""
    return parse(text)
