"""Begins a partition anew, or lets it go on elsewhere in the log, while no worker is about.

To begin anew:

1. **fence**   Kafka, then Redis, as every owner does: a worker that wakes late cannot send or write any more
2. **settle**  what was decided and not told yet is told
3. **mark**    the meta says that a reset is not finished: until then no worker takes the partition up
4. **drop**    slice by slice, one commit forgets users and puts into the outbox that they are in no segment: a change
               ``restated`` and a tombstone, under a new incarnation; a transaction each tells it, and the read model
               follows. Users that only the compacted topic knows, since Redis has lost them, are told the same
5. **begin**   an empty state, with the new position, under the incarnation after that

Died anywhere on the way, the same again goes on: users are dropped and told in one step, and a step that is repeated
begins yet another incarnation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from segstream.core.basis import load_bases
from segstream.core.changes import change_document
from segstream.core.origin import Origin
from segstream.core.time import NEVER, format_time
from segstream.core.user import User
from segstream.errors import NewerState, PositionError
from segstream.outbox import Parcel, Topics, pack
from segstream.ports import Commit, Meta, Told
from segstream.rebuilding import no_view
from segstream.upkeep import SLICE
from segstream.views import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from segstream.ports import MemberLists, Publisher, ReadModel, StateStore

PENDING: Final = "pending "
"""What ``Meta.reset`` begins with while a reset is not finished; the command that finishes it follows."""


def refuse_unfinished(number: int, meta: Meta) -> None:
    """Keep a worker from a partition that is half reset.

    Raises
    ------
    PositionError
        Naming the command that finishes it.

    Examples
    --------
    >>> refuse_unfinished(3, Meta(reset="pending segstream reset --partition 3 --to earliest"))
    Traceback (most recent call last):
        ...
    segstream.errors.PositionError: partition 3: a reset was begun and not finished; finish it with `segstream reset --partition 3 --to earliest`
    """
    if meta.reset.startswith(PENDING):
        raise PositionError(
            f"partition {number}: a reset was begun and not finished; finish it with `{meta.reset.removeprefix(PENDING)}`"
        )


class Resetter:
    """Resets one partition number. Every method may raise ``Fenced``, when a worker has taken it over meanwhile.

    Parameters
    ----------
    number : int
        The partition number.
    store, publisher, read_model, lists
        As for a worker; they are closed by whoever made them.
    told_users : callable
        Yields in bounded groups the users that the compacted topic has an answer for, some more than once.
    segments : sequence of str
        All that a user can be in.
    topics : Topics
        Where to tell.
    now : callable
        Returns the time in ms.
    """

    def __init__(
        self,
        number: int,
        store: StateStore,
        publisher: Publisher,
        read_model: ReadModel,
        lists: MemberLists,
        *,
        told_users: Callable[[], AsyncIterator[Sequence[str]]],
        segments: Sequence[str],
        topics: Topics,
        now: Callable[[], int],
    ) -> None:
        self.number = number
        self._store, self._publisher, self._read_model, self._lists = store, publisher, read_model, lists
        self._told_users, self._segments, self._topics, self._now = told_users, segments, topics, now
        self._told = Told(0, 0, 0)
        self._meta = Meta()
        self._parcels: list[Parcel] = []
        self._published = 0

    async def take_over(self) -> int:
        """Fence whoever was the owner; return the highest incarnation that was ever told or stored."""
        self._told = await self._publisher.fence()
        found = await self._store.take_over(self._told)
        self._meta, self._parcels = found.meta, [Parcel.open(entry) for entry in found.outbox]
        return found.meta.incarnation

    # --- only the position ------------------------------------------------------------------------------------

    async def move(self, incarnation: int, positions: Mapping[str, int]) -> None:
        """Go on elsewhere with every user's state; the next owner restates every answer.

        Parameters
        ----------
        incarnation : int
            The new one; above all that ``take_over`` returned.
        positions : mapping of str to int
            Per topic, the offset to read next.

        Raises
        ------
        PositionError
            A reset that drops the users has been begun here.
        """
        refuse_unfinished(self.number, self._meta)
        # First the incarnation: without the position the worker only says again what is wrong with that.
        meta = (await self._store.take_over(self._told, incarnation)).meta
        meta.offsets |= {topic: offset - 1 for topic, offset in positions.items()}
        meta.revision += 1
        meta.reset = str(meta.incarnation)
        skipped = "`segstream reset --keep-state` has moved its position"
        meta.origin = Origin.load(meta.origin).break_off(skipped).dump()
        await self._store.commit(Commit(meta))

    # --- begin anew -------------------------------------------------------------------------------------------

    async def mark(self, command: str) -> None:
        """Settle what is in the outbox, and keep workers away until ``begin``; ``command`` is what finishes the reset.

        From now on the outbox holds nothing but what the reset itself tells.
        """
        await self._settle()
        meta = self._meta
        meta.reset = PENDING + command
        meta.revision += 1
        await self._store.commit(Commit(meta, published=self._published))

    async def drop(self, incarnation: int, report: Callable[[int], None]) -> int:
        """Forget every user, and tell so under ``incarnation``; return how many.

        Parameters
        ----------
        incarnation : int
            Above all that ``take_over`` returned.
        report : callable
            Called with the number of users dropped so far.
        """
        self._meta = meta = (await self._store.take_over(self._told, incarnation)).meta
        async for known in self._told_users():
            meta.revision += 1
            await self._store.commit(Commit(meta, arrivals=known, published=self._published))
        dropped = 0
        while names := await self._store.users_after("", SLICE):
            parcels = await self._farewell(names)
            meta.sequence += len(parcels)
            meta.revision += 1
            outbox = [parcel.seal() for parcel in parcels]
            await self._store.commit(Commit(meta, departures=names, outbox=outbox, published=self._published))
            await self._publish(parcels)
            dropped += len(names)
            report(dropped)
        return dropped

    async def begin(self, incarnation: int, positions: Mapping[str, int], partitions: int) -> None:
        """Begin with an empty state.

        Parameters
        ----------
        incarnation : int
            Above the one that users were dropped under: their changes are counted from 1 again.
        positions : mapping of str to int
            Per topic, the offset to read next.
        partitions : int
            N; 0 for a partition number that there is no more.
        """
        held = self._meta
        offsets = {topic: offset - 1 for topic, offset in positions.items()}
        fresh = Meta(
            incarnation=incarnation,
            revision=held.revision + 1,
            sequence=held.sequence,
            offsets=offsets,
            partitions=partitions,
            reset=str(incarnation),
            origin=Origin.load("").begin(positions).dump(),
        )
        await self._store.renew(fresh)
        await self._publisher.publish([], Told(incarnation, held.epoch, held.sequence, held.owner))

    async def _settle(self) -> None:
        """Publish what is in the outbox and was not told, and show what was."""
        meta, told = self._meta, self._told
        bases = load_bases(meta.bases)
        resumed = meta.reset.startswith(PENDING)
        begun = resumed or (bool(bases) and bases[-1].incarnation == meta.incarnation)
        if not begun:  # as a worker: what it said is going to be replaced, the rest is owed
            self._parcels = [parcel._replace(changes=[], views=[]) for parcel in self._parcels]
        reached = told.partition_sequence if told.incarnation == meta.incarnation else 0
        await self._show([parcel for parcel in self._parcels if parcel.sequence <= reached])
        for parcel in self._parcels:
            if parcel.sequence > reached:
                await self._publish([parcel])

    async def _farewell(self, names: Sequence[str]) -> list[Parcel]:
        """Return what is told of users that are dropped."""
        meta = self._meta
        bases = load_bases(meta.bases)
        basis = bases[-1] if bases else None
        states = dict(zip(names, await self._store.load(names), strict=True))
        listed = await self._lists.listed(self.number, self._segments, names)
        now = self._now()
        changes, views = [], []
        for name in names:
            at = meta.clock or now
            document = change_document(
                User(name, (), 0, meta.incarnation),
                segment=None,
                kind=None,
                group=None,
                change="restated",
                previous=None,
                at=at,
                expires=NEVER,
                cause={"type": "recovery"},
                reasons=[],
                segments=[],
                definitions_version=basis.definitions if basis else 0,
                model_version=basis.models if basis else {},
            )
            changes.append((name.encode(), orjson.dumps(document | {"processed_at": format_time(now)})))
            held = _segments_in(name, states[name])
            left = sorted({*held, *listed.get(name, ())})
            views.append(encode(no_view(name, (meta.incarnation, meta.sequence + 1), basis, left, at)))
        return pack(meta.sequence + 1, changes, views, [])

    async def _publish(self, parcels: Sequence[Parcel]) -> None:
        meta = self._meta
        for parcel in parcels:
            told = Told(meta.incarnation, meta.epoch, parcel.sequence, meta.owner)
            await self._publisher.publish(list(parcel.records(self._topics)), told)
            await self._show([parcel])

    async def _show(self, parcels: Sequence[Parcel]) -> None:
        views = [view for parcel in parcels for view in parcel.views]
        if views:
            await self._read_model.write(self.number, self._meta.epoch, views)
        if parcels:
            self._published = parcels[-1].sequence


def _segments_in(name: str, state: bytes | None) -> list[str]:
    """Return the segments that a state holds; none where it cannot be read, since it goes in any case."""
    try:
        return [] if state is None else User.decode(name, state).segments()
    except (ValueError, NewerState):
        return []
