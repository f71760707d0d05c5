"""What features are worth, counted from all events that they select."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import exp2, ldexp, log
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from segstream.core.time import DAY, NEVER, parse_duration, parse_time
from segstream.verify.conditions import UnknownConstruct, evaluate

if TYPE_CHECKING:
    from segstream.core.definitions import Definitions, Feature
    from segstream.core.expressions.tree import Node, Read
    from segstream.core.types import Value
    from segstream_schemas.definitions import FeatureDefinition

MOVING: Final = frozenset({"rate"})
"""Operations whose value moves without a window."""

_MILLION: Final = 1_000_000
_LARGEST: Final = (1 << 63) - 1
_LONGEST_TEXT: Final = 1_000
_LIVES: Final = 64
_EXACT: Final = 256
_COUNTED: Final = 100
_WIDTHS: Final = tuple(parse_duration(text) for text in ("1d", "6h", "1h", "15m", "5m", "1m", "10s"))
_FINENESS: Final = 288


@dataclass(frozen=True, slots=True, eq=False)
class Happening:
    """An event as it was applied.

    Parameters
    ----------
    at : int
        When it happened, in ms.
    limit : int
        The user's own timers due before this moment (ms) fired first.
    message : str
        Message id.
    type : str
    name : str or None
        Of a track, page or screen.
    topic : str
    offset : int
    step : int
        Which of the partition's versions was in force, counted from 0.
    document : mapping
        The event as JSON has it.
    """

    at: int
    limit: int
    message: str
    type: str
    name: str | None
    topic: str
    offset: int
    step: int
    document: Mapping[str, Any]


class Pick(NamedTuple):
    """What an event tells a feature: when, by which message, and the value at its path."""

    at: int
    message: str
    value: Any


@dataclass(frozen=True, slots=True)
class Measure:
    """A feature or trait, as the document defines it.

    Parameters
    ----------
    name, op, key : str
        ``key`` says what it means: of two versions, features of one key are one feature.
    types, names, topics : frozenset of str or None
        What it selects; None for all.
    path : str or None
        Where its value is.
    window, width : int or None
        In ms.
    half_life, per : int
        Of a rate, in ms.
    kind : str or None
        Of a trait.
    equals : tuple
        Of a share.
    where : Node or None
        Which events count.
    """

    name: str
    op: str
    key: str
    types: frozenset[str] | None = None
    names: frozenset[str] | None = None
    topics: frozenset[str] | None = None
    path: str | None = None
    window: int | None = None
    width: int = 1
    half_life: int = 1
    per: int = DAY
    kind: str | None = None
    equals: tuple[Any, ...] = ()
    where: Node | None = field(default=None, compare=False)

    @property
    def moves(self) -> bool:
        """Whether it changes while no event comes."""
        return self.window is not None or self.op in MOVING

    def picks(self, event: Happening) -> list[Pick]:
        """Return what an event tells it."""
        if (
            (self.types is not None and event.type not in self.types)
            or (self.names is not None and event.name not in self.names)
            or (self.topics is not None and event.topic not in self.topics)
            or (self.where is not None and not _passes(self.where, event.document))
        ):
            return []
        if self.path is None:
            return [Pick(event.at, event.message, None)]
        return [Pick(event.at, event.message, value) for value in found_at(event.document, self.path)]

    def leaves(self, at: int) -> int:
        """Return when what happened at a moment stops to count, in ms; `NEVER` if it does not."""
        if self.window is not None:
            return (at // self.width + 1) * self.width + self.window
        return (at // self.half_life + _LIVES + 1) * self.half_life if self.op == "rate" else NEVER

    def worth(self, picks: Sequence[Pick], at: int) -> Value:
        """Return its value at a moment (ms), None where it is unknown."""
        if self.moves:
            picks = [pick for pick in picks if at < self.leaves(pick.at)]
        if self.op == "share":
            return _share(picks, self.equals)
        if self.op == "rate":
            return _rate(self, picks, at)
        if self.path is not None:
            picks = [pick for pick in picks if pick.value is not None]
        return _COUNTING[self.op](picks) if self.op in _COUNTING else self._told(picks)

    def _told(self, picks: Sequence[Pick]) -> Value:
        if self.op in {"first", "last"}:
            known = [
                (pick.at, pick.message, type(value).__name__, value)
                for pick in picks
                if (value := _of_kind(pick.value, self.kind)) is not None
            ]
            return (min(known) if self.op == "first" else max(known))[3] if known else None
        numbers = [told for pick in picks if (told := usable(pick.value)) is not None]
        match self.op:
            case "sum":
                return sum(map(_scaled, numbers)) / _MILLION
            case "mean":
                return sum(map(_scaled, numbers)) / (len(numbers) * _MILLION) if numbers else None
            case "min":
                return min(numbers, default=None)
            case "max":
                return max(numbers, default=None)
            case _:
                raise UnknownConstruct(f"the operation {self.op!r}")


def measures_of(definitions: Definitions) -> dict[str, Measure]:
    """Return the features and traits of definitions by the name that conditions read."""
    document = definitions.document
    found = {}
    for feature in definitions.features:
        if feature.name in document.features:
            found[feature.name] = _measure(feature, document.features[feature.name])
        else:
            trait = feature.name.removeprefix("traits.")
            found[feature.name] = Measure(
                feature.name,
                "last",
                feature.fingerprint,
                types=frozenset({"identify"}),
                path=feature.name,
                kind=document.traits[trait],
            )
    return found


def _measure(feature: Feature, item: FeatureDefinition) -> Measure:
    types, names = None if item.type is None else frozenset({item.type}), _several(item.name)
    if item.event is not None:
        types, names = frozenset({"track"}), _several(item.event)
    window = None if item.window is None else parse_duration(item.window)
    width = DAY
    if window is not None and item.op != "days_active":
        fine = (width for width in _WIDTHS if window // width >= _FINENESS)
        width = next(fine, 1_000) if item.resolution is None else parse_duration(item.resolution)
    return Measure(
        feature.name,
        item.op,
        feature.fingerprint,
        types,
        names,
        _several(item.topic),
        item.of,
        window,
        width,
        parse_duration(item.half_life or "1ms"),
        parse_duration(item.per or "1d"),
        None,
        _tuple(getattr(item, "equals", None)),
        None if feature.where is None else feature.where.node,
    )


def _several(names: str | tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset({names} if isinstance(names, str) else names)


def _tuple(values: Any) -> tuple[Any, ...]:
    return () if values is None else values if isinstance(values, tuple) else (values,)


# ------------------------------------------------------------------------------------- what events hold


def found_at(document: Mapping[str, Any], path: str) -> list[Any]:
    """Return the values at a path; a step that ends in ``[]`` goes through a list, else there is one, perhaps None.

    Examples
    --------
    >>> found_at(
    ...     {"properties": {"products": [{"price": 5}, {"price": "?"}, {}]}}, "properties.products[].price"
    ... )
    [5, '?', None]
    >>> found_at({"properties": {"revenue": 5}}, "properties.revenue.net")
    [None]
    """
    parts: list[Any] = [document]
    for step in path.split("."):
        name = step.removesuffix("[]")
        parts = [part.get(name) if isinstance(part, dict) else None for part in parts]
        if name != step:
            parts = [each for part in parts if isinstance(part, list) for each in part]
    return [part if isinstance(part, int | float | str | bool) else None for part in parts]


def _passes(where: Node, document: Mapping[str, Any]) -> bool:
    def read(field: Read) -> Value:
        return _of_kind(found_at(document, field.name)[0], None)

    return evaluate(where, read, 0) is True


def usable(value: Any) -> int | float | None:
    """Return the value if it is a number that can be counted with.

    Examples
    --------
    >>> usable(2.5), usable(True), usable("2"), usable(1e300)
    (2.5, None, None, None)
    """
    return value or 0 if type(value) in (int, float) and -_LARGEST <= value <= _LARGEST else None


def _of_kind(value: Any, kind: str | None) -> Value:
    """Return the value if it is of the kind (any, if None) that is asked for."""
    if kind == "time":
        try:
            return parse_time(value) if isinstance(value, str) else None
        except ValueError:
            return None
    found = {str: "text", bool: "boolean"}.get(type(value), "number")
    if kind not in {None, "any", found}:
        return None
    if found == "text":
        return value if len(value) <= _LONGEST_TEXT else None
    return value if found == "boolean" else usable(value)


# ------------------------------------------------------------------------------------------- operations


def _scaled(number: float) -> int:
    """Return a number in millionths, as sums are kept."""
    return round(number * _MILLION)


def _share(picks: Sequence[Pick], wanted: Sequence[Any]) -> float | None:
    if not picks:
        return None
    alike = sum(
        any(pick.value == each and isinstance(pick.value, bool) is isinstance(each, bool) for each in wanted)
        for pick in picks
    )
    return alike / len(picks)


def _rate(measure: Measure, picks: Sequence[Pick], at: int) -> float:
    """Return the decayed rate by the rule that the documentation states, weights rounded to 2^-32."""
    life = measure.half_life
    summing = measure.path is not None
    amounts = [(pick.at, 1) for pick in picks]
    if summing:
        amounts = [(pick.at, _scaled(told)) for pick in picks if (told := usable(pick.value)) is not None]
    first = min((moment // life for moment, _ in amounts), default=0)
    total = sum(
        amount * round(ldexp(exp2(moment % life / life), 32)) << (moment // life - first)
        for moment, amount in amounts
    )
    unit = log(2) / life * measure.per / (_MILLION if summing else 1)
    return ldexp(float(total), first - at // life - 32) * exp2(-(at % life) / life) * unit


def _digests(picks: Sequence[Pick]) -> Counter[bytes]:
    """Return how often each value was told, by its digest; by their order values are sampled."""
    return Counter(digest for pick in picks if (digest := _digest(pick.value)) is not None)


def _digest(value: Any) -> bytes | None:
    if isinstance(value, str | bool):
        text = f"{'s' if isinstance(value, str) else 'b'}{value}"
    elif (told := usable(value)) is not None:
        text = f"n{int(told) if told == int(told) else told!r}"
    else:
        return None
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _distinct(picks: Sequence[Pick]) -> int:
    smallest = sorted(_digests(picks))[: _EXACT + 1]
    if len(smallest) <= _EXACT:
        return len(smallest)
    return max(len(smallest), round(_EXACT * (1 << 64) / max(int.from_bytes(smallest[-1], "big"), 1)))


def _top(picks: Sequence[Pick]) -> Value:
    told: dict[bytes, list[Any]] = {}
    for pick in picks:
        if _of_kind(pick.value, None) is not None and (digest := _digest(pick.value)) is not None:
            told.setdefault(digest, []).append(pick.value)
    ordered = [told[digest] for digest in sorted(told)]
    counted, others = ordered[:_COUNTED], ordered[_COUNTED:]
    most = max(map(len, counted), default=0)
    if most <= sum(map(len, others)):
        return None
    value: Value = min((values[0] for values in counted if len(values) == most), key=_rank)
    return value


def _rank(value: Any) -> tuple[str, Any]:
    return ("number" if usable(value) is not None else type(value).__name__), value


_COUNTING: Final[dict[str, Any]] = {
    "count": len,
    "first_time": lambda picks: min((pick.at for pick in picks), default=None),
    "last_time": lambda picks: max((pick.at for pick in picks), default=None),
    "days_active": lambda picks: len({pick.at // DAY for pick in picks}),
    "distinct": _distinct,
    "top": _top,
}
