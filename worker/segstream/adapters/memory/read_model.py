"""The public answers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgpack

from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import partition_of
from segstream.adapters.redis.read_model import membership_changes
from segstream.core.time import NEVER
from segstream.errors import Fenced, StateLost
from segstream.ports import EncodedView
from segstream_schemas.keys import ReadModelKeys


@dataclass(slots=True)
class _Answer:
    fields: dict[str, str] = field(default_factory=dict)
    ends: int = NEVER


class MemoryReadModel:
    """``ReadModel`` of all partitions, the twin of ``RedisReadModel``; ``answer`` and the like read it.

    Parameters
    ----------
    server : MemoryRedis
        The one with the partitions' states, whose epochs guard the member lists.
    public_prefix, prefix : str
        As for ``RedisReadModel``.
    """

    def __init__(self, server: MemoryRedis, public_prefix: str = "", prefix: str = "segstream") -> None:
        self._server, self._keys, self._prefix = server, ReadModelKeys(public_prefix), prefix

    async def write(self, partition: int, epoch: int, views: Sequence[EncodedView]) -> None:
        """Write ``views`` by compare-and-set, and the partition's member lists (see ``ReadModel``)."""
        if not views:
            return
        for view in views:
            self._write_answer(view)
        held = partition_of(self._server, self._prefix, partition).meta.epoch
        if held > epoch:
            raise Fenced(f"partition {partition}: epoch {held} has taken over; this owner stops")
        if held < epoch:
            raise StateLost(f"partition {partition}: the store holds epoch {held}; starting over from it")
        for segment, users in membership_changes(views).items():
            members = self._members(segment, partition)
            for user, since in users.items():
                if since is None:
                    members.pop(user, None)
                else:
                    members[user] = since

    async def describe(self, catalog: Mapping[str, str], definitions_version: int) -> None:
        """Write the catalog unless a later definitions version wrote it already (see ``ReadModel``)."""
        held = self._catalog()
        if int(held.get("definitions_version", 0)) <= definitions_version:
            held.clear()
            held.update(catalog, definitions_version=str(definitions_version))

    def answer(self, user: str) -> dict[str, str]:
        """Return the fields of a user's hash; none if there is no answer (any more)."""
        return dict(self._answer(user).fields)

    def members(self, segment: str, partition: int) -> dict[str, int]:
        """Return the members of a segment in a partition with their entry times in ms, the earliest first."""
        return dict(sorted(self._members(segment, partition).items(), key=lambda pair: (pair[1], pair[0])))

    def catalog(self) -> dict[str, str]:
        """Return the fields of the catalog."""
        return dict(self._catalog())

    def _write_answer(self, view: EncodedView) -> None:
        held = self._answer(view.user)
        there = tuple(int(part) for part in held.fields.get("v", "0:0").split(":"))
        incarnation, partition_sequence, stays, words = msgpack.unpackb(view.answer)
        if there <= (incarnation, partition_sequence):
            held.fields = dict(zip(*[iter(words)] * 2, strict=True))
            held.ends = self._server.now() + stays if stays else NEVER

    def _answer(self, user: str) -> _Answer:
        held = self._server.value(self._keys.user(user), _Answer)
        if held.ends <= self._server.now():
            held.fields, held.ends = {}, NEVER
        return held

    def _members(self, segment: str, partition: int) -> dict[str, int]:
        return self._server.value(self._keys.members(segment, partition), dict)

    def _catalog(self) -> dict[str, str]:
        return self._server.value(self._keys.catalog, dict)
