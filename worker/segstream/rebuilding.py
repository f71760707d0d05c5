"""Makes a partition's part of the read model anew, while the worker goes on.

1. **users**   each user's whole answer goes into the outbox, slice by slice: no change, no sequence number, but a later
   version than what is there; with every list that names the user and should not
2. **lists**   who is in a list and not a user of the partition leaves it

Everything goes the way of all answers, through the outbox: so it comes in order with what is decided meanwhile, reaches
the compacted topic too, and is fenced. How far it has come is in the meta, for the next owner to go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstream.core.events import home
from segstream.core.time import NEVER
from segstream.core.user import User
from segstream.ports import View
from segstream.upkeep import SLICE
from segstream.views import encode, exposed_values, untold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from segstream.core.basis import Basis
    from segstream.core.decider import Decider
    from segstream.partition import Draft, Partition
    from segstream.ports import MemberLists


class Rebuilder:
    """Makes one partition number's answers anew whenever somebody has requested it.

    Parameters
    ----------
    number : int
        The partition number.
    partition : Partition
        Its state in this worker.
    lists : MemberLists
    requested : callable
        Returns the number of the latest request, as this worker knows it.
    """

    def __init__(
        self, number: int, partition: Partition, lists: MemberLists, requested: Callable[[], int]
    ) -> None:
        self._number, self._partition = number, partition
        self._lists, self._requested = lists, requested
        # The place in the list being looked through. Not in the meta: another server may count otherwise.
        self._segment, self._cursor = "", 0

    @property
    def due(self) -> bool:
        """Whether there is something to do."""
        meta = self._partition.meta
        return bool(meta.rebuild) or meta.rebuilt < self._requested()

    async def step(self) -> bool:
        """Do one slice; return whether more is left."""
        if not self.due:
            return False
        request, _, place = self._partition.meta.rebuild.partition(" ")
        phase, _, last = place.partition(" ")
        if phase == "lists":
            await self._look_through(request, last)
        else:
            await self._tell_users(request or str(self._requested()), last)
        return self.due

    async def _tell_users(self, request: str, last: str) -> None:
        partition = self._partition
        names = await partition.store.users_after(last, SLICE)
        draft = partition.draft()
        states = await partition.load(names)
        users = [User.decode(name, state) for name, state in states.items() if state is not None]
        for user in users:
            if user.basis != partition.bases[-1].number:
                # As the sweep would, and as of the same moment: that a rebuild came first changes no result.
                draft.write_down(partition.engine.touch(user, draft.outcome))
        listed = await self._lists.listed(self._number, partition.library.segments(), names)
        for user in users:
            told = draft.views.get(user.name)
            wrong = [*listed.get(user.name, ()), *(told.left if told is not None else ())]
            view = whole_view(user, partition.meta.sequence + 1, partition.engine.current, wrong)
            draft.views[user.name] = encode(view)
        partition.counts.swept += len(names)
        partition.meta.rebuild = f"{request} users {names[-1]}" if names else f"{request} lists "
        await partition.commit(draft)

    async def _look_through(self, request: str, last: str) -> None:
        partition, number = self._partition, self._number
        segments = partition.library.segments()
        filled = await self._lists.filled(number, [segment for segment in segments if segment > last])
        if not filled:
            partition.meta.rebuilt, partition.meta.rebuild = int(request), ""
            await partition.commit(partition.draft())
            return
        segment = filled[0]
        if segment != self._segment:
            self._segment, self._cursor = segment, 0
        self._cursor, names = await self._lists.page(number, segment, self._cursor, SLICE)
        strangers = await partition.store.unknown(names)
        draft = partition.draft()
        await self._remove(strangers, segment, draft)
        if not self._cursor:
            partition.meta.rebuild = f"{request} lists {segment}"
        if draft.views or not self._cursor:
            await partition.commit(draft)

    async def _remove(self, strangers: list[str], segment: str, draft: Draft) -> None:
        """Let users that the partition does not have leave a list."""
        partition, options = self._partition, self._partition.options
        elsewhere = [
            user for user in strangers if home(user, options.partitions, options.partitioner) != self._number
        ]
        if elsewhere:
            # Only from this list: what they are told is another partition's business, and nobody here ever adds them.
            await self._lists.strike(self._number, partition.meta.epoch, segment, elsewhere)
        for user in sorted({*strangers} - {*elsewhere}):
            version = partition.meta.incarnation, partition.meta.sequence + 1
            draft.views[user] = encode(
                no_view(user, version, partition.bases[-1], [segment], partition.meta.clock)
            )


def whole_view(user: User, sequence: int, decider: Decider, listed: Iterable[str]) -> View:
    """Return a user's whole answer as of the last decision, entering all segments held and leaving all others.

    Parameters
    ----------
    user : User
        Up to date with the basis in force.
    sequence : int
        Partition sequence that the answer is versioned by.
    decider : Decider
        The one in force.
    listed : iterable of str
        Segments whose lists name the user, rightly or not.
    """
    at, basis = user.decided_at, decider.basis
    segments: dict[str, tuple[int, int | None]] = {
        name: (since, None if ends >= NEVER else ends) for name, (since, ends) in user.held.items()
    }
    segments |= {f"{model}.{cluster}": (since, None) for model, (cluster, since) in user.assigned.items()}
    shown = segments or not untold(decider, user.features)
    features = exposed_values(decider, user.features, at) if shown else {}
    return View(
        user=user.name,
        incarnation=user.incarnation,
        partition_sequence=sequence,
        sequence=user.sequence,
        at=at,
        definitions_version=basis.definitions,
        model_version=basis.models,
        segments=segments,
        features=features,
        entered={name: since for name, (since, _) in segments.items()},
        left=sorted({*listed} - segments.keys()),
        moved=(at, basis.definitions, basis.models),
    )


def no_view(user: str, version: tuple[int, int], basis: Basis | None, left: list[str], at: int) -> View:
    """Return the answer of a user that is not known (any more): none.

    Parameters
    ----------
    user : str
    version : (int, int)
        Incarnation and partition sequence of this answer.
    basis : Basis or None
        The versions in force, if any are.
    left : list of str
        Segments whose lists name the user.
    at : int
        Since when it is so, ms.

    Examples
    --------
    >>> no_view("00042", (2, 9), None, ["loyal"], 0).segments
    {}
    """
    definitions, models = (0, {}) if basis is None else (basis.definitions, basis.models)
    return View(user, *version, 0, at, definitions, models, {}, {}, {}, left, moved=(at, definitions, models))
