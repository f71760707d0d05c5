"""What segstream should say, worked out the slow way: every event kept, every value counted anew, every moment tried.

Nothing of the stream is used but the definitions document and the syntax tree of its conditions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from segstream_schemas.definitions import DefinitionsDocument, SegmentDefinition
from tests.unit.flow.values import (
    Centres,
    Happening,
    Moment,
    Syntax,
    duration,
    evaluate,
    leaves,
    moves,
    nearest,
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
    found : mapping of str to Centres
        What models have found, by name.
    """

    def __init__(
        self, number: int, effective_at: int, document: DefinitionsDocument, found: Mapping[str, Centres]
    ) -> None:
        self.number, self.effective_at, self.document, self.found = number, effective_at, document, found
        group_of = {name: group for group, item in document.groups.items() for name in item.first_of}
        self.choices: list[tuple[str | None, tuple[str, ...]]] = []
        for name in document.segments:
            self._put(name, group_of)

    def _put(self, name: str, group_of: dict[str, str]) -> None:
        """Put a segment with those of its group among the choices, after all that they ask for."""
        if any(name in names for _, names in self.choices):
            return
        group = group_of.get(name)
        names = (name,) if group is None else self.document.groups[group].first_of
        for other in names:
            for text in (self.document.segments[other].when, self.document.segments[other].leave_when):
                for asked in self.asked(text):
                    if asked in self.document.segments:
                        self._put(asked, group_of)
        self.choices.append((group, names))

    @property
    def assigns_first(self) -> bool:
        """Whether any condition asks for what a model finds."""
        return any("." in asked for text in self.conditions() for asked in self.asked(text))

    @staticmethod
    def asked(text: str | None) -> list[str]:
        """Return the segments that a condition asks for, as they are written."""
        calls = sorted(tree_of(text or "true").find_data("call"), key=lambda part: part.meta.start_pos)
        return [evaluate(part.children[1], str, 0) for part in calls if part.children[0] == "in_segment"]

    def means(self, name: str) -> tuple[Any, ...]:
        """Return what a segment's conditions mean: their shape, and what stands behind the names in it."""
        segment = self.document.segments[name]
        trees = [tree_of(text) for text in (segment.when, segment.leave_when) if text is not None]
        words = {str(token) for tree in trees for token in tree.scan_values(lambda _: True)}
        return (
            segment.leave_when is None,
            trees,
            {key: told for key, told in self.keys().items() if key in words},
        )

    def keys(self) -> dict[str, str]:
        """Return what each feature means, by name."""
        told = {"expose", "description"}
        means = {name: item.model_dump_json(exclude=told) for name, item in self.document.features.items()}
        return means | {
            f"traits.{name}": f"trait {name} {kind}" for name, kind in self.document.traits.items()
        }

    def slots(self) -> Iterator[tuple[str, str, str]]:
        """Yield of each condition the segment, the place in it, and the text."""
        for name, segment in self.document.segments.items():
            for place in ("when", "leave_when"):
                if (text := getattr(segment, place)) is not None:
                    yield name, place, text

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
    former: dict[tuple[str, str], bool | None] = field(default_factory=dict)
    confirming: dict[str, Moment] = field(default_factory=dict)
    left: dict[str, Moment] = field(default_factory=dict)
    resisted: set[str] = field(default_factory=set)
    suppressed: list[tuple[str, str]] = field(default_factory=list)

    # --- values

    def reader(self, count: int, at: Moment) -> Callable[[str], Any]:
        """Return a function that reads a feature at a moment, as of the first ``count`` events."""
        return lambda name: self._read(name, count, at)

    def _read(self, name: str, count: int, at: Moment) -> Any:
        if name.startswith("in_segment "):
            return name.removeprefix("in_segment ") in self.held
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
        self._wanted: tuple[tuple[Any, ...], dict[str, bool]] = ((), {})

    def truth(self, text: str, at: Moment, count: int | None = None) -> bool | None:
        """Return whether a condition holds."""
        reader = self.reader(len(self.events) if count is None else count, at)
        answer = evaluate(tree_of(text), reader, at)
        assert answer is None or isinstance(answer, bool)
        return answer

    # --- decisions

    def wants(self, name: str, at: Moment) -> bool:
        """Tell whether the conditions alone would have the user in a segment, which the user holds or not."""
        moment = (at, len(self.events), self.rules.number, *self.held)
        if self._wanted[0] != moment:
            self._wanted = moment, {}
        known = self._wanted[1]
        if name not in known:
            segment = self.rules.document.segments[name]
            left = segment.leave_when is not None and self.truth(segment.leave_when, at) is True
            if name in self.held and segment.leave_when is not None:
                known[name] = not left
            else:
                known[name] = not left and self.truth(segment.when, at) is True
        return known[name]

    def length(self, name: str, what: str) -> int:
        """Return a setting of anti-flap in ms, 0 where there is none."""
        text = getattr(self.rules.document.segments[name], what)
        return duration(text) if text else 0

    def cools(self, name: str, at: Moment) -> bool:
        """Tell whether a segment was left too short a time ago."""
        return name in self.left and at - self.left[name] < self.length(name, "cooldown")

    def applies(self, name: str, at: Moment) -> bool:
        """Tell whether a segment applies: it is wanted, and for those who do not hold it nothing stands against it."""
        if not self.wants(name, at):
            return False
        true_for = at - self.confirming.get(name, at)
        return name in self.held or not (self.cools(name, at) or true_for < self.length(name, "confirm_for"))

    def step(self, names: tuple[str, ...], at: Moment) -> tuple[str | None, str | None]:
        """Return the segment held of some that exclude each other, and the one to hold leaving min_dwell aside."""
        current = next((name for name in names if name in self.held), None)
        return current, next((name for name in names if self.applies(name, at)), None)

    def stirs(self, at: Moment) -> bool:
        """Tell whether anything changes at a moment: a segment held, or what is being confirmed."""
        for _, names in self.rules.choices:
            current, target = self.step(names, at)
            if target != current and not (current is not None and at < self.dwells_until(current)):
                return True
            for name in names:
                unheld = name not in self.held and self.length(name, "confirm_for")
                if unheld and self.wants(name, at) is not (name in self.confirming):
                    return True
        return False

    def confirm(self, names: tuple[str, ...], at: Moment) -> None:
        """Start and stop the clocks of conditions to be confirmed."""
        for name in names:
            length = self.length(name, "confirm_for")
            if name in self.held or not length:
                continue
            if self.wants(name, at):
                self.confirming.setdefault(name, at)
            elif name in self.confirming:
                true_for = at - self.confirming.pop(name)
                if true_for <= length:
                    self.suppressed.append((name, "confirm"))
                elif name in self.left and at - self.left[name] <= self.length(name, "cooldown"):
                    self.suppressed.append((name, "cooldown"))

    def resist(
        self, names: tuple[str, ...], current: str | None, target: str | None, at: Moment
    ) -> str | None:
        """Note what is held back and what is taken back; return the segment to hold."""
        was, last = self.resisted & set(names), names[-1] if target is None else target
        for name in names[: names.index(last) + 1]:
            if name in self.held or self.length(name, "confirm_for"):
                continue
            if self.wants(name, at) and self.cools(name, at):
                self.resisted.add(name)
            else:
                self.resisted.discard(name)
                if name in was and not self.wants(name, at):
                    self.suppressed.append((name, "cooldown"))
        for name in names[names.index(last) + 1 :]:
            if name != current:
                self.resisted.discard(name)
        if current is None:
            return target
        if target != current and at < self.dwells_until(current):
            self.resisted.add(current)
            return current
        self.resisted.discard(current)
        if current in was and target == current:
            self.suppressed.append((current, "dwell"))
        return target

    def ended(self, current: str | None, target: str | None, at: Moment) -> list[str]:
        """Return the settings of anti-flap that have just let a change happen."""
        found = []
        if current is not None and self.length(current, "min_dwell") and at == self.dwells_until(current):
            found.append("min_dwell")
        for what, since in (("confirm_for", self.confirming), ("cooldown", self.left)):
            length = self.length(target, what) if target is not None else 0
            if length and target in since and at == since[target] + length:
                found.append(what)
        return found

    def dwells_until(self, name: str) -> Moment:
        """Return until when a segment held is kept in any case."""
        segment = self.rules.document.segments[name]
        return self.held[name] + (duration(segment.min_dwell) if segment.min_dwell else 0)

    def decide(self, at: Moment, before: int | None, cause: dict[str, Any]) -> None:
        """Decide at a moment; ``before`` is how many events there were before the cause, None under other rules."""
        held_before = dict(self.held)
        if self.rules.assigns_first:
            self.assign(at, cause)
        for group, names in self.rules.choices:
            self.confirm(names, at)
            current, target = self.step(names, at)
            target = self.resist(names, current, target, at)
            if target == current:
                continue
            involved = [name for name in (current, target) if name]
            reasons = self.reasons(involved, at, before, held_before)
            if not reasons:
                reasons = [(what, False, True) for what in self.ended(current, target, at)]
            reasons = reasons or self.reasons(involved, at, None, held_before)
            if current is not None:
                del self.held[current]
                if self.length(current, "cooldown"):
                    self.left[current] = at
                self.tell(current, "exited", at, group, None, cause, reasons)
            if target is not None:
                self.held[target] = at
                self.confirming.pop(target, None)
                self.left.pop(target, None)
                self.tell(target, "entered", at, group, current, cause, reasons)
            self.confirm(names, at)
        self.left = {name: left for name, left in self.left.items() if self.cools(name, at)}
        self.assign(at, cause)
        self.decided = self.looked = at

    def assign(self, at: Moment, cause: dict[str, Any]) -> None:
        """Move to the nearest of the centres that a model has found."""
        for model, found in self.rules.found.items():
            values = [
                self.reader(len(self.events), at)(name)
                for name in self.rules.document.discovered[model].features
            ]
            target = f"{model}.{nearest(found, values)}"
            current = next((name for name in self.held if name.startswith(f"{model}.")), None)
            if target == current:
                continue
            condition = f"nearest centre of {model} version 1 is {target.partition('.')[2]}"
            reasons: list[tuple[str, bool | None, bool | None]] = [
                (condition, None if current is None else False, True)
            ]
            if current is not None:
                del self.held[current]
                self.tell(current, "exited", at, model, None, cause, reasons)
            self.held[target] = at
            self.tell(target, "entered", at, model, current, cause, reasons)

    def reasons(
        self, names: list[str], at: Moment, before: int | None, held_before: dict[str, Moment]
    ) -> list[tuple[str, bool | None, bool | None]]:
        """Return the conditions that flipped since just before."""
        found = []
        for name in names:
            segment: SegmentDefinition = self.rules.document.segments[name]
            for place, text in (("when", segment.when), ("leave_when", segment.leave_when)):
                if text is not None:
                    earlier = max(at - 1, self.decided)
                    held, self.held = self.held, held_before
                    was = (
                        self._formerly(name, segment.renamed_from, place)
                        if before is None
                        else self.truth(text, earlier, before)
                    )
                    self.held = held
                    now = self.truth(text, at)
                    if before is None or was is not now:
                        found.append((text, was, now))
        return found

    def _formerly(self, name: str, renamed_from: str | None, place: str) -> bool | None:
        """Return what a condition's predecessor under the former rules said."""
        if (name, "when") not in self.former:
            name = renamed_from or ""
        return self.former.get((name, place))

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
            turn = next((at for at in self.instants(self.looked + 1, before) if self.stirs(at)), None)
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
        marks.update(self.dwells_until(name) for name in self.held if "." not in name)
        marks.update(left + self.length(name, "cooldown") for name, left in self.left.items())
        marks.update(since + self.length(name, "confirm_for") for name, since in self.confirming.items())
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
    found : mapping of str to Centres
        What models have found, by name.
    """

    def __init__(
        self,
        versions: Sequence[tuple[int, DefinitionsDocument]],
        *,
        replay: bool,
        grace: int,
        found: Mapping[str, Centres],
    ) -> None:
        self.versions = [
            Rules(index + 1, at, document, found) for index, (at, document) in enumerate(versions)
        ]
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
        earlier = max(at - 1, person.decided)
        person.former = {
            (name, place): person.truth(text, earlier) for name, place, text in person.rules.slots()
        }
        cooling = {name: left for name, left in person.left.items() if person.cools(name, at)}
        meant = {name: person.rules.means(name) for name in person.confirming}
        known = set(person.rules.document.segments)
        person.rules = rules
        person.begun = {name: former.get(key, len(person.events)) for name, key in rules.keys().items()}
        person._memory.clear()
        cause = {"type": "definition", "version": rules.number}
        renamed = {item.renamed_from: name for name, item in rules.document.segments.items()}
        for old in [name for name in person.held if name in renamed]:
            if (new := renamed[old]) not in person.held:
                person.held = {new if name == old else name: since for name, since in person.held.items()}
                group = next(group for group, names in rules.choices if new in names)
                person.tell(new, "renamed", at, group, old, cause, [])
        taken: set[tuple[str, ...]] = set()
        for name in [name for name in person.held if "." not in name]:
            seat = next((names for _, names in rules.choices if name in names), None)
            if seat is None or seat in taken:
                del person.held[name]
                if name in rules.document.segments and person.length(name, "cooldown"):
                    person.left[name] = cooling[name] = at
                    known.add(name)
                person.tell(name, "exited", at, None, None, cause, [])
            elif seat is not None:
                taken.add(seat)
        confirming, person.left, person.confirming, person.resisted = person.confirming, {}, {}, set()
        for name, segment in rules.document.segments.items():
            old = name if name in known else segment.renamed_from or ""
            if name not in person.held and old in cooling and person.length(name, "cooldown"):
                person.left[name] = cooling[old]
            same = old in confirming and meant[old] == rules.means(name)
            if name not in person.held and same and person.length(name, "confirm_for"):
                person.confirming[name] = confirming[old]
        person.decide(at, None, cause)
        person.former = {}

    @staticmethod
    def interrupt(person: Person, moment: Moment) -> None:
        """Note up to when only time acted on a user since its last changes."""
        for change in person.changes:
            change.until = change.until or moment
