"""One user at one moment, and why it is or is not in each segment."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Final

from segstream.core.engine import Engine, Outcome
from segstream.core.explanations.clusters import Nearest, nearest
from segstream.core.explanations.rules import Rule, Turn, choice_of, rule
from segstream.core.time import NEVER, format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.decider import Decider
    from segstream.core.user import User

MOST_WAKES: Final = 1_000
"""How many future timers of the user are tried to find when memberships change: a window has 288 buckets at least,
and most users do with a handful."""


class TooEarlyError(ValueError):
    """The moment lies before the user's last decision; what was so then is not kept."""


class Explainer:
    """Explains one user at one moment.

    Parameters
    ----------
    user : User
        As stored; it is not changed.
    deciders : sequence of Decider
        Of the partition's bases from the user's own on, oldest first: the last is in force.
    at : int
        The moment in ms. Timers due then have fired.

    Attributes
    ----------
    user : User
        As the engine has it at the moment if no event comes.
    states : tuple of State
        What conditions read of it, as `Decider.states_of` returns it.

    Raises
    ------
    TooEarlyError
        If the moment is before the user's last decision.
    """

    def __init__(self, user: User, deciders: Sequence[Decider], at: int) -> None:
        self.decider = deciders[-1]
        self.definitions = self.decider.definitions
        self.at = at
        earliest = user.decided_at
        if user.basis != self.decider.basis.number:
            earliest = max(earliest, self.decider.basis.at)
        if at < earliest:
            message = f"{format_time(at)} is before the last decision, at {format_time(earliest)}"
            raise TooEarlyError(message)
        self._engine, self.user = Engine(deciders), copy(user)
        self._engine.wake(self.user, at + 1, Outcome())
        self.states = self.decider.states_of(self.user)

    def rules(self) -> list[str]:
        """Return the names of all rule segments, in the file's order."""
        return [segment.name for segment in self.definitions.segments]

    def models(self) -> list[str]:
        """Return the names of all discovered segmentations."""
        return [model.name for model in self.definitions.discovered]

    def clusters(self, model: str) -> list[str]:
        """Return the names of the segments that a discovered segmentation has now."""
        return [
            f"{model}.{name}"
            for each, snapshot in self.decider.discovered
            for name in snapshot.ids
            if each.name == model
        ]

    def rule(self, name: str) -> Rule:
        """Explain a rule segment.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        return rule(self.user, self.definitions, name, (self.states, self.at), self.turns.get(name))

    def model(self, name: str) -> Nearest:
        """Explain a discovered segmentation.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        models = {model.name: model for model in self.definitions.discovered}
        snapshots = {model.name: snapshot for model, snapshot in self.decider.discovered}
        return nearest(self.user, models[name], snapshots.get(name), self.states, self.at)

    @cached_property
    def turns(self) -> dict[str, Turn]:
        """The first change of each rule membership if nothing happens, found by letting the timers fire.

        A membership that does not change within `MOST_WAKES` timers is left out, as is one that never does.
        """
        user, found = copy(self.user), dict[str, Turn]()
        waiting = set(self.rules())
        before = waiting & user.held.keys()
        for _ in range(MOST_WAKES):
            due = user.due
            if due >= NEVER or not waiting:
                break
            self._engine.wake(user, due + 1, Outcome())
            for name in waiting & (before ^ user.held.keys()):
                others = choice_of(self.definitions, name).names
                then = next((each for each in others if each in user.held and name in before), None)
                found[name] = Turn(due, then)
            waiting -= found.keys()
        return found
