"""What a version of the definitions would change, from the present state: nothing is written, nobody notices.

Each user is brought up to date by the very code that a worker's sweep calls, on a copy: so what is counted here is what
the sweep will publish, if neither events nor time come in between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from segstream.core.basis import Basis, load_bases
from segstream.core.clusters import Snapshot
from segstream.core.engine import Engine, Outcome
from segstream.core.user import User
from segstream.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from segstream.library import Library
    from segstream.ports import Meta, ModelStore, StateReader

SLICE: Final = 500
"""Users read at a time, as in a sweep."""

_TRIES: Final = 5
"""How often a slice is read again when a sweep ends meanwhile: which happens once per version."""


@dataclass(slots=True)
class Effect:
    """What happens to a segment.

    Parameters
    ----------
    before, after : int
        How many users are in it, at the moment that the version comes into force, and then.
    entering, leaving : int
        How many enter and leave it for the version's sake.
    renamed : int
        How many were in it under its former name.
    entries, exits : list of dict
        The first few changes, as they would be published.
    """

    before: int = 0
    entering: int = 0
    leaving: int = 0
    renamed: int = 0
    after: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)
    exits: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Preview:
    """What happens to all of them.

    Parameters
    ----------
    partitions : int
        How many there are, 0 without any state.
    users : int
        How many there are.
    changed : int
        How many of them enter, leave or have renamed at least one segment.
    as_of : int
        The moment in ms at which the version would come into force, the latest of all partitions'.
    effects : dict of str to Effect
        By segment; without those that nobody is in, before or after.
    """

    partitions: int = 0
    users: int = 0
    changed: int = 0
    as_of: int = 0
    effects: dict[str, Effect] = field(default_factory=dict)


async def preview(
    reader: StateReader,
    models: ModelStore,
    library: Library,
    *,
    grace: int = 0,
    samples: int = 3,
    progress: Callable[[int, int], object] | None = None,
) -> Preview:
    """Return what the library's latest version of the definitions would change.

    Parameters
    ----------
    reader : StateReader
    models : ModelStore
        Where snapshots are.
    library : Library
        All versions that Redis has, and the one to come as the last. Versions before it that are not in force yet come
        first, at their moments. Gets the snapshots in force.
    grace : int
        For timers, ms.
    samples : int
        How many changes are kept of each segment and direction.
    progress : callable, optional
        Told how many users have been looked at, of how many.

    Raises
    ------
    ServerError
        Redis does not answer, or has lost what it should have.
    """
    found, shelf = Preview(partitions=await reader.partitions()), _Shelf(models, library)
    total = await reader.users(found.partitions)
    for number, meta in enumerate(await reader.metas(found.partitions)):
        partition = _Partition(reader, shelf, number, grace)
        await partition.learn(meta)
        last: str | None = ""
        while last is not None and partition.engine is not None:
            users, last = await partition.users_after(last)
            for user in users:
                _count(partition.engine, user, found, samples)
            if progress is not None:
                progress(found.users, total)
        found.as_of = max(found.as_of, partition.at)
    for effect in found.effects.values():
        effect.before = effect.after - effect.entering + effect.leaving
    return found


def _count(engine: Engine, user: User, found: Preview, samples: int) -> None:
    """Decide a user, and count what is told of it."""
    outcome = Outcome()
    engine.touch(user, outcome)
    cause = {"type": "definition", "version": engine.current.basis.definitions}
    own = [change for change in outcome.changes if change["cause"] == cause]
    found.users += 1
    found.changed += bool(own)
    for segment in user.segments():
        found.effects.setdefault(segment, Effect()).after += 1
    for change in own:
        effect = found.effects.setdefault(change["segment"], Effect())
        if change["change"] == "entered":
            effect.entering += 1
            kept = effect.entries
        elif change["change"] == "exited":
            effect.leaving += 1
            kept = effect.exits
        else:
            effect.renamed += 1
            continue
        if len(kept) < samples:
            kept.append(change)


class _Shelf:
    """The library, with the snapshots that are asked for."""

    def __init__(self, models: ModelStore, library: Library) -> None:
        self.library = library
        self._models = models
        self._fetched: set[tuple[str, int]] = set()

    async def fetch(self, models: Mapping[str, int]) -> None:
        """Make sure of snapshots."""
        for name, number in models.items():
            if (name, number) not in self._fetched:
                self._fetched.add((name, number))
                text = await self._models.snapshot(name, number)
                if text is not None:
                    self.library.add_snapshot(Snapshot.from_json(json.loads(text)))


class _Partition:
    """One partition number, as it would go on."""

    def __init__(self, reader: StateReader, shelf: _Shelf, number: int, grace: int) -> None:
        self._reader, self._shelf, self._number, self._grace = reader, shelf, number, grace
        self._bases: dict[int, Basis] = {}
        self.engine: Engine | None = None
        """None before anybody has taken the partition over."""
        self.at = 0
        """When the version would come into force, ms."""

    async def users_after(self, last: str) -> tuple[list[User], str | None]:
        """Return the next users and the last of them, None at the end."""
        for _ in range(_TRIES):
            part = await self._reader.slice(self._number, last, SLICE)
            await self.learn(part.meta)
            users = [User.decode(name, state) for name, state in part.states.items()]
            # A sweep may have ended between the states and the meta, which then has forgotten what they rested on.
            if all(user.basis in self._bases for user in users):
                return users, part.last or None
        raise ServerError(
            f"partition {self._number}: users rest on versions that Redis has forgotten; is it being restored?"
        )

    async def learn(self, meta: Meta) -> None:
        """Take in what the partition rests on, and what it will: the versions that it has not adopted yet."""
        bases = {basis.number: basis for basis in load_bases(meta.bases)}
        if bases.keys() <= self._bases.keys():
            return
        library, self._bases = self._shelf.library, self._bases | bases
        chain = [basis for _, basis in sorted(self._bases.items())]
        while (version := library.following(chain[-1].definitions)) is not None:
            last = chain[-1]
            at = max(version.effective_at, last.at, meta.clock - self._grace)
            chain.append(last._replace(number=last.number + 1, at=at, definitions=version.number))
        for basis in chain:
            await self._shelf.fetch(basis.models)
        self.engine, self.at = Engine([library.decider(basis) for basis in chain]), chain[-1].at
