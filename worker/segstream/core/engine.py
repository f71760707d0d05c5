"""Applies events and timers to users: the pure middle of the flow (fold, decide), whatever the batch.

The same calls in the same order give the same changes: nothing here reads a clock, a server or chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.core.antiflap import carry
from segstream.core.time import format_time
from segstream.core.user import User, digest
from segstream.errors import StateLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.decider import Decider, Route
    from segstream.core.definitions import Definitions
    from segstream.core.events import Event, Record
    from segstream.core.types import State, Value

    Document = dict[str, Any]


class Brought(NamedTuple):
    """What an event brings to the features: all that is needed of it once it has been read.

    Parameters
    ----------
    user : str
        Whose it is.
    at : int
        When it happened, ms.
    message_id : str
        The event's.
    route : Route
        What it does to the features.
    values : list of Value
        What it holds at each of the places that the route reads.
    """

    user: str
    at: int
    message_id: str
    route: Route
    values: list[Value]


class Touched:
    """A user in a batch: how it stood before, and the last decision that changed its answer.

    Parameters
    ----------
    user : User
        The user, as it becomes.

    Attributes
    ----------
    held, assigned, due, incarnation, sequence
        As they were before.
    told : (int, Decider, sequence of State) or None
        Moment of the last decision that changed the answer, what decided, and the features then. Later decisions of
        the batch leave it alone, so that the answer reads the same however records fall into batches.
    moved : (int, Decider) or None
        The same of the last decision that changed more than exposed features.
    """

    __slots__ = ("_seen", "assigned", "due", "held", "incarnation", "moved", "sequence", "told", "user")

    def __init__(self, user: User) -> None:
        self.user = user
        self.held = user.held
        self.assigned = user.assigned
        self.due = user.due
        self.incarnation = user.incarnation
        self.sequence = user.sequence
        self.told: tuple[int, Decider, Sequence[State]] | None = None
        self.moved: tuple[int, Decider] | None = None
        self._seen = user.held, user.sequence, user.incarnation

    def note(self, at: int, decider: Decider, *, exposed: bool = False) -> None:
        """Keep a decision if it changed the answer; ``exposed`` says that an exposed feature may have changed."""
        user, (held, sequence, incarnation) = self.user, self._seen
        if user.held is not held or user.sequence != sequence or user.incarnation != incarnation:
            self.moved = at, decider
            self.told = at, decider, user.features
            self._seen = user.held, user.sequence, user.incarnation
        elif exposed:
            self.told = at, decider, user.features


class Outcome:
    """What a batch leads to.

    Attributes
    ----------
    changes : list of dict
        The transitions, in order.
    arrivals : list of str
        Users seen for the first time.
    samples : list of (str, list)
        Feature vectors for the trainer, with the model's name.
    suppressed : list of (str, str)
        Segment and reason of each flip that anti-flap has kept from being told.
    events, repeats, wake_ups, idle_wake_ups : int
        Events applied, repeats of a message dropped, timers fired, and those of them that changed nothing.
    """

    __slots__ = (
        "arrivals",
        "changes",
        "events",
        "idle_wake_ups",
        "repeats",
        "samples",
        "suppressed",
        "wake_ups",
    )

    def __init__(self) -> None:
        self.changes: list[Document] = []
        self.arrivals: list[str] = []
        self.samples: list[tuple[str, list[float | None]]] = []
        self.suppressed: list[tuple[str, str]] = []
        self.events = self.repeats = self.wake_ups = self.idle_wake_ups = 0


class Engine:
    """Applies events and timers under the bases of a partition.

    Parameters
    ----------
    deciders : sequence of Decider
        One for each basis in the partition's log, oldest first; the last is in force.
    sample_every : int
        Every how many decisions a feature vector is sampled for the models; 0 for never.
    """

    def __init__(self, deciders: Sequence[Decider], sample_every: int = 0) -> None:
        self._deciders = {decider.basis.number: decider for decider in deciders}
        self.current = deciders[-1]
        self._sample_every = sample_every
        self._until_sample = sample_every

    def newcomer(self, name: str, outcome: Outcome) -> User:
        """Return the state of a user never seen."""
        basis = self.current.basis
        outcome.arrivals.append(name)
        return User(name, self.current.zero, basis.number, basis.incarnation)

    def touch(self, user: User, outcome: Outcome) -> Touched:
        """Note how the user stands before a batch, and bring it up to the basis in force.

        Raises
        ------
        StateLost
            The state rests on a basis that no user of this partition has any more.
        """
        touched = Touched(user)
        if user.basis != self.current.basis.number:
            if user.basis not in self._deciders:
                raise StateLost(
                    f"the state of a user rests on basis {user.basis}, and all had been brought up to "
                    f"{min(self._deciders)}: Redis holds an older state than was committed; starting over from that"
                )
            self._catch_up(touched, outcome)
        return touched

    def bring(self, event: Event, topic: str) -> Brought:
        """Take out of an event what it brings to the features."""
        route, document = self.current.route(event.type, event.name, topic), event.document
        if route.filtered is not None:
            route = route.filtered(document)
        values = [read(document) for read in route.readers]
        # A named tuple's own constructor takes twice the time, and this is on the way of every event.
        return tuple.__new__(Brought, (event.user, event.at, event.message_id, route, values))

    def apply(self, touched: Touched, brought: Brought, record: Record, clock: int, outcome: Outcome) -> None:
        """Apply one event: first the user's own timers due before it, then the event.

        Parameters
        ----------
        touched : Touched
            The event's user.
        brought : Brought
            What the event brings.
        record : Record
            Where it stands in the log.
        clock : int
            The partition's clock at the record, less the grace for timers, in ms.
        outcome : Outcome
            Collects what changes.
        """
        user = touched.user
        _, happened, tie, route, values = brought
        message = digest(tie)
        # Anywhere in it, not only at every eighth byte: as improbable as two ids of one digest.
        if message in user.recent:
            outcome.repeats += 1
            return
        decider = self.current
        limit = happened if happened > clock else clock
        if user.due < limit:
            self._wake(touched, decider, limit, outcome)
        user.remember(message)
        at = happened if happened > user.decided_at else user.decided_at
        before = user.features
        if route.steps:
            states: list[State] = list(before)
            for index, place, add, compact in route.steps:
                state = states[index] if compact is None else compact(states[index], at)
                states[index] = add(state, happened, None if place is None else values[place], tie)
            user.features = tuple(states)
        cause = {
            "type": "event",
            "message_id": tie,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }
        decider.decide(user, before, at, cause, outcome.changes, outcome.suppressed, route.reach)
        touched.note(at, decider, exposed=route.exposed)
        outcome.events += 1
        self._sample(user, at, outcome)

    def wake(self, user: User, before: int, outcome: Outcome) -> Touched:
        """Fire the user's timers due strictly before a moment (ms), in due order."""
        touched = self.touch(user, outcome)
        self._wake(touched, self.current, before, outcome)
        return touched

    def _wake(self, touched: Touched, decider: Decider, before: int, outcome: Outcome) -> None:
        user = touched.user
        while user.due < before:
            due, told, decided_at = user.due, len(outcome.changes), user.decided_at
            features = user.features
            if decider.windows:
                states = list(features)
                for index, compact in decider.windows:
                    states[index] = compact(states[index], due)
                user.features = tuple(states)
            confirming, left, resisted = user.confirming, user.left, user.resisted
            suppressed = len(outcome.suppressed)
            cause = {"type": "timer", "due": format_time(due)}
            decider.decide(user, features, due, cause, outcome.changes, outcome.suppressed)
            touched.note(due, decider)
            outcome.wake_ups += 1
            told_now = outcome.changes[told:]
            turned = user.confirming is not confirming
            if not turned and not any(change["kind"] == "rule" for change in told_now):
                # How often the answer is looked at in vain is no result: a late event may still be decided earlier.
                # Nor may what a model makes of it, which differs from run to run, move what rules say.
                user.features, user.decided_at = features, decided_at
                user.left, user.resisted = left, resisted
                del outcome.suppressed[suppressed:]
            if not told_now and not turned:
                outcome.idle_wake_ups += 1
            # Without these no sample would show a user long after its last event.
            self._sample(user, due, outcome)

    def _catch_up(self, touched: Touched, outcome: Outcome) -> None:
        """Take the user through each basis since its last decision, as of the moment that came into force."""
        user, told = touched.user, len(outcome.changes)
        for number, decider in self._deciders.items():
            if number <= user.basis:
                continue
            former = self._deciders[user.basis]
            self._wake(touched, former, decider.basis.at, outcome)
            at = max(decider.basis.at, user.decided_at)
            if user.incarnation != decider.basis.incarnation:
                # What an earlier incarnation decides here it may have told before Redis forgot it, under the same
                # sequence: the whole answer that follows stands for it.
                del outcome.changes[told:]
                user.incarnation, user.sequence = decider.basis.incarnation, 0
                decider.restate(user, at, {"type": "recovery"}, outcome.changes)
            if decider.basis.definitions != former.basis.definitions:
                before = former.former(former.states_of(user))
                user.features = _carried(user.features, former.definitions, decider.definitions)
                cause: Document = {"type": "definition", "version": decider.basis.definitions}
                decider.settle(user, at, cause, outcome.changes)
                carry(user, former.definitions, decider.definitions, at)
                decider.decide(user, before, at, cause, outcome.changes, outcome.suppressed)
            elif decider.basis.models != former.basis.models and decider.asks_models:
                cause = {"type": "model", "version": _new_model(former, decider)}
                decider.decide(user, user.features, at, cause, outcome.changes, outcome.suppressed)
            elif decider.basis.models != former.basis.models:
                # Rules are left alone: when a snapshot comes is chance, and must not show in what they decide.
                decider.assign(user, user.features, at, None, outcome.changes)
            touched.note(at, decider, exposed=_exposed(decider) != _exposed(former))
            user.basis = number

    def _sample(self, user: User, at: int, outcome: Outcome) -> None:
        self._until_sample -= 1
        if self._until_sample != 0:
            return
        self._until_sample = self._sample_every
        for model in self.current.definitions.discovered:
            outcome.samples.append((model.name, [item.read(user.features, at) for item in model.inputs]))


def _carried(states: Sequence[State], old: Definitions, new: Definitions) -> tuple[State, ...]:
    """Return the states of the new features: kept where a feature means the same, begun anew elsewhere."""
    kept = {feature.fingerprint: states[feature.index] for feature in old.features}
    return tuple(
        kept[feature.fingerprint] if feature.fingerprint in kept else feature.accumulator.zero()
        for feature in new.features
    )


def _new_model(former: Decider, present: Decider) -> int:
    """Return the version of the first model that has another one now."""
    before = former.basis.models
    return next((number for name, number in present.basis.models.items() if before.get(name) != number), 0)


def _exposed(decider: Decider) -> list[tuple[str, str]]:
    """Return what others may read of a user besides its segments: names and meanings."""
    return [(feature.name, feature.fingerprint) for feature in decider.exposed]
