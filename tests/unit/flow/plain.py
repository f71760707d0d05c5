"""What segstream should say, worked out the slow way: every event kept, every value counted anew, every moment tried.

Nothing of the stream is used but the definitions document and the syntax tree of its conditions.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from lark import Token, Tree

from segstream.core.expressions.parser import parse
from segstream_schemas.definitions import DefinitionsDocument, FeatureDefinition, SegmentDefinition

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
REMEMBERED = 32
"""Message ids of a user that are remembered."""

EXHAUSTIVE = 300
"""Milliseconds of silence up to which every single one is tried."""

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


@dataclass(frozen=True)
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
    return sum((Fraction(Decimal(str(value)).quantize(places, ROUND_HALF_EVEN)) for value in values), Fraction(0))


def moves(item: FeatureDefinition) -> bool:
    """Tell whether a feature changes without an event."""
    return item.window is not None or item.op == "rate"


def value_of(item: FeatureDefinition, events: Sequence[Happening], at: Moment) -> Any:  # noqa: C901, PLR0911, PLR0912 - one per op
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
    if one is None or other is None or "number" != sort(one) or sort(other) != "number":
        return None
    if sign == "/" and other == 0:
        return None
    result = one / other if sign == "/" else {"+": one + other, "-": one - other, "*": one * other}[sign]
    return result if math.isfinite(result) else None


@cache
def tree_of(text: str) -> Syntax:
    """Return the syntax tree of a condition."""
    return parse(text)


# -------------------------------------------------------------------------------------------------- deciding


@dataclass
class Told:
    """A change that should be published.

    Parameters
    ----------
    reasons : list of (str, bool or None, bool or None)
        Conditions with their truth before and after.
    until : int
        Up to which moment nothing but time acted on the user after this change; filled in later.
    """

    user: str
    sequence: int
    segment: str
    change: str
    at: Moment
    group: str | None
    previous: str | None
    cause: dict[str, Any]
    reasons: list[tuple[str, bool | None, bool | None]]
    segments: list[str]
    version: int
    until: Moment = 0


class Rules:
    """One version of the definitions.

    Parameters
    ----------
    number : int
        The version.
    effective_at : int
        From when on, ms.
    document : DefinitionsDocument
    """

    def __init__(self, number: int, effective_at: int, document: DefinitionsDocument) -> None:
        self.number, self.effective_at, self.document = number, effective_at, document
        group_of = {name: group for group, item in document.groups.items() for name in item.first_of}
        self.choices: list[tuple[str | None, tuple[str, ...]]] = []
        for name in document.segments:
            group = group_of.get(name)
            choice = (group, (name,) if group is None else document.groups[group].first_of)
            if choice not in self.choices:
                self.choices.append(choice)

    def keys(self) -> dict[str, str]:
        """Return what each feature means, by name."""
        told = {"expose", "description"}
        means = {name: item.model_dump_json(exclude=told) for name, item in self.document.features.items()}
        return means | {f"traits.{name}": f"trait {name} {kind}" for name, kind in self.document.traits.items()}

    def conditions(self) -> Iterator[str]:
        """Yield the text of each condition."""
        for segment in self.document.segments.values():
            yield segment.when
            if segment.leave_when is not None:
                yield segment.leave_when


@dataclass
class Person:
    """A user: all that happened, and what was decided."""

    name: str
    rules: Rules
    begun: dict[str, int]
    events: list[Happening] = field(default_factory=list)
    held: dict[str, Moment] = field(default_factory=dict)
    decided: Moment = 0
    looked: Moment = 0
    changes: list[Told] = field(default_factory=list)
    timers: int = 0

    # --- values

    def reader(self, count: int, at: Moment) -> Callable[[str], Any]:
        """Return a function that reads a feature at a moment, as of the first ``count`` events."""
        return lambda name: self._read(name, count, at)

    def _read(self, name: str, count: int, at: Moment) -> Any:
        events = self.events[self.begun[name] : count]
        if name.startswith("traits."):
            bare = name.removeprefix("traits.")
            return self._kept((name, count), lambda: trait_of(bare, self.rules.document.traits[bare], events))
        item = self.rules.document.features[name]
        if moves(item):
            return value_of(item, events, at)
        return self._kept((name, count), lambda: value_of(item, events, at))

    def _kept(self, key: tuple[str, int], make: Callable[[], Any]) -> Any:
        """Spare counting again what only an event could change."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def __post_init__(self) -> None:
        """Begin without anything kept."""
        self._memory: dict[tuple[str, int], Any] = {}

    def truth(self, text: str, at: Moment, count: int | None = None) -> bool | None:
        """Return whether a condition holds."""
        reader = self.reader(len(self.events) if count is None else count, at)
        answer = evaluate(tree_of(text), reader, at)
        assert answer is None or isinstance(answer, bool)
        return answer

    # --- decisions

    def applies(self, name: str, at: Moment) -> bool:
        """Tell whether a segment applies to the user, who holds it or not."""
        segment = self.rules.document.segments[name]
        if name in self.held and segment.leave_when is not None:
            return self.truth(segment.leave_when, at) is not True
        if self.truth(segment.when, at) is not True:
            return False
        return segment.leave_when is None or self.truth(segment.leave_when, at) is not True

    def steps(self, at: Moment) -> Iterator[tuple[str | None, str | None, str | None]]:
        """Yield group, segment to leave and segment to enter, of each choice that is to change."""
        for group, names in self.rules.choices:
            current = next((name for name in names if name in self.held), None)
            target = next((name for name in names if self.applies(name, at)), None)
            if target != current and not (current is not None and at < self.dwells_until(current)):
                yield group, current, target

    def dwells_until(self, name: str) -> Moment:
        """Return until when a segment held is kept in any case."""
        segment = self.rules.document.segments[name]
        return self.held[name] + (duration(segment.min_dwell) if segment.min_dwell else 0)

    def decide(self, at: Moment, before: int | None, cause: dict[str, Any]) -> None:
        """Decide at a moment; ``before`` is how many events there were before the cause, None under other rules."""
        for group, current, target in list(self.steps(at)):
            reasons = self.reasons([name for name in (current, target) if name], at, before)
            segment = self.rules.document.segments[current] if current else None
            if not reasons and segment is not None and segment.min_dwell:
                reasons = [("min_dwell", False, True)]
            if current is not None:
                del self.held[current]
                self.tell(current, "exited", at, group, None, cause, reasons)
            if target is not None:
                self.held[target] = at
                self.tell(target, "entered", at, group, current, cause, reasons)
        self.decided = self.looked = at

    def reasons(self, names: list[str], at: Moment, before: int | None) -> list[tuple[str, bool | None, bool | None]]:
        """Return the conditions that flipped since just before."""
        found = []
        for name in names:
            segment: SegmentDefinition = self.rules.document.segments[name]
            for text in (segment.when, segment.leave_when):
                if text is not None:
                    earlier = max(at - 1, self.decided)
                    was = None if before is None else self.truth(text, earlier, before)
                    now = self.truth(text, at)
                    if before is None or was is not now:
                        found.append((text, was, now))
        return found

    def tell(  # noqa: PLR0913, PLR0917 - the parts of a change
        self,
        segment: str,
        change: str,
        at: Moment,
        group: str | None,
        previous: str | None,
        cause: dict[str, Any],
        reasons: list[tuple[str, bool | None, bool | None]],
    ) -> None:
        """Note a change."""
        answer, number_ = sorted(self.held), len(self.changes) + 1
        told = Told(
            self.name, number_, segment, change, at, group, previous, cause, reasons, answer, self.rules.number
        )
        self.changes.append(told)

    # --- time

    def silence(self, before: Moment) -> None:
        """Let time pass up to a moment, exclusive."""
        while True:
            turn = next((at for at in self.instants(self.looked + 1, before) if any(self.steps(at))), None)
            if turn is None:
                self.looked = max(self.looked, before - 1)
                return
            self.decide(turn, len(self.events), {"type": "timer", "due": turn})
            self.timers += 1

    def instants(self, first: Moment, before: Moment) -> Iterator[Moment]:
        """Yield the moments to try: all of them, or in a long silence those around which anything can turn."""
        if before - first <= EXHAUSTIVE:
            yield from range(first, before)
            return
        marks = {first, before}
        for name in self.held:
            marks.add(self.dwells_until(name))
        for name, item in self.rules.document.features.items():
            if moves(item):
                marks.update(leaves(item, event) for event in self.events[self.begun[name] :])
        sure = sorted(mark for mark in marks if first <= mark <= before)
        comparisons = {part for text in self.rules.conditions() for part in tree_of(text).find_data("compare")}
        turns = {
            turn
            for start, end in zip(sure, sure[1:], strict=False)
            for part in comparisons
            if (turn := self.turn(part, start, end - 1)) is not None
        }
        tries = sorted({at for mark in {*sure, *turns} for at in (mark - 1, mark, mark + 1)})
        yield from (at for at in tries if first <= at < before)

    def turn(self, comparison: Syntax, start: Moment, end: Moment) -> Moment | None:
        """Return when a comparison turns between two moments in which it does so once at most."""

        def truth(at: Moment) -> Any:
            return evaluate(comparison, self.reader(len(self.events), at), at)

        was = truth(start)
        if end <= start or truth(end) == was:
            return None
        return start + bisect_right(range(start, end + 1), False, key=lambda at: truth(at) != was)  # noqa: FBT003 - False, then True


