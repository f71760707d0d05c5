"""Plain recounts of raw events: an independent way to the value of every accumulator."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import pytest

from segstream.core.features import Accumulator, FeatureSpec, build
from segstream.core.features.distinct import Distinct, WindowedDistinct
from segstream.core.features.top import Top
from segstream.core.time import DAY, parse_time
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


def digest(value: Value) -> int:
    """Return the number that stands for a value: of equal numbers the same."""
    if isinstance(value, bool | str):
        text = f"{type(value).__name__[0]}{value}"
    else:
        assert value is not None
        text = f"n{int(value) if value == int(value) else value!r}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def usable(events: list[Event]) -> list[Value]:
    """Return the values that can be told."""
    return [value for _, value, _ in events if anything(value)]


def different(values: list[Value], exactly: int = 256) -> int:
    """Count different values; beyond so many, tell from how densely the digests lie."""
    digests = sorted({digest(value) for value in values})
    if len(digests) <= exactly:
        return len(digests)
    return max(exactly + 1, round(Fraction(exactly * 2**64, digests[exactly])))


def most_frequent(values: list[Value], room: int = 100) -> Value:
    """Return the value told most often, unless that may be one that there was no room to count."""
    told = {digest(value): value for value in values}
    counts = Counter(map(digest, values))
    counted = sorted(counts)[:room]
    others = len(values) - sum(counts[key] for key in counted)
    most = max((counts[key] for key in counted), default=0)
    if most <= others:
        return None
    best = [told[key] for key in counted if counts[key] == most]
    for kinds in ((bool,), (int, float), (str,)):
        if found := [value for value in best if type(value) in kinds]:
            return min(found)  # type: ignore[type-var]  # all of one kind
    raise AssertionError(best)


def part(values: list[Value], wanted: list[Value]) -> float | None:
    """Return which part of the values is one of those wanted."""
    keys = {digest(value) for value in wanted}
    held = sum(anything(value) and digest(value) in keys for value in values)
    return held / len(values) if values else None


def average(told: list[tuple[int, Any]]) -> float | None:
    """Return the arithmetic mean."""
    return float(sum(exact(value) for _, value in told) / len(told)) if told else None


def days(events: list[Event]) -> int:
    """Count the UTC days of events."""
    return len({at // DAY for at, *_ in events})


@dataclass(frozen=True)
class Case:
    """An accumulator and an independent way to its value."""

    name: str
    spec: FeatureSpec
    recount: Recount
    bound: int = 1
    """How many entries the collections in a state may have together."""
    unit: int = 1
    """What the moments of events count in, ms."""
    make: Callable[[], Accumulator] | None = None
    """Makes it smaller than a definition does, so that short histories reach its bounds."""

    def accumulator(self) -> Accumulator:
        """Return the accumulator."""
        return build(self.spec) if self.make is None else self.make()


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
        lambda events, _: average(numbers(events)),
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
        "windowed mean",
        FeatureSpec("mean", window=450, resolution=45, has_of=True),
        lambda events, at: average(in_window(numbers(events), at, 450, 45)),
        3 + 2 * 12,
    ),
    Case(
        "windowed min",
        FeatureSpec("min", window=330, resolution=20, has_of=True),
        lambda events, at: min((value for _, value in in_window(numbers(events), at, 330, 20)), default=None),
        19,
    ),
    Case(
        "windowed max",
        FeatureSpec("max", window=330, resolution=70, has_of=True),
        lambda events, at: max((value for _, value in in_window(numbers(events), at, 330, 70)), default=None),
        7,
    ),
    Case("distinct", FeatureSpec("distinct", has_of=True), lambda events, _: different(usable(events)), 257),
    Case(
        "small distinct",
        FeatureSpec("distinct", has_of=True),
        lambda events, _: different(usable(events), 4),
        5,
        make=lambda: Distinct(4),
    ),
    Case(
        "windowed distinct",
        FeatureSpec("distinct", window=300, resolution=20, has_of=True),
        lambda events, at: different(usable(in_window(events, at, 300, 20))),
        17 * 257,
    ),
    Case(
        "small windowed distinct",
        FeatureSpec("distinct", window=600, resolution=30, has_of=True),
        lambda events, at: different(usable(in_window(events, at, 600, 30)), 3),
        22 * 4,
        make=lambda: WindowedDistinct(600, 30, 3),
    ),
    Case("top", FeatureSpec("top", has_of=True), lambda events, _: most_frequent(usable(events)), 201),
    Case(
        "small top",
        FeatureSpec("top", has_of=True),
        lambda events, _: most_frequent(usable(events), 3),
        7,
        make=lambda: Top(3),
    ),
    Case(
        "share",
        FeatureSpec("share", has_of=True, equals=("a", 2.0, True)),
        lambda events, _: part([value for _, value, _ in events], ["a", 2.0, True]),
        2,
    ),
    Case(
        "windowed share",
        FeatureSpec("share", window=700, resolution=35, has_of=True, equals=(1, "ü")),
        lambda events, at: part([value for _, value, _ in in_window(events, at, 700, 35)], [1, "ü"]),
        3 + 2 * 22,
    ),
    Case("days active", FeatureSpec("days_active"), lambda events, _: days(events), 600, unit=DAY // 7),
    Case(
        "days active of",
        FeatureSpec("days_active", has_of=True),
        lambda events, _: days([event for event in events if event[1] is not None]),
        600,
        unit=DAY // 3 + 1,
    ),
    Case(
        "windowed days active",
        FeatureSpec("days_active", window=20 * DAY),
        lambda events, at: days(in_window(events, at, 20 * DAY, DAY)),
        3 + 22,
        unit=DAY // 7,
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
