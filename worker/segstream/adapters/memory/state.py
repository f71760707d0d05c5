"""One partition's private state in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, nsmallest
from secrets import token_hex

from segstream.adapters.memory.server import MemoryRedis
from segstream.core.time import NEVER
from segstream.errors import Fenced, StateLost
from segstream.ports import Commit, Meta, OutboxEntry, TakeOver, Told

MOST_OWNERS = 100


@dataclass(slots=True)
class Partition:
    """What Redis holds of a partition; its meta is replaced, never changed in place."""

    meta: Meta = field(default_factory=Meta)
    states: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    outbox: dict[int, bytes] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    owners: list[tuple[int, str, int]] = field(default_factory=list)

    order: list[tuple[int, str]] = field(default_factory=list)
    """A heap of due times and users, with those that are not so any more: what is due is found in a few steps."""

    def schedule(self, timers: Mapping[str, int]) -> None:
        """Set users' due times in ms, or take them away."""
        for user, due in timers.items():
            if due >= NEVER:
                self.timers.pop(user, None)
            else:
                self.timers[user] = due
                heappush(self.order, (due, user))

    def first_due(self, before: int, limit: int) -> list[tuple[int, str]]:
        """Return up to ``limit`` due times and users, the earliest first, strictly before a moment in ms."""
        if not len(self.timers) <= len(self.order) <= 2 * len(self.timers) + limit:
            self.order = [(due, user) for user, due in self.timers.items()]
            heapify(self.order)
        found: list[tuple[int, str]] = []
        while self.order and len(found) < limit and self.order[0][0] < before:
            due, user = heappop(self.order)
            if self.timers.get(user) == due and (not found or found[-1] != (due, user)):
                found.append((due, user))
        for each in found:
            heappush(self.order, each)
        return found

    def has_lost(self, told: Told) -> bool:
        """Tell whether the owners that this state has had are others than the one that told, or it told more since.

        Each is kept with its epoch and the partition sequence that it began with.
        """
        covered = bool(self.owners) and self.owners[0][0] <= told.epoch
        place = next((place for place, each in enumerate(self.owners) if each[0] == told.epoch), None)
        if not told.owner or not covered:
            return False
        if place is None or self.owners[place][1] != told.owner:
            return True
        firsts = [first for _, _, first in self.owners[place + 1 :]]
        return (firsts[0] if firsts else self.meta.sequence) < told.partition_sequence

    def next_due(self) -> int:
        """Return the earliest due time, ms."""
        first = self.first_due(NEVER, 1)
        return first[0][0] if first else NEVER


def partition_of(server: MemoryRedis, prefix: str, partition: int) -> Partition:
    """Return what ``server`` holds of a partition."""
    return server.value(f"{prefix}:{{{partition}}}", Partition)


