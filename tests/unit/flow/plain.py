"""What segstream should say, worked out the slow way: every event kept, every value counted anew, every moment tried.

Nothing of the stream is used but the definitions document and the syntax tree of its conditions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from segstream_schemas.definitions import DefinitionsDocument, SegmentDefinition
from tests.unit.flow.values import (
    Happening,
    Moment,
    Syntax,
    duration,
    evaluate,
    leaves,
    moves,
    trait_of,
    tree_of,
    value_of,
)

REMEMBERED = 32
"""Message ids of a user that are remembered."""

EXHAUSTIVE = 300
"""Milliseconds of silence up to which every single one is tried."""


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
        return means | {
            f"traits.{name}": f"trait {name} {kind}" for name, kind in self.document.traits.items()
        }

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
            elif not reasons:
                reasons = self.reasons([name for name in (current, target) if name], at, None)
            if current is not None:
                del self.held[current]
                self.tell(current, "exited", at, group, None, cause, reasons)
            if target is not None:
                self.held[target] = at
                self.tell(target, "entered", at, group, current, cause, reasons)
        self.decided = self.looked = at

    def reasons(
        self, names: list[str], at: Moment, before: int | None
    ) -> list[tuple[str, bool | None, bool | None]]:
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

    def tell(
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
            self.name,
            number_,
            segment,
            change,
            at,
            group,
            previous,
            cause,
            reasons,
            answer,
            self.rules.number,
        )
        self.changes.append(told)

    # --- time

    def silence(self, before: Moment) -> None:
        """Let time pass up to a moment, exclusive."""
        while self.events:
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
        comparisons = {
            part for text in self.rules.conditions() for part in tree_of(text).find_data("compare")
        }
        turns = {
            turn
            for start, end in pairwise(sure)
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
        return start + bisect_right(range(start, end + 1), 0, key=lambda at: int(truth(at) != was))


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

    def __init__(
        self, versions: Sequence[tuple[int, DefinitionsDocument]], *, replay: bool, grace: int
    ) -> None:
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
        person._memory.clear()
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
