"""From a feature's definition to its accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from segstream.core.features.count import Count
from segstream.core.features.days import DaysActive, WindowedDaysActive
from segstream.core.features.distinct import Distinct, WindowedDistinct
from segstream.core.features.extremes import Max, Min
from segstream.core.features.rate import Rate
from segstream.core.features.ratio import Share, WindowedMean, WindowedShare
from segstream.core.features.times import FirstTime, LastTime
from segstream.core.features.told import First, Last
from segstream.core.features.top import Top
from segstream.core.features.total import Mean, Sum
from segstream.core.features.window import Window
from segstream.core.features.windowed_extremes import WindowedExtreme
from segstream.core.time import CENTURY, DAY
from segstream.core.types import ValueKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstream.core.features.base import Accumulator
    from segstream.core.features.spec import FeatureSpec

WINDOW: Final = ("window", "resolution")
DURATIONS: Final = ("window", "resolution", "half_life", "per")


@dataclass(frozen=True, slots=True)
class Operation:
    """How the accumulators of one op are made.

    Parameters
    ----------
    build : callable
        Makes the accumulator from a spec whose options are checked.
    needs : tuple of str
        Options that must be given.
    takes : tuple of str
        Options that may be.
    """

    build: Callable[[FeatureSpec], Accumulator]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


def _count(spec: FeatureSpec) -> Accumulator:
    if spec.window is None:
        return Count(of=spec.has_of)
    return Window(spec.window, spec.resolution, of=spec.has_of)


def _sum(spec: FeatureSpec) -> Accumulator:
    return Sum() if spec.window is None else Window(spec.window, spec.resolution, summing=True)


def _mean(spec: FeatureSpec) -> Accumulator:
    return Mean() if spec.window is None else WindowedMean(spec.window, spec.resolution)


def _min(spec: FeatureSpec) -> Accumulator:
    return Min() if spec.window is None else WindowedExtreme(spec.window, spec.resolution, largest=False)


def _max(spec: FeatureSpec) -> Accumulator:
    return Max() if spec.window is None else WindowedExtreme(spec.window, spec.resolution, largest=True)


def _distinct(spec: FeatureSpec) -> Accumulator:
    return Distinct() if spec.window is None else WindowedDistinct(spec.window, spec.resolution)


def _share(spec: FeatureSpec) -> Accumulator:
    wanted = spec.equals or ()
    return Share(wanted) if spec.window is None else WindowedShare(spec.window, spec.resolution, wanted)


def _days_active(spec: FeatureSpec) -> Accumulator:
    return (
        DaysActive(of=spec.has_of) if spec.window is None else WindowedDaysActive(spec.window, of=spec.has_of)
    )


def _rate(spec: FeatureSpec) -> Accumulator:
    per = DAY if spec.per is None else spec.per
    return Rate(spec.half_life or 0, per, summing=spec.has_of)


REGISTRY: Final[dict[str, Operation]] = {
    "count": Operation(_count, takes=("of", *WINDOW)),
    "sum": Operation(_sum, needs=("of",), takes=WINDOW),
    "mean": Operation(_mean, needs=("of",), takes=WINDOW),
    "min": Operation(_min, needs=("of",), takes=WINDOW),
    "max": Operation(_max, needs=("of",), takes=WINDOW),
    "first": Operation(lambda spec: First(spec.kind or ValueKind.ANY), needs=("of",), takes=("kind",)),
    "last": Operation(lambda spec: Last(spec.kind or ValueKind.ANY), needs=("of",), takes=("kind",)),
    "first_time": Operation(lambda spec: FirstTime(of=spec.has_of), takes=("of",)),
    "last_time": Operation(lambda spec: LastTime(of=spec.has_of), takes=("of",)),
    "distinct": Operation(_distinct, needs=("of",), takes=WINDOW),
    "top": Operation(lambda _: Top(), needs=("of",)),
    "share": Operation(_share, needs=("of", "equals"), takes=WINDOW),
    "days_active": Operation(_days_active, takes=("of", "window")),
    "rate": Operation(_rate, needs=("half_life",), takes=("of", "per")),
}
"""Op as written in a definition -> how to make its accumulator."""


def build(spec: FeatureSpec) -> Accumulator:
    """Make the accumulator of a feature.

    Parameters
    ----------
    spec : FeatureSpec
        The feature as declared.

    Raises
    ------
    ValueError
        If the op is unknown or does not go with the options; the text is meant for who wrote the definition.

    Examples
    --------
    >>> from segstream.core.features.spec import FeatureSpec
    >>> build(FeatureSpec("first", has_of=True, window=30 * DAY))
    Traceback (most recent call last):
        ...
    ValueError: first takes no window; count, sum, mean, min, max, distinct, share, days_active do
    """
    operation = REGISTRY.get(spec.op)
    if operation is None:
        near = get_close_matches(spec.op, REGISTRY, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(REGISTRY)}"
        message = f"unknown op {spec.op!r}; {hint}"
        raise ValueError(message)
    given = _given(spec)
    _check(spec.op, operation, given)
    for name in DURATIONS:
        if name in given and not 0 < given[name] <= CENTURY:
            message = f"{name} must be longer than nought and at most {CENTURY // DAY}d"
            raise ValueError(message)
    return operation.build(spec)


def _given(spec: FeatureSpec) -> dict[str, int]:
    """Return the options that are set; what stands behind those that are no duration does not matter."""
    given = {name: length for name in DURATIONS if (length := getattr(spec, name)) is not None}
    others = {"of": spec.has_of, "kind": spec.kind is not None, "equals": spec.equals is not None}
    return given | {name: 1 for name, there in others.items() if there}


def _check(op: str, operation: Operation, given: dict[str, int]) -> None:
    for name in operation.needs:
        if name not in given:
            message = f"{op} needs {name}"
            raise ValueError(message)
    for name in given:
        if name not in operation.needs and name not in operation.takes:
            others = ", ".join(known for known, it in REGISTRY.items() if name in (*it.needs, *it.takes))
            message = f"{op} takes no {name}; {others} do"
            raise ValueError(message)
    if "resolution" in given and "window" not in given:
        message = "resolution needs a window"
        raise ValueError(message)