class MemoryStateStore:
    """``StateStore`` for one partition, the twin of ``RedisStateStore``.

    Parameters
    ----------
    server : MemoryRedis
        Shared by all that talk to one Redis.
    partition : int
    prefix : str

    Examples
    --------
    >>> import asyncio
    >>> from segstream.ports import NOTHING_TOLD
    >>> found = asyncio.run(MemoryStateStore(MemoryRedis(), 0).take_over(NOTHING_TOLD))
    >>> found.meta.incarnation, found.meta.epoch, found.forgotten
    (1, 1, False)
    """

    def __init__(self, server: MemoryRedis, partition: int, prefix: str = "segstream") -> None:
        self._server, self._where, self._epoch, self._owner = server, (prefix, partition), 0, ""
        self.durability = "in memory: ends with this process"
        """What becomes of an acknowledged commit when the server dies, for a person."""
        self.promised = False
        """Whether an acknowledged commit outlives the server's memory; if not, ``durability`` is a warning."""

    @property
    def _held(self) -> Partition:
        return partition_of(self._server, *self._where)

    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        """Fence earlier owners, and return what is there (see ``StateStore``)."""
        held = self._held
        meta = held.meta = held.meta.copy()
        forgotten = meta.incarnation < told.incarnation or (
            meta.incarnation == told.incarnation
            and (meta.epoch < told.epoch or meta.sequence < told.partition_sequence or held.has_lost(told))
        )
        if forgotten or not meta.incarnation:
            meta.incarnation = max(meta.incarnation, told.incarnation) + 1
        meta.incarnation = max(meta.incarnation, least)
        self._epoch = meta.epoch = max(meta.epoch, told.epoch) + 1
        self._owner = meta.owner = token_hex(8)
        since_told = [each for each in held.owners if each[0] >= told.epoch]
        held.owners = [*since_told, (meta.epoch, meta.owner, meta.sequence)][-MOST_OWNERS:]
        outbox = [OutboxEntry(*entry) for entry in sorted(held.outbox.items())]
        return TakeOver(meta.copy(), outbox, held.next_due(), forgotten)

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the states of ``users`` (see ``StateStore``)."""
        held = self._held
        if users and self._epoch:
            self._check_owner(held)
        return [held.states.get(user) for user in users]

    async def commit(self, commit: Commit) -> int:
        """Apply ``commit`` wholly, and return the earliest due time (see ``StateStore``)."""
        held = self._owned(commit.meta.revision - 1)
        former, meta = held.meta, commit.meta.copy()
        meta.epoch, meta.incarnation, meta.owner = former.epoch, former.incarnation, former.owner
        meta.offsets = former.offsets | meta.offsets
        meta.forwarded = former.forwarded | meta.forwarded
        held.meta = meta
        held.states.update(commit.states)
        held.schedule(commit.timers)
        held.users.update(commit.arrivals)
        for user in commit.departures:
            held.states.pop(user, None)
            held.timers.pop(user, None)
            held.users.discard(user)
        held.outbox.update(commit.outbox)
        for sequence in [each for each in held.outbox if each <= commit.published]:
            del held.outbox[sequence]
        return held.next_due()

    async def due(self, before: int, limit: int) -> list[tuple[str, int]]:
        """Return up to ``limit`` (user, due) strictly before ``before`` (see ``StateStore``)."""
        return [(user, due) for due, user in self._held.first_due(before, limit)]

    async def users_after(self, user: str, limit: int) -> list[str]:
        """Return up to ``limit`` known users that sort after ``user`` (see ``StateStore``)."""
        # Text sorts as its UTF-8 does.
        return nsmallest(limit, [each for each in self._held.users if each > user])

    async def unknown(self, users: Sequence[str]) -> list[str]:
        """Return those of ``users`` that the partition does not have (see ``StateStore``)."""
        known = self._held.users
        return [user for user in users if user not in known]

    async def renew(self, meta: Meta) -> None:
        """Replace the whole meta, and empty the rest (see ``StateStore``)."""
        held = self._owned(meta.revision - 1)
        former, held.meta = held.meta, meta.copy()
        held.meta.epoch, held.meta.owner, held.meta.forwarded = former.epoch, former.owner, {}
        for part in (held.timers, held.outbox, held.users):
            part.clear()

    async def close(self) -> None:
        """Release nothing (see ``StateStore``)."""

    def _owned(self, revision: int) -> Partition:
        """Return what is held, if this is the owner's epoch and the revision is the expected one."""
        held = self._held
        self._check_owner(held)
        if held.meta.revision != revision:
            raise StateLost(
                f"{self._where}: the store holds revision {held.meta.revision}; starting over from it"
            )
        return held

    def _check_owner(self, held: Partition) -> None:
        epoch = held.meta.epoch
        if epoch > self._epoch or (epoch == self._epoch and held.meta.owner != self._owner):
            raise Fenced(f"{self._where}: epoch {epoch} has taken over; this owner stops")
        if epoch < self._epoch:
            raise StateLost(f"{self._where}: the store holds epoch {epoch}; starting over from it")