class Plain:
    """One partition.

    Parameters
    ----------
    versions : sequence of (int, DefinitionsDocument)
        With the moment each comes into force.
    replay : bool
        Whether timestamps drive the clock.
    grace : int
        For timers, ms.
    """

    def __init__(self, versions: Sequence[tuple[int, DefinitionsDocument]], *, replay: bool, grace: int) -> None:
        self.versions = [Rules(index + 1, at, document) for index, (at, document) in enumerate(versions)]
        self.rules = self.versions[0]
        self.replay, self.grace = replay, grace
        self.clock = 0
        self.people: dict[str, Person] = {}

    def happen(self, event: Happening) -> None:
        """Apply an event."""
        clock = max(self.clock, event.at if self.replay else event.arrival)
        self.adopt(clock)
        self.clock = clock
        person = self.people.get(event.user)
        if person is None:
            person = Person(event.user, self.rules, dict.fromkeys(self.rules.keys(), 0))
            self.people[event.user] = person
        if event.message in [known.message for known in person.events[-REMEMBERED:]]:
            return
        limit = max(clock - self.grace, event.at)
        person.silence(limit)
        self.interrupt(person, limit)
        person.events.append(event)
        cause = {
            "type": "event",
            "message_id": event.message,
            "topic": event.topic,
            "partition": event.partition,
            "offset": event.offset,
        }
        person.decide(max(event.at, person.decided), len(person.events) - 1, cause)

    def pass_time(self, moment: Moment, *, inclusive: bool = False) -> None:
        """Let the clock pass up to a moment."""
        self.adopt(max(moment, self.clock))
        self.clock = max(self.clock, moment)
        for person in self.people.values():
            person.silence(self.clock - self.grace + (1 if inclusive else 0))

    def adopt(self, clock: Moment) -> None:
        """Bring new rules into force, each at its moment."""
        for rules in self.versions[self.rules.number :]:
            if clock - self.grace < rules.effective_at:
                return
            at = max(rules.effective_at, self.rules.effective_at)
            for person in self.people.values():
                person.silence(at)
                self.interrupt(person, at)
                self.change_rules(person, rules, max(at, person.decided))
            self.rules = rules

    @staticmethod
    def change_rules(person: Person, rules: Rules, at: Moment) -> None:
        """Go on under other rules: what means the same goes on counting, the rest begins anew."""
        former = {key: person.begun[name] for name, key in person.rules.keys().items()}
        person.rules = rules
        person.begun = {name: former.get(key, len(person.events)) for name, key in rules.keys().items()}
        person._memory.clear()  # noqa: SLF001 - a name may mean something else now
        cause = {"type": "definition", "version": rules.number}
        taken: set[tuple[str, ...]] = set()
        for name in list(person.held):
            seat = next((names for _, names in rules.choices if name in names), None)
            if seat is None or seat in taken:
                del person.held[name]
                person.tell(name, "exited", at, None, None, cause, [])
            elif seat is not None:
                taken.add(seat)
        person.decide(at, None, cause)

    @staticmethod
    def interrupt(person: Person, moment: Moment) -> None:
        """Note up to when only time acted on a user since its last changes."""
        for change in person.changes:
            change.until = change.until or moment
