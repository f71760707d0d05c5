"""What features and conditions are worth, counted anew from all events: the values behind `plain`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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


@cache
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


def all_at(document: Mapping[str, Any], path: str) -> list[Any]:
    """Return the scalar at a path for each entry of its lists, None where there is none."""
    first, _, rest = path.partition(".")
    part = document.get(first.removesuffix("[]")) if isinstance(document, dict) else None
    entries = part if first.endswith("[]") and isinstance(part, list) else []
    if not first.endswith("[]"):
        entries = [part]
    if not rest:
        return [entry if isinstance(entry, int | float | str | bool) else None for entry in entries]
    return [value for entry in entries for value in all_at(entry, rest)]


def pairs_of(path: str | None, events: Sequence[Happening]) -> list[tuple[Happening, Any]]:
    """Return what events hold at a path: one value each, or with ``[]`` as many as there are."""
    if path is None:
        return [(event, None) for event in events]
    if "[]" in path:
        return [(event, value) for event in events for value in all_at(event.document, path)]
    return [(event, looked_up(event.document, path)) for event in events]


def rank(pair: tuple[Happening, Any]) -> Any:
    """Order values by when they were told, and those of one event by themselves."""
    event, value = pair
    return event.at, event.message, type(value).__name__, value


def equal(one: Any, other: Any) -> bool:
    """Tell whether two values are the same one; true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def different(values: Sequence[Any]) -> list[Any]:
    """Return each value once."""
    return [value for index, value in enumerate(values) if not any(equal(value, it) for it in values[:index])]


def most_frequent(values: Sequence[Any]) -> Any:
    """Return the value there are most of; of several the first, booleans before numbers before texts."""
    counts = [(sum(equal(value, it) for it in values), value) for value in different(values)]
    best = [value for count, value in counts if count == max(count for count, _ in counts)]
    return min(best, key=lambda value: (sort(value), value), default=None)


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
    if item.where is not None:
        passes = evaluate(tree_of(item.where), lambda path: looked_up(event.document, path), 0)
        if passes is not True:
            return False
    return item.topic is None or event.topic in listed(item.topic)


def resolution(item: FeatureDefinition) -> int:
    """Return the width of a window's buckets in ms."""
    if item.op == "days_active":
        return duration("1d")
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


def value_of(item: FeatureDefinition, events: Sequence[Happening], at: Moment) -> Any:  # noqa: C901, PLR0911, PLR0912 - one per op
    """Return what a feature is at a moment, from all events that count for it."""
    chosen = [event for event in events if selected(item, event)]
    if moves(item):
        chosen = [event for event in chosen if at < leaves(item, event)]
    found = pairs_of(item.of, chosen)
    told = [(event, value) for event, value in found if value is not None]
    numbers = [amount for _, value in told if (amount := number(value)) is not None]
    present = [event for event, _ in (told if item.of else found)]
    match item.op:
        case "count":
            return len(present)
        case "sum":
            return float(exact(numbers))
        case "mean":
            return float(exact(numbers) / len(numbers)) if numbers else None
        case "min":
            return min(numbers, default=None)
        case "max":
            return max(numbers, default=None)
        case "first_time":
            return min((event.at for event in present), default=None)
        case "last_time":
            return max((event.at for event in present), default=None)
        case "first":
            return min(told, key=rank)[1] if told else None
        case "last":
            return max(told, key=rank)[1] if told else None
        case "distinct":
            return len(different([value for _, value in told]))
        case "top":
            return most_frequent([value for _, value in told])
        case "share":
            wanted = item.equals if isinstance(item.equals, tuple) else (item.equals,)
            held = [value for _, value in found if any(equal(value, it) for it in wanted)]
            return len(held) / len(found) if found else None
        case "days_active":
            return len({event.at // duration("1d") for event in present})
        case "rate":
            half_life = duration(item.half_life or "")
            weights = [
                (event, weight)
                for event, value in found
                if (weight := number(value) if item.of else 1.0) is not None
            ]
            # The stated rule: what an event weighs at the beginning of its half-life is rounded to 32 bits after the point.
            shares = [
                weight
                * round(2.0 ** (32 + event.at % half_life / half_life))
                * 2.0 ** ((event.at // half_life * half_life - at) / half_life - 32)
                for event, weight in weights
            ]
            return math.fsum(shares) * math.log(2) / half_life * duration(item.per or "1d")
        case _:
            raise AssertionError(item.op)


def moment(value: object) -> int | None:
    """Return a written moment in ms, None where it is none."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value):
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    return None


def trait_of(name: str, kind: str, events: Sequence[Happening]) -> Any:
    """Return the trait as last told by a value of its kind."""
    kinds = {"text": str, "boolean": bool, "time": int}
    told: dict[Happening, Any] = {}
    for event in events:
        value = looked_up(event.document, f"traits.{name}")
        if kind == "time":
            value = moment(value)
        fits = number(value) is not None if kind == "number" else type(value) is kinds[kind]
        if event.type == "identify" and fits:
            told[event] = value
    latest = max(told, key=lambda event: (event.at, event.message), default=None)
    return None if latest is None else told[latest]


@dataclass(frozen=True)
class Centres:
    """What a model has found.

    Parameters
    ----------
    scales : sequence of (float, float)
        By feature, mean and standard deviation.
    places : mapping of str to sequence of float
        By id, where the middle of a cluster lies, in standard deviations from the mean.
    """

    scales: Sequence[tuple[float, float]]
    places: Mapping[str, Sequence[float]]


def nearest(centres: Centres, values: Sequence[Any]) -> str:
    """Return the id of the nearest centre; what is unknown counts as the mean."""
    point = [
        Fraction(0 if value is None else (value - mean) / scale)
        for value, (mean, scale) in zip(values, centres.scales, strict=True)
    ]
    squares = {
        name: sum((one - Fraction(other)) ** 2 for one, other in zip(point, place, strict=True))
        for name, place in centres.places.items()
    }
    return min(squares, key=lambda name: squares[name])


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
            one, other = child(0), child(2)
            if sort(one) != sort(other):
                # Beside a time, a text is one; what events tell here never looks like that.
                one, other = (found if (found := moment(each)) is not None else each for each in (one, other))
            return compared(one, str(parts[1]), other)
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
        case "looks":
            return looked_like(child(0), str(parts[1]), child(2))
        case "call" if parts[0] == "exists":
            return child(1) is not None
        case "call" if parts[0] == "coalesce":
            one, other = child(1), child(2)
            return other if one is None or (other is not None and sort(one) != sort(other)) else one
        case "call" if parts[0] == "in_segment":
            return read(f"in_segment {child(1)}")
        case "call":
            return computed(at, "-", child(1))
        case _:
            raise AssertionError(tree.data)


def sort(value: object) -> str:
    """Return which kind of value it is."""
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def looked_like(text: Any, look: str, part: str) -> bool | None:
    """Look into a text; unknown if it is none."""
    if not isinstance(text, str):
        return None
    found = {"contains": part in text, "starts_with": text.startswith(part)}
    return found[look] if look in found else re.search(part, text) is not None


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
