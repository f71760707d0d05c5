"""The recount of a user against what Redis holds of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.core.basis import load_bases
from segstream.core.time import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.core.origin import Adoption
    from segstream.core.user import User
    from segstream.ports import Meta
    from segstream.verify.person import Person, Turn
    from segstream.verify.rules import Rules

Held = dict[str, int]
"""Segments, and since when (ms)."""


class Difference(NamedTuple):
    """A user of whom Redis and the recount do not say the same.

    Parameters
    ----------
    partition : int
    user : str
    what : str
        In words.
    recounted, found : dict of str to int
        Segments, each with since when (ms).
    story : tuple of Turn
        What the recount finds to have happened.
    """

    partition: int
    user: str
    what: str
    recounted: Held
    found: Held
    story: tuple[Turn, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "partition": self.partition,
            "user_id": self.user,
            "what": self.what,
            "recounted": _times(self.recounted),
            "found": _times(self.found),
            "story": [turn._asdict() | {"at": format_time(turn.at)} for turn in self.story],
        }


class Until(NamedTuple):
    """Up to where a user's state in Redis has come.

    Parameters
    ----------
    step : int
        The version it rests on, counted from 0 among those that came into force.
    before : int
        The moment (ms) up to which timers have fired, exclusive.
    waiting : bool
        Whether one that is due waits to be fired.
    """

    step: int
    before: int
    waiting: bool


def until(state: User | None, meta: Meta, adoptions: Sequence[Adoption], grace: int) -> Until | None:
    """Return up to where a user is to be recounted; None where what its state rests on is not known.

    A timer that is due may wait for its turn in a wave: so time passes for the user up to its own next due moment,
    else up to the partition's clock. A user that no sweep has reached yet rests on an earlier version.

    Parameters
    ----------
    state : User or None
        As Redis holds it; None for a user that it does not know.
    meta : Meta
        Of the same moment.
    adoptions : sequence of Adoption
        The versions that came into force.
    grace : int
        ``timer_grace``, ms.
    """
    # What a replay's clock record fires is due at that very moment, too.
    settled = meta.clock - grace + 1
    if state is None:
        return Until(len(adoptions) - 1, settled, waiting=False)
    basis = next((each for each in load_bases(meta.bases) if each.number == state.basis), None)
    versions = [each.version for each in adoptions]
    if basis is None or basis.definitions not in versions:
        return None
    step = versions.index(basis.definitions)
    ends = adoptions[step + 1].at if step + 1 < len(adoptions) else settled
    return Until(step, min(settled, ends, state.due), waiting=state.due < settled - 1)


def compare(person: Person | None, held: Held, rules: Rules | None) -> str:
    """Return in words how the segments found differ from those recounted; empty where they do not.

    Segments that depend on what a model finds are left aside. Where there are any, a snapshot's coming is a decision
    too, which the log does not tell: of the others then only whether they are held is compared.

    Parameters
    ----------
    person : Person or None
        The recount's.
    held : dict of str to int
        Rule segments, as Redis has them.
    rules : Rules or None
        Those in force.
    """
    recounted = {} if person is None else person.held
    unchecked = frozenset[str]() if rules is None else rules.unchecked
    found = {name: since for name, since in held.items() if name not in unchecked}
    told = [
        *(f"is in {name}, and should not be" for name in sorted(found.keys() - recounted.keys())),
        *(f"should be in {name}, and is not" for name in sorted(recounted.keys() - found.keys())),
    ]
    if not unchecked:
        told += [
            f"is in {name} since {format_time(found[name])}, and should be since {format_time(since)}"
            for name, since in sorted(recounted.items())
            if name in found and found[name] != since
        ]
    return "; ".join(told)


def differs_in_public(state: User | None, answer: Mapping[str, int]) -> str:
    """Return in words how what others see differs from the private state; empty where it does not."""
    private: Held = {}
    if state is not None:
        private = {name: since for name, (since, _) in state.held.items()}
        private |= {f"{model}.{cluster}": since for model, (cluster, since) in state.assigned.items()}
    told = [
        *(
            f"others see {name}, which the state does not have"
            for name in sorted(answer.keys() - private.keys())
        ),
        *(f"others do not see {name}" for name in sorted(private.keys() - answer.keys())),
        *(
            f"others see {name} since {format_time(answer[name])}, the state has {format_time(since)}"
            for name, since in sorted(private.items())
            if name in answer and answer[name] != since
        ),
    ]
    return "; ".join(told)


def _times(held: Held) -> dict[str, str]:
    return {name: format_time(since) for name, since in sorted(held.items())}
