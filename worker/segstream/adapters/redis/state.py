"""One partition's private state in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.nodes import DEADLINE, Nodes
from segstream.adapters.redis.scripts import Argument, Call, call
from segstream.core.time import NEVER
from segstream.errors import Fenced, StateLost
from segstream.ports import Commit, Meta, OutboxEntry, TakeOver, Told

_NUMBERS = ("incarnation", "epoch", "revision", "sequence", "clock", "partitions", "rebuilt")
_TEXTS = ("bases", "sweep", "rebuild", "reset", "origin", "owner")
_OFFSET = "offset:"
_FORWARDED = "forwarded:"


class RedisStateStore:
    """``StateStore`` for one partition; it remembers the epoch that it took the partition over with.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``; shared, and left open by ``close``.
    partition : int
    prefix : str
        Stands before every key.
    deadline : float
        Seconds for the replicas, and for the append-only file, to confirm a write.
    """

    def __init__(
        self, client: Client, partition: int, prefix: str = "segstream", *, deadline: float = DEADLINE
    ) -> None:
        self._nodes, self._keys = Nodes(client, deadline), PartitionKeys(prefix, partition)
        self._epoch, self._owner = 0, ""
        self._origin = ""
        self._forwarded: dict[str, int] = {}
        self.durability = "not known before the partition is taken over"
        """What becomes of an acknowledged commit when Redis dies, for a person."""
        self.promised = False
        """Whether an acknowledged commit outlives Redis' memory; if not, ``durability`` is a warning."""

    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        """Fence earlier owners, and return what is there (see ``StateStore``)."""
        self._nodes.forget()
        keys = [self._keys.meta, self._keys.timers, self._keys.outbox]
        self._owner = token_hex(8)
        (reply,) = await self._nodes.run([call("take_over", keys, [*told, least, self._owner])])
        _, fields, entries, due, forgotten = reply
        meta = read_meta(fields)
        outbox = [OutboxEntry(int(number.partition(b"-")[0]), pair[1]) for number, pair in entries]
        self._epoch, self._origin, self._forwarded = meta.epoch, meta.origin, dict(meta.forwarded)
        for kept in await self._nodes.durability():
            self.durability, self.promised = kept.text, kept.promised
        return TakeOver(meta, outbox, int(due or NEVER), bool(forgotten))

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the states of ``users`` (see ``StateStore``)."""
        if not users:
            return []
        keys, prefix = self._keys, self._keys.user_prefix
        # Asked after the states, on the same connection: what a later owner wrote must not be taken for our own, should
        # Redis forget that owner before we commit.
        states, (epoch, owner) = await self._nodes.run(
            [
                Call(keys.meta, ["MGET", *[prefix + user for user in users]]),
                Call(keys.meta, ["HMGET", keys.meta, "epoch", "owner"]),
            ],
            durably=False,
        )
        self._check_owner(int(epoch or 0), (owner or b"").decode())
        return list(states)

    async def commit(self, commit: Commit) -> int:
        """Apply ``commit`` wholly and durably, and return the earliest due time (see ``StateStore``)."""
        keys, meta, states, prefix = self._keys, commit.meta, commit.states, self._keys.user_prefix
        fields = _fields(meta)
        if (
            meta.origin != self._origin
        ):  # it grows with each version of the definitions, and hardly ever changes
            fields += ("origin", meta.origin)
        moved = {  # of some hundred source partitions, a few
            source: offset
            for source, offset in meta.forwarded.items()
            if self._forwarded.get(source) != offset
        }
        for source, offset in moved.items():
            fields += (_FORWARDED + source, offset)
        due: list[Argument] = []
        undue: list[Argument] = []
        for user, at in commit.timers.items():
            if at < NEVER:
                due += (at, user)
            else:
                undue.append(user)
        entries: list[Argument] = []
        for sequence, payload in commit.outbox:
            entries += (f"{sequence}-0", payload)
        departures = commit.departures
        sizes = map(len, (entries, fields, states, due, undue, commit.arrivals, departures))
        (reply,) = await self._nodes.run(
            [
                call(
                    "commit",
                    [
                        *(keys.meta, keys.timers, keys.outbox, keys.users),
                        *[prefix + user for user in (*states, *departures)],
                    ],
                    [
                        *(self._epoch, meta.revision - 1, meta.revision, commit.published, *sizes),
                        *(*entries, *fields, *states.values(), *due, *undue, *commit.arrivals, *departures),
                        self._owner,
                    ],
                )
            ]
        )
        self._origin = meta.origin
        self._forwarded |= moved
        return int(reply[1] or NEVER)

    async def due(self, before: int, limit: int) -> list[tuple[str, int]]:
        """Return up to ``limit`` (user, due) strictly before ``before`` (see ``StateStore``)."""
        (reply,) = await self._nodes.run([call("due", [self._keys.timers], [before, limit])], durably=False)
        return [(user.decode(), int(at)) for user, at in zip(*[iter(reply[1])] * 2, strict=True)]

    async def users_after(self, user: str, limit: int) -> list[str]:
        """Return up to ``limit`` known users that sort after ``user`` (see ``StateStore``)."""
        start = f"({user}" if user else "-"
        found = await self._read("ZRANGEBYLEX", self._keys.users, start, "+", "LIMIT", 0, limit)
        return [each.decode() for each in found]

    async def unknown(self, users: Sequence[str]) -> list[str]:
        """Return those of ``users`` that the partition does not have (see ``StateStore``)."""
        if not users:
            return []
        scores = await self._read("ZMSCORE", self._keys.users, *users)
        return [user for user, score in zip(users, scores, strict=True) if score is None]

    async def renew(self, meta: Meta) -> None:
        """Replace the whole meta, and empty the rest (see ``StateStore``)."""
        keys = self._keys
        words = [
            self._epoch,
            meta.revision - 1,
            meta.revision,
            meta.incarnation,
            self._owner,
            *_fields(meta),
            "origin",
            meta.origin,
        ]
        await self._nodes.run([call("renew", [keys.meta, keys.timers, keys.outbox, keys.users], words)])

    def _check_owner(self, epoch: int, owner: str) -> None:
        if not self._epoch:
            return
        if epoch > self._epoch or (epoch == self._epoch and owner != self._owner):
            raise Fenced(f"{self._keys.meta}: epoch {epoch} has taken over; this owner stops")
        if epoch < self._epoch:
            raise StateLost(
                f"{self._keys.meta}: Redis holds epoch {epoch}, not {self._epoch}; starting over from what it does hold"
            )

    async def close(self) -> None:
        """Release the connection (see ``StateStore``); the client stays open."""
        await self._nodes.close()

    async def _read(self, *command: Argument) -> Any:
        (reply,) = await self._nodes.run([Call(self._keys.meta, list(command))], durably=False)
        return reply


def _fields(meta: Meta) -> list[Argument]:
    """Return what a commit writes of the meta: neither epoch nor incarnation; the script writes the revision."""
    fields: list[Argument] = ["sequence", meta.sequence, "clock", meta.clock, "partitions", meta.partitions]
    fields += ("bases", meta.bases, "sweep", meta.sweep)
    fields += ("rebuilt", meta.rebuilt, "rebuild", meta.rebuild, "reset", meta.reset)
    for topic, offset in meta.offsets.items():
        fields += (_OFFSET + topic, offset)
    return fields


def read_meta(reply: Sequence[bytes]) -> Meta:
    """Return a partition's own state from what ``HGETALL`` replies: names and values in turn."""
    fields = {name.decode(): value.decode() for name, value in zip(*[iter(reply)] * 2, strict=True)}
    numbers: dict[str, Any] = {name: int(fields.get(name, 0)) for name in _NUMBERS}
    offsets, forwarded = (
        {name.removeprefix(kind): int(value) for name, value in fields.items() if name.startswith(kind)}
        for kind in (_OFFSET, _FORWARDED)
    )
    return Meta(
        **numbers,
        offsets=offsets,
        forwarded=forwarded,
        **{name: fields.get(name, "") for name in _TEXTS},
    )
