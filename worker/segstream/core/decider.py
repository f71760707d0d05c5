"""Decides which segments a user is in, under one basis: one version of the definitions, one snapshot of each model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.core.changes import change_document, dwell_over, inputs_of, reasons_for
from segstream.core.segments import Choice
from segstream.core.time import NEVER
from segstream.core.types import Motion
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segstream.core.basis import Basis
    from segstream.core.clusters import Snapshot
    from segstream.core.definitions import Definitions, Discovered, Feature
    from segstream.core.types import State, Value
    from segstream.core.user import User

    Document = dict[str, Any]
    Read = Callable[[Document], Value]
    Add = Callable[[State, int, Value, str], State]
    Compact = Callable[[State, int], State]


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
    """

    readers: tuple[Read, ...]
    steps: tuple[tuple[int, int | None, Add, Compact | None], ...]
    exposed: bool


class Decider:
    """Decides under one basis.

    Parameters
    ----------
    basis : Basis
        The versions in force.
    definitions : Definitions
        Those of ``basis.definitions``.
    snapshots : mapping of str to Snapshot
        Those of ``basis.models``; one made for other inputs than the definitions' is left aside.
    """

    __slots__ = (
        "_choices",
        "_models",
        "_routes",
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
        segments = {segment.name: segment for segment in definitions.segments}
        grouped = {name: group for group in definitions.groups for name in group.segments}
        choices: dict[str, Choice] = {}
        for segment in definitions.segments:
            group = grouped.get(segment.name)
            if group is None:
                choices[segment.name] = Choice([segment], None)
            elif group.name not in choices:
                choices[group.name] = Choice([segments[name] for name in group.segments], group.name)
        self._choices = tuple(choices.values())
        self._models: set[str] = set()
        self.discovered: list[tuple[Discovered, Snapshot]] = []
        for model in definitions.discovered:
            snapshot = snapshots.get(model.name)
            if snapshot is not None and snapshot.features == tuple(item.text for item in model.inputs):
                self.discovered.append((model, snapshot))
                self._models.add(model.name)

    def route(self, kind: str, name: str | None, topic: str) -> Route:
        """Return what an event of a type and name from a topic does to the features."""
        features = self.definitions.routes(kind, name, topic)
        key = id(features)  # the definitions keep one tuple for each way an event can go
        found = self._routes.get(key)
        if found is None:
            readers = {feature.path: feature.read for feature in features if feature.path is not None}
            places = {path: place for place, path in enumerate(readers)}
            steps = tuple(
                (
                    feature.index,
                    None if feature.path is None else places[feature.path],
                    feature.accumulator.add,
                    feature.accumulator.compact if _is_window(feature) else None,
                )
                for feature in features
            )
            exposed = any(feature.expose for feature in features)
            found = self._routes[key] = Route(tuple(readers.values()), steps, exposed)
        return found

    def decide(
        self, user: User, before: Sequence[State] | None, at: int, cause: Document, changes: list[Document]
    ) -> None:
        """Bring the user's memberships up to date at a moment.

        Sets ``held``, ``assigned``, ``due``, ``decided_at`` and ``sequence`` of ``user``.

        Parameters
        ----------
        user : User
            Its ``features`` are those after the cause.
        before : sequence of State or None
            Feature states before the cause, for the reasons; None under another definition.
        at : int
            The effective moment in ms, not before the user's last decision.
        cause : dict
            What led to the decision, as the contract's ``cause``.
        changes : list
            Gets a document for each transition.
        """
        states, held, due = user.features, user.held, NEVER
        for choice in self._choices:
            current = choice.held(held)
            since, ends = (at, NEVER) if current is None else held[current]
            target, until = choice.judge(current, states, at)
            kept_until = 0 if current is None else since + choice.by_name[current].min_dwell
            if target != current and at < kept_until:
                target, until = current, kept_until
            if target != current:
                until = self._move(user, choice, (current, target), (before, at), cause, changes)
            elif target is not None:
                if until < kept_until:
                    until = kept_until
                expires = NEVER if until >= NEVER else choice.ends(target, kept_until, states, until)
                if expires != ends:
                    user.held = {**user.held, target: (since, expires)}
            if until < due:
                due = until
        if self.discovered or user.assigned:
            self.assign(user, before, at, cause, changes)
        # A moment not after this one would wake the user for ever; conditions promise later ones.
        user.due = max(due, at + 1) if due <= LATEST else NEVER
        user.decided_at = at

    def _move(
        self,
        user: User,
        choice: Choice,
        step: tuple[str | None, str | None],
        moment: tuple[Sequence[State] | None, int],
        cause: Document,
        changes: list[Document],
    ) -> int:
        """Leave one segment of a group and enter another: two records with the same cause.

        Returns
        -------
        int
            A moment up to which the new one certainly stays.
        """
        current, target = step
        before, at = moment
        states = user.features
        segments, moments = [choice.by_name[name] for name in step if name is not None], _moments(user, at)
        reasons = reasons_for(segments, before, states, moments)
        if not reasons and current is not None and choice.by_name[current].min_dwell:
            reasons = [dwell_over(choice.by_name[current])]
        elif not reasons:
            # What a newcomer enters may have been true of anybody: then there is no flip, but still a why.
            reasons = reasons_for(segments, None, states, moments)
        if current is not None:
            user.held = {name: stay for name, stay in user.held.items() if name != current}
            self._tell(user, "exited", current, choice.group, None, (at, NEVER), cause, reasons, changes)
        _, until = choice.judge(target, states, at)
        if target is not None:
            kept_until = at + choice.by_name[target].min_dwell
            until = max(until, kept_until)
            expires = choice.ends(target, kept_until, states, until)
            user.held = {**user.held, target: (at, expires)}
            self._tell(user, "entered", target, choice.group, current, (at, expires), cause, reasons, changes)
        return until

    def assign(
        self,
        user: User,
        before: Sequence[State] | None,
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
        user.held = {name: stay for name, stay in user.held.items() if name != segment}
        self._tell(user, "exited", segment, None, None, (at, NEVER), cause, [], changes)

    def restate(self, user: User, at: int, cause: Document, changes: list[Document]) -> None:
        """Tell the whole answer again, in one record without a segment."""
        self._tell(user, "restated", None, None, None, (at, NEVER), cause, [], changes)

    def settle(self, user: User, at: int, cause: Document, changes: list[Document]) -> None:
        """Leave the rule segments that these definitions do not have, before the first decision under them."""
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


def _is_window(feature: Feature) -> bool:
    return feature.accumulator.motion is Motion.STEPS


def _moments(user: User, at: int) -> tuple[int, int]:
    """Return the moment before a decision, which is never before the last one, and its own."""
    return max(at - 1, user.decided_at), at
