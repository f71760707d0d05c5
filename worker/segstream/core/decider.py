"""Decides which segments a user is in, under one basis: one version of the definitions, one snapshot of each model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.core.antiflap import cool_down, ended, resist, standings, step, weigh, yield_to
from segstream.core.changes import Former, change_document, inputs_of, reasons_for
from segstream.core.definitions.references import asks, in_order
from segstream.core.expressions import Input, Number
from segstream.core.filtered import Filtered
from segstream.core.segments import Choice, Clocks
from segstream.core.time import NEVER
from segstream.core.types import Motion
from segstream.core.user import NOBODY, UNKNOWN
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segstream.core.antiflap import Standing, Suppressed
    from segstream.core.basis import Basis
    from segstream.core.changes import Before
    from segstream.core.clusters import Snapshot
    from segstream.core.definitions import Definitions, Discovered, Feature, Segment
    from segstream.core.types import State, Value
    from segstream.core.user import User

    Document = dict[str, Any]
    Read = Callable[[Document], Value]
    Add = Callable[[State, int, Value, str], State]
    Compact = Callable[[State, int], State]


class Reach(NamedTuple):
    """The choices that have to be decided anew when certain features have changed and nothing else has.

    Parameters
    ----------
    places : frozenset of int
        Their places among all choices.
    choices : tuple of (int, Choice)
        With their places, in the order in which they are decided.
    """

    places: frozenset[int]
    choices: tuple[tuple[int, Choice], ...]


class Route(NamedTuple):
    """What one kind of event does to the features, laid out so that an event costs few look-ups.

    Parameters
    ----------
    readers : tuple of callable
        How to read what the features need of an event, each place once.
    steps : tuple of (int, int or None, callable, callable or None)
        Index of a state; which reader's value it takes, if it takes one; how to add it; how to drop what has left a
        window, if it is one.
    exposed : bool
        Whether any of these features is exposed.
    reach : Reach
        What reads these features.
    filtered : callable or None
        Where features have filters: ``filtered(document)`` is the route of that event, to be taken in place of this.
    """

    readers: tuple[Read, ...]
    steps: tuple[tuple[int, int | None, Add, Compact | None], ...]
    exposed: bool
    reach: Reach
    filtered: Callable[[Document], Route] | None = None


class Decider:
    """Decides under one basis.

    Parameters
    ----------
    basis : Basis
        The versions in force.
    definitions : Definitions
        Those of ``basis.definitions``.
    snapshots : mapping of str to Snapshot
        Those of ``basis.models``; one made for other inputs than the definitions' is left aside. Where one is missing,
        nobody's discovered segment changes until a basis names one that is there.
    """

    __slots__ = (
        "_assigns_first",
        "_choices",
        "_everything",
        "_memberships",
        "_models",
        "_readers",
        "_renamed",
        "_routes",
        "_segments",
        "_told",
        "basis",
        "definitions",
        "discovered",
        "exposed",
        "windows",
        "zero",
    )

    def __init__(self, basis: Basis, definitions: Definitions, snapshots: Mapping[str, Snapshot]) -> None:
        self.basis = basis
        self.definitions = definitions
        self.zero: tuple[State, ...] = tuple(feature.accumulator.zero() for feature in definitions.features)
        self.exposed = tuple(feature for feature in definitions.features if feature.expose)
        self.windows = tuple(
            (feature.index, feature.accumulator.compact)
            for feature in definitions.features
            if _is_window(feature)
        )
        self._routes: dict[int, Route] = {}
        self._told: tuple[dict[str, Segment], dict[str, Input | Number]] | None = None
        segments = self._segments = {segment.name: segment for segment in definitions.segments}
        grouped = {name: group for group in definitions.groups for name in group.segments}
        self._memberships = {
            name: len(definitions.features) + place for place, name in enumerate(definitions.memberships)
        }
        # What a model finds is decided before the rules that ask for it, and else after them.
        self._assigns_first = any("." in name for name in self._memberships)
        asked_for = {segment.name: _asked_by(segment) for segment in definitions.segments}
        choices: dict[str, Choice] = {}
        for segment in definitions.segments:
            group = grouped.get(segment.name)
            names = (segment.name,) if group is None else group.segments
            if names[0] not in choices:
                asking = any(asked_for[name] for name in names)
                choices[names[0]] = Choice([segments[name] for name in names], segment.group, asking=asking)
        found = list(choices.values())
        self._choices = tuple(found[place] for place in in_order([each.names for each in found], asked_for))
        self._everything = Reach(frozenset(range(len(self._choices))), tuple(enumerate(self._choices)))
        self._readers = _readers(self._choices, definitions)
        self._renamed = {item.renamed_from: item.name for item in definitions.segments if item.renamed_from}
        self._models: set[str] = set()
        self.discovered: list[tuple[Discovered, Snapshot]] = []
        for model in definitions.discovered:
            snapshot = snapshots.get(model.name)
            if snapshot is None and model.name in basis.models:
                # Not kept any more: what it told holds until the next one is adopted. To leave now would be false.
                self._models.add(model.name)
            elif snapshot is not None and snapshot.features == tuple(item.text for item in model.inputs):
                self.discovered.append((model, snapshot))
                self._models.add(model.name)

    def route(self, kind: str, name: str | None, topic: str) -> Route:
        """Return what an event of a type and name from a topic does to the features."""
        features = self.definitions.routes(kind, name, topic)
        key = id(features)  # the definitions keep one tuple for each way an event can go
        found = self._routes.get(key)
        if found is None:
            found = self._laid_out(features)
            if any(feature.where for feature in features):
                found = found._replace(filtered=Filtered(features, self._laid_out))
            self._routes[key] = found
        return found

    def _laid_out(self, features: Sequence[Feature]) -> Route:
        readers = {feature.path: feature.read for feature in features if feature.path is not None}
        places = {path: place for place, path in enumerate(readers)}
        steps = tuple(
            (
                feature.index,
                None if feature.path is None else places[feature.path],
                feature.add,
                feature.accumulator.compact if _is_window(feature) else None,
            )
            for feature in features
        )
        changed = {feature.index for feature in features}
        reached = frozenset(
            place for place, reads in enumerate(self._readers) if reads is None or reads & changed
        )
        reach = Reach(reached, tuple((place, self._choices[place]) for place in sorted(reached)))
        return Route(tuple(readers.values()), steps, any(feature.expose for feature in features), reach)

    def former(self, states: Sequence[State]) -> Former:
        """Return what is so under these definitions, for those that follow them.

        Parameters
        ----------
        states : sequence of State
            A user's feature states, as these definitions keep them.
        """
        if self._told is None:
            definitions, inputs = self.definitions, dict[str, Input | Number]()
            for feature in definitions.features:
                inputs[feature.name] = _input(feature)
            for segment in definitions.segments:
                for condition in (segment.when, segment.leave_when):
                    inputs.update({item.text: item for item in condition.inputs} if condition else {})
            for model in definitions.discovered:
                inputs.update({item.text: item for item in model.inputs})
            self._told = {segment.name: segment for segment in definitions.segments}, inputs
        return Former(*self._told, states)

    @property
    def asks_models(self) -> bool:
        """Whether any condition asks for a discovered segment."""
        return self._assigns_first

    def states_of(self, user: User) -> tuple[State, ...]:
        """Return what conditions read: the features' states, and for each segment asked for whether it is held."""
        if not self._memberships:
            return user.features
        return (*user.features, *self._flags(user))

    def _flags(self, user: User) -> list[bool]:
        held = {*user.held, *(f"{model}.{cluster}" for model, (cluster, _) in user.assigned.items())}
        return [name in held for name in self._memberships]

    def standings(self, user: User, at: int) -> list[Standing]:
        """Return how a user stands in each rule segment at a moment (ms), and what anti-flap holds back."""
        states = self.states_of(user)
        return [found for choice in self._choices for found in standings(user, choice, states, at)]

    def decide(  # noqa: C901, PLR0912, PLR0915 (on the way of every event, where a call for each segment shows)
        self,
        user: User,
        before: Before,
        at: int,
        cause: Document,
        changes: list[Document],
        suppressed: Suppressed,
        reach: Reach | None = None,
    ) -> None:
        """Bring the user's memberships up to date at a moment.

        Sets ``held``, ``assigned``, ``due``, ``decided_at``, ``sequence`` and what anti-flap keeps of ``user``.
        Where only some features have changed, only the choices that read them are looked at: the others' answers
        hold until the user is due. When the user was due for one of those, only a look at all tells what is due next.

        Parameters
        ----------
        user : User
            Its ``features`` are those after the cause.
        before : sequence of State, Former or None
            Feature states before the cause, for the reasons; ``former`` of the decider before under other definitions.
        at : int
            The effective moment in ms, not before the user's last decision.
        cause : dict
            What led to the decision, as the contract's ``cause``.
        changes : list
            Gets a document for each transition.
        suppressed : list
            Gets (segment, reason) for each flip that anti-flap has kept from being told; see
            `segstream.core.antiflap`.
        reach : Reach, optional
            What reads the features that have changed since the last decision; by default any may have.
        """
        due, due_for, everything = user.due, user.due_for, self._everything
        if reach is None or due <= at or due_for == UNKNOWN or due_for in reach.places:
            reach, due, due_for = everything, NEVER, NOBODY
        states: Sequence[State] = user.features
        if self._memberships:
            if before is not None and not isinstance(before, Former):
                before = (*before, *self._flags(user))
            if self._assigns_first:
                assigned = user.assigned
                self.assign(user, before, at, cause, changes)
                if user.assigned is not assigned:
                    reach, due, due_for = everything, NEVER, NOBODY
            states = self.states_of(user)
        held = user.held
        for place, choice in reach.choices:
            current = choice.held(held)
            since, ends = (at, NEVER) if current is None else held[current]
            if choice.damped:
                target, until, tracked = weigh(user, choice, current, states, at, suppressed)
            else:
                target, until = choice.judge(current, states, at)
                tracked = NEVER
            kept_until = 0 if current is None else since + choice.by_name[current].min_dwell
            if current is not None and target != current and at < kept_until:
                resist(user, current)
                target, until = current, kept_until
            elif current is not None and current in user.resisted:
                yield_to(user, current, target, suppressed)
            if target != current:
                step = current, target, kept_until
                until, tracked = self._move(user, choice, step, (before, states, at), cause, changes)
                states = self.states_of(user)
            elif target is not None:
                if until < kept_until:
                    until = kept_until
                expires = NEVER
                if until < NEVER:
                    expires = self._expires(user, choice, target, kept_until, states, (until, tracked))
                if expires != ends:
                    user.held = {**user.held, target: (since, expires)}
            if tracked < until:
                until = tracked
            if until < due:
                due, due_for = until, place
        if user.left:
            cool_down(user, self._segments, at)
        if (self.discovered or user.assigned) and not self._assigns_first:
            self.assign(user, before, at, cause, changes)
        # A moment not after this one would wake the user for ever; conditions promise later ones.
        user.due = max(due, at + 1) if due <= LATEST else NEVER
        user.due_for = due_for
        user.decided_at = at

    def _move(
        self,
        user: User,
        choice: Choice,
        move: tuple[str | None, str | None, int],
        moment: tuple[Before, Sequence[State], int],
        cause: Document,
        changes: list[Document],
    ) -> tuple[int, int]:
        """Leave one segment of a group and enter another: two records with the same cause.

        Returns
        -------
        (int, int)
            Moments up to which the new one, and what is being confirmed, certainly stay.
        """
        current, target, kept_until = move
        before, states, at = moment
        segments = [choice.by_name[name] for name in (current, target) if name is not None]
        moments = _moments(user, at)
        reasons = reasons_for(segments, before, states, moments) or ended(
            user, choice, current, target, kept_until, at
        )
        if not reasons:
            # What a newcomer enters may have been true of anybody: then there is no flip, but still a why.
            reasons = reasons_for(segments, None, states, moments)
        if current is not None:
            user.held = {name: stay for name, stay in user.held.items() if name != current}
            self._tell(user, "exited", current, choice.group, None, (at, NEVER), cause, reasons, changes)
        if choice.damped:
            step(user, choice, current, target, at)
            _, until, tracked = weigh(user, choice, target, states, at, [])
        else:
            (_, until), tracked = choice.judge(target, states, at), NEVER
        if target is not None:
            kept_until = at + choice.by_name[target].min_dwell
            until = max(until, kept_until)
            expires = self._expires(user, choice, target, kept_until, states, (until, tracked))
            user.held = {**user.held, target: (at, expires)}
            self._tell(user, "entered", target, choice.group, current, (at, expires), cause, reasons, changes)
        return until, tracked

    @staticmethod
    def _expires(
        user: User,
        choice: Choice,
        target: str,
        kept_until: int,
        states: Sequence[State],
        moments: tuple[int, int],
    ) -> int:
        """Return when a segment will be left if no event comes, ``NEVER`` where that is not known."""
        until, tracked = moments
        if until >= NEVER or choice.asking:
            return NEVER
        if not choice.damped:
            return choice.ends(target, kept_until, states, until)
        clocks = Clocks(user.confirming, user.left)
        return choice.damped_ends(target, kept_until, clocks, states, min(until, tracked))

    def assign(
        self,
        user: User,
        before: Before,
        at: int,
        told: Document | None,
        changes: list[Document],
    ) -> None:
        """Bring the user's discovered segments up to date.

        The parameters are those of ``decide``, but without a cause (``told``) each model's new version is the cause.
        """
        models = self.basis.models
        for name in [name for name in user.assigned if name not in self._models]:
            cause = told or {"type": "model", "version": models.get(name)}
            self._drop_assigned(user, name, at, cause, [], changes)
        for model, snapshot in self.discovered:
            cluster = snapshot.assign([item.read(user.features, at) for item in model.inputs])
            current = user.assigned.get(model.name)
            if current is not None and current[0] == cluster:
                continue
            cause = told or {"type": "model", "version": snapshot.number}
            reasons = [
                {
                    "condition": f"nearest centre of {model.name} version {snapshot.number} is {cluster}",
                    "before": None if current is None else False,
                    "after": True,
                    "inputs": inputs_of(model.inputs, before, user.features, _moments(user, at)),
                }
            ]
            previous, moment = None, at
            if current is not None:
                # A new snapshot may have moved the user after what rules decide now: nobody leaves before entering.
                previous, moment = f"{model.name}.{current[0]}", max(at, current[1])
                self._drop_assigned(user, model.name, at, cause, reasons, changes)
            user.assigned = {**user.assigned, model.name: (cluster, moment)}
            segment = f"{model.name}.{cluster}"
            self._tell(
                user, "entered", segment, model.name, previous, (moment, NEVER), cause, reasons, changes
            )

    def _drop_assigned(
        self,
        user: User,
        model: str,
        at: int,
        cause: Document,
        reasons: list[Document],
        changes: list[Document],
    ) -> None:
        """Leave the discovered segment of ``model``."""
        cluster, since = user.assigned[model]
        at = max(at, since)
        user.assigned = {name: stay for name, stay in user.assigned.items() if name != model}
        self._tell(user, "exited", f"{model}.{cluster}", model, None, (at, NEVER), cause, reasons, changes)

    def _drop_held(self, user: User, segment: str, at: int, cause: Document, changes: list[Document]) -> None:
        """Leave a rule segment that the definitions do not have any more, or have in another group."""
        if segment in self._segments and self._segments[segment].cooldown:
            user.left = {**user.left, segment: at}
        user.held = {name: stay for name, stay in user.held.items() if name != segment}
        self._tell(user, "exited", segment, None, None, (at, NEVER), cause, [], changes)

    def _rename(self, user: User, former: str, at: int, cause: Document, changes: list[Document]) -> None:
        """Hold a segment under its new name, since when it was entered under the old one."""
        new = self._renamed[former]
        group = next(choice.group for choice in self._choices if new in choice.names)
        user.held = {new if name == former else name: stay for name, stay in user.held.items()}
        # When it ends is for the decision to say that follows.
        self._tell(user, "renamed", new, group, former, (at, NEVER), cause, [], changes)

    def restate(self, user: User, at: int, cause: Document, changes: list[Document]) -> None:
        """Tell the whole answer again, in one record without a segment."""
        self._tell(user, "restated", None, None, None, (at, NEVER), cause, [], changes)

    def settle(self, user: User, at: int, cause: Document, changes: list[Document]) -> None:
        """Rename and leave the rule segments that these definitions do not have, before the first decision under them.

        Whoever holds a segment already under its new name leaves it under the old one.
        """
        for former in [name for name in user.held if name in self._renamed]:
            if self._renamed[former] not in user.held:
                self._rename(user, former, at, cause, changes)
        kept: set[str | None] = set()
        choice_of = {name: choice for choice in self._choices for name in choice.names}
        for segment in list(user.held):
            choice = choice_of.get(segment)
            seat = None if choice is None else choice.names[0]
            if seat is None or seat in kept:
                self._drop_held(user, segment, at, cause, changes)
            kept.add(seat)

    def _tell(
        self,
        user: User,
        change: str,
        segment: str | None,
        group: str | None,
        previous: str | None,
        moment: tuple[int, int],
        cause: Document,
        reasons: list[Document],
        changes: list[Document],
    ) -> None:
        at, expires = moment
        changes.append(
            change_document(
                user,
                segment=segment,
                kind=None if segment is None else "discovered" if "." in segment else "rule",
                group=group,
                change=change,
                previous=previous,
                at=at,
                expires=expires,
                cause=cause,
                reasons=reasons,
                segments=user.segments(),
                definitions_version=self.basis.definitions,
                model_version=self.basis.models,
            )
        )


