"""Plain recounts of raw events: an independent way to the value of every accumulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import pytest

from segstream.core.features import FeatureSpec
from segstream.core.time import parse_time
from segstream.core.types import Value, ValueKind

Event = tuple[int, Value, str]
Recount = Callable[[list[Event], int], Any]


def is_number(value: Value) -> bool:
    """Say whether a value is a number a feature takes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) < 2**63


def numbers(events: list[Event]) -> list[tuple[int, Any]]:
    """Keep timestamps and values of the events that hold a number."""
    return [(at, value) for at, value, _ in events if is_number(value)]


def exact(value: float) -> Fraction:
    """Round a number's decimal text to six places, halves to even."""
    return Fraction(Decimal(str(value)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN))


def exact_sum(told: list[tuple[int, Any]]) -> float:
    """Add the numbers up as fractions."""
    return float(sum((exact(value) for _, value in told), Fraction(0)))


def in_window(events: list[Any], at: int, window: int, width: int) -> list[Any]:
    """Keep the events whose bucket has not left the window."""
    return [event for event in events if (event[0] - event[0] % width) + width + window > at]


def decayed(told: list[tuple[int, Any]], at: int, half_life: int, per: int) -> float:
    """Weigh each amount by its age; cells over 64 half-lives old are forgotten."""
    alive = [(then, amount) for then, amount in told if then // half_life >= at // half_life - 64]
    weights = (float(amount) * 2.0 ** ((then - at) / half_life) for then, amount in alive)
    return math.fsum(weights) * math.log(2) / half_life * per


def told(events: list[Event], keep: Callable[[Value], bool]) -> list[tuple[int, str, Value]]:
    """Sort the values of the wanted kind by time and message id."""
    return sorted((at, tie, value) for at, value, tie in events if keep(value))


def readable(value: Value) -> bool:
    """Say whether a text is one of the times among the samples."""
    return isinstance(value, str) and value.startswith("1997")


def anything(value: Value) -> bool:
    """Say whether a value is one that can be told."""
    return isinstance(value, str | bool) or is_number(value)


@dataclass(frozen=True)
class Case:
    """An accumulator and an independent way to its value."""

    name: str
    spec: FeatureSpec
    recount: Recount
    bound: int = 1
    """How many entries the collections in a state may have together."""


CASES = [
    Case("count", FeatureSpec("count"), lambda events, _: len(events)),
    Case(
        "count of",
        FeatureSpec("count", has_of=True),
        lambda events, _: sum(value is not None for _, value, _ in events),
    ),
    Case("sum", FeatureSpec("sum", has_of=True), lambda events, _: exact_sum(numbers(events))),
    Case(
        "mean",
        FeatureSpec("mean", has_of=True),
        lambda events, _: (
            float(sum(exact(value) for _, value in numbers(events)) / len(numbers(events)))
            if numbers(events)
            else None
        ),
        2,
    ),
    Case(
        "min",
        FeatureSpec("min", has_of=True),
        lambda events, _: min((value for _, value in numbers(events)), default=None),
    ),
    Case(
        "max",
        FeatureSpec("max", has_of=True),
        lambda events, _: max((value for _, value in numbers(events)), default=None),
    ),
    Case(
        "first",
        FeatureSpec("first", has_of=True),
        lambda events, _: next((value for *_, value in told(events, anything)), None),
        3,
    ),
    Case(
        "last",
        FeatureSpec("last", has_of=True),
        lambda events, _: next((value for *_, value in reversed(told(events, anything))), None),
        3,
    ),
    Case(
        "number trait",
        FeatureSpec("last", has_of=True, kind=ValueKind.NUMBER),
        lambda events, _: next((value for *_, value in reversed(told(events, is_number))), None),
        3,
    ),
    Case(
        "text trait",
        FeatureSpec("last", has_of=True, kind=ValueKind.TEXT),
        lambda events, _: next(
            (value for *_, value in reversed(told(events, lambda value: isinstance(value, str)))), None
        ),
        3,
    ),
    Case(
        "boolean trait",
        FeatureSpec("last", has_of=True, kind=ValueKind.BOOLEAN),
        lambda events, _: next(
            (value for *_, value in reversed(told(events, lambda value: isinstance(value, bool)))), None
        ),
        3,
    ),
    Case(
        "time trait",
        FeatureSpec("last", has_of=True, kind=ValueKind.TIME),
        lambda events, _: next(
            (parse_time(str(value)) for *_, value in reversed(told(events, readable))), None
        ),
        3,
    ),
    Case(
        "first_time",
        FeatureSpec("first_time"),
        lambda events, _: min((at for at, *_ in events), default=None),
    ),
    Case(
        "last_time of",
        FeatureSpec("last_time", has_of=True),
        lambda events, _: max((at for at, value, _ in events if value is not None), default=None),
    ),
    Case(
        "windowed count",
        FeatureSpec("count", window=300, resolution=20),
        lambda events, at: len(in_window(events, at, 300, 20)),
        3 + 17,
    ),
    Case(
        "windowed count, uneven",
        FeatureSpec("count", window=100, resolution=7, has_of=True),
        lambda events, at: len(in_window([event for event in events if event[1] is not None], at, 100, 7)),
        3 + 16,
    ),
    Case(
        "windowed sum",
        FeatureSpec("sum", window=450, resolution=45, has_of=True),
        lambda events, at: exact_sum(in_window(numbers(events), at, 450, 45)),
        3 + 12,
    ),
    Case(
        "rate",
        FeatureSpec("rate", half_life=130, per=100),
        lambda events, at: pytest.approx(
            decayed([(then, 1) for then, *_ in events], at, 130, 100), rel=1e-8, abs=1e-300
        ),
        65,
    ),
    Case(
        "short rate",
        FeatureSpec("rate", half_life=9, per=100),
        lambda events, at: pytest.approx(
            decayed([(then, 1) for then, *_ in events], at, 9, 100), rel=1e-8, abs=1e-18
        ),
        65,
    ),
    Case(
        "summing rate",
        FeatureSpec("rate", half_life=40, per=100, has_of=True),
        lambda events, at: pytest.approx(
            decayed([(then, exact(value)) for then, value in numbers(events)], at, 40, 100),
            rel=1e-8,
            abs=1e-8 * sum(abs(value) for _, value in numbers(events)),
        ),
        65,
    ),
]
