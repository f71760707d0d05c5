"""One user: all that happened, each value counted from it, and what follows, instant by instant."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from segstream.verify.conditions import evaluate

if TYPE_CHECKING:
    from segstream.core.expressions.tree import Compare, Node, Read
    from segstream.core.types import Value
    from segstream.verify.measures import Happening, Pick
    from segstream.verify.rules import Choice, Rules

REMEMBERED: Final = 32
"""A repeat of one of so many last messages does not count."""


class Turn(NamedTuple):
    """A transition that the recount finds.

    Parameters
    ----------
    at : int
        Moment, in ms.
    change : str
        entered, exited or renamed.
    segment : str
    cause : str
        In short, for a person.
    """

    at: int
    change: str
    segment: str
    cause: str


class Person:
    """A user, from the first event on.

    Parameters
    ----------
    rules : Rules
        In force at the first event.

    Attributes
    ----------
    held : dict of str to int
        Segments held, and since when (ms).
    decided : int
        Moment of the last decision that an event, another version or a change made, ms.
    story : list of Turn
        What has become of the user.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.held: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.confirming: dict[str, int] = {}
        self.decided = 0
        self.looked = 0
        self.story: list[Turn] = []
        self._messages: list[str] = []
        self._picks: dict[str, list[Pick]] = {name: [] for name in rules.measures}
        self._still: dict[str, Value] = {}

    # --- what happens

    def happen(self, event: Happening) -> None:
        """Apply an event, unless it is a repeat."""
        if event.message in self._messages[-REMEMBERED:]:
            return
        self.silence(event.limit)
        self._messages.append(event.message)
        for name, measure in self.rules.measures.items():
            if found := measure.picks(event):
                self._picks[name] += found
                self._still.pop(name, None)
        at = max(event.at, self.decided)
        self._decide(at, f"event {event.message} at {event.topic} offset {event.offset}")
        self.decided = self.looked = at

    def silence(self, before: int) -> None:
        """Let time pass up to a moment (ms), exclusive."""
        while self._messages and self.looked + 1 < before and self._stir(before):
            pass
        self.looked = max(self.looked, before - 1)

    def _stir(self, before: int) -> bool:
        """Look at each moment after the last look at which anything may turn, and return whether one made a change."""
        marks = {at for at in self._marks() if self.looked < at < before}
        for end in sorted({*marks, before}):
            while self.looked < end:
                turns = (self._turns(node, self.looked, end - 1) for node in self.rules.flowing)
                at = min((turn for turn in turns if turn is not None), default=end)
                if at == before:
                    return False
                confirming, told = self.confirming, len(self.story)
                self._decide(at, "time")
                self.looked = at
                if len(self.story) > told or self.confirming != confirming:
                    self.decided = at
                    return True  # other moments matter now
        return False

    def change_rules(self, rules: Rules) -> None:
        """Go on under another version, from the moment it came into force."""
        self.silence(rules.at)
        former, self.rules = self.rules, rules
        at = max(rules.at, self.decided)
        kept = {measure.key: self._picks[name] for name, measure in former.measures.items()}
        self._picks = {name: list(kept.get(measure.key, ())) for name, measure in rules.measures.items()}
        self._still.clear()
        cause = f"definitions version {rules.version}"
        for old in [name for name in self.held if name in rules.renamed]:
            new = rules.renamed[old]
            if new not in self.held:
                self.held = {new if name == old else name: since for name, since in self.held.items()}
                self.story.append(Turn(at, "renamed", new, cause))
        seats: set[Choice | None] = {None}
        dropped = set()
        for name in list(self.held):
            seat = next((choice for choice in rules.choices if name in choice.names), None)
            if seat in seats:
                del self.held[name]
                dropped.add(name)
                self.story.append(Turn(at, "exited", name, cause))
            seats.add(seat)
        self._carry(former, at, dropped)
        self._decide(at, cause)
        self.decided = self.looked = at

    def _carry(self, former: Rules, at: int, dropped: Collection[str]) -> None:
        """Keep the clocks of anti-flap that go on under other rules, and begin those of what these rules take away."""
        left, self.left = self.left, {}
        confirming, self.confirming = self.confirming, {}
        for name, segment in self.rules.segments.items():
            old = name if name in former.segments else segment.renamed_from or ""
            if name in dropped and segment.cooldown:
                self.left[name] = at
            if name in self.held or name in dropped or old not in former.segments:
                continue
            if segment.cooldown and old in left and left[old] + former.segments[old].cooldown > at:
                self.left[name] = left[old]
            if segment.confirm_for and old in confirming and former.meaning(old) == self.rules.meaning(name):
                self.confirming[name] = confirming[old]

    # --- values

    def _read(self, at: int) -> Callable[[Read], Value]:
        still, asks = self._still, self.rules.asks

        def read(node: Read) -> Value:
            name = node.name
            if name in still:  # only an event changes it
                return still[name]
            if name in asks:
                return asks[name] in self.held
            measure = self.rules.measures[name]
            value = measure.worth(self._picks[name], at)
            if not measure.moves:
                still[name] = value
            return value

        return read

    def _true(self, node: Node, at: int) -> bool:
        return evaluate(node, self._read(at), at) is True

    # --- decisions

    def _applies(self, name: str, at: int, *, held: bool) -> bool:
        segment = self.rules.segments[name]
        leaving = segment.leave_when is not None and self._true(segment.leave_when.node, at)
        if held and segment.leave_when is not None:
            return not leaving
        return not leaving and self._true(segment.when.node, at)

    def _decide(self, at: int, cause: str) -> None:
        """Bring what is held up to date."""
        for choice in self.rules.choices:
            if choice.names[0] in self.rules.unchecked:
                continue
            current = next((name for name in choice.names if name in self.held), None)
            target = self._target(choice, current, at)
            if target == current:
                continue
            if current is not None:
                if at < self.held[current] + self.rules.segments[current].min_dwell:
                    continue
                del self.held[current]
                self.left[current] = at
                self.story.append(Turn(at, "exited", current, cause))
            if target is not None:
                self.held[target] = at
                self.left.pop(target, None)
                self.confirming = {name: since for name, since in self.confirming.items() if name != target}
                self.story.append(Turn(at, "entered", target, cause))
            self._target(choice, target, at)  # the one that was left may begin to be confirmed

    def _target(self, choice: Choice, current: str | None, at: int) -> str | None:
        """Return the segment to hold, ``min_dwell`` aside, and note since when conditions have been true."""
        found: str | None = None
        for name in choice.names:
            segment = self.rules.segments[name]
            if found is not None and (name == current or not segment.confirm_for):
                continue
            applies = self._applies(name, at, held=name == current)
            opens = self.left.get(name, at) + segment.cooldown if name in self.left else at
            if name != current and segment.confirm_for:
                if not applies:
                    self.confirming = {each: since for each, since in self.confirming.items() if each != name}
                elif name not in self.confirming:
                    self.confirming = {**self.confirming, name: at}
                opens = max(opens, self.confirming.get(name, at) + segment.confirm_for)
            if found is None and applies and (name == current or at >= opens):
                found = name
        return found

    # --- time

    def _marks(self) -> Iterator[int]:
        """Yield the moments at which windows move or a clock of anti-flap ends."""
        segments = self.rules.segments
        for name, since in self.held.items():
            yield since + segments[name].min_dwell
        for name, left in self.left.items():
            yield left + segments[name].cooldown
        for name, since in self.confirming.items():
            yield since + segments[name].confirm_for
        for measure in self.rules.stepping:
            for pick in self._picks[measure.name]:
                yield measure.leaves(pick.at)

    def _turns(self, node: Compare, start: int, end: int) -> int | None:
        """Return the first moment after ``start``, up to ``end``, at which a comparison turns.

        Between two moments at which windows move it does so once at most.
        """

        def truth(at: int) -> Any:
            return evaluate(node, self._read(at), at)

        if end <= start:
            return None
        was = truth(start)
        if truth(end) is was:
            return None
        # Where a straight line would cross is where an age does: the search has four milliseconds left then.
        for probe in self._near(node, start, end):
            if start < probe < end:
                if truth(probe) is was:
                    start = probe
                else:
                    end = probe
        return start + bisect_right(range(start, end + 1), 0, key=lambda at: int(truth(at) is not was))

    def _near(self, node: Compare, start: int, end: int) -> tuple[int, ...]:
        """Return moments around that at which both sides are equal, were their courses straight."""
        gaps = []
        for at in (start, end):
            one, other = (evaluate(side, self._read(at), at) for side in (node.left, node.right))
            if one is None or other is None:
                return ()
            gaps.append(float(one) - float(other))
        before, after = gaps
        if before == after:
            return ()
        guess = start + round((end - start) * (before / (before - after)))
        return guess - 2, guess + 2


def recount(events: Sequence[Happening], rules: Sequence[Rules], step: int, before: int) -> Person | None:
    """Return what has become of a user; None without events.

    Parameters
    ----------
    events : sequence of Happening
        In the order of the log.
    rules : sequence of Rules
        The partition's versions in the order they came into force.
    step : int
        The last of them to take the user through, counted from 0.
    before : int
        The moment (ms) up to which time passes after the last event, exclusive.
    """
    if not events:
        return None
    at_step = events[0].step
    person = Person(rules[at_step])
    for event in events:
        while at_step < event.step:
            at_step += 1
            person.change_rules(rules[at_step])
        person.happen(event)
    while at_step < step:
        at_step += 1
        person.change_rules(rules[at_step])
    person.silence(before)
    return person