def _input(feature: Feature) -> Input:
    index, accumulator = feature.index, feature.accumulator
    return Input(feature.name, accumulator.kind, lambda states, at: accumulator.value(states[index], at))


def _readers(choices: Sequence[Choice], definitions: Definitions) -> list[frozenset[int] | None]:
    """Return for each choice the features that must change for its answer to change; None where any event counts.

    A choice that asks for a segment reads what that one's conditions read (a discovered one is seen to by itself).
    With ``min_dwell`` or ``cooldown``, a flip that is held back is noticed when an event comes, so such a choice is
    looked at with each.
    """
    features = len(definitions.features)
    found: dict[str, frozenset[int] | None] = {}
    for choice in choices:
        segments = choice.by_name.values()
        conditions = [each for segment in segments for each in (segment.when, segment.leave_when) if each]
        indices = {index for condition in conditions for index in condition.reads}
        asked = [definitions.memberships[index - features] for index in indices if index >= features]
        parts = [found[name] for name in asked if name in found and name not in choice.by_name]
        if any(segment.min_dwell or segment.cooldown for segment in segments) or None in parts:
            reads = None
        else:
            reads = frozenset(index for index in indices if index < features).union(*filter(None, parts))
        found |= dict.fromkeys(choice.names, reads)
    return [found[choice.names[0]] for choice in choices]


def _asked_by(segment: Segment) -> list[str]:
    """Return the segments that a segment's conditions ask for."""
    conditions = [segment.when, *([] if segment.leave_when is None else [segment.leave_when])]
    return [ask.segment for condition in conditions for ask in asks(condition.source)]


def _is_window(feature: Feature) -> bool:
    return feature.accumulator.motion is Motion.STEPS


def _moments(user: User, at: int) -> tuple[int, int]:
    """Return the moment before a decision, which is never before the last one, and its own."""
    return max(at - 1, user.decided_at), at
