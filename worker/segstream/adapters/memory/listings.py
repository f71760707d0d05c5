"""The lists of each segment's members in memory, looked through."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import partition_of
from segstream.errors import Fenced, StateLost
from segstream_schemas.keys import ReadModelKeys


class MemoryMemberLists:
    """``MemberLists`` of all partitions, the twin of ``RedisMemberLists``.

    Parameters
    ----------
    server : MemoryRedis
        The one that a ``MemoryReadModel`` writes to.
    public_prefix, prefix : str
        As for ``RedisReadModel``.
    """

    def __init__(self, server: MemoryRedis, public_prefix: str = "", prefix: str = "segstream") -> None:
        self._server, self._keys, self._prefix = server, ReadModelKeys(public_prefix), prefix

    async def filled(self, partition: int, segments: Sequence[str]) -> list[str]:
        """Return those whose list has any member (see ``MemberLists``)."""
        return [segment for segment in segments if self._members(segment, partition)]

    async def listed(
        self, partition: int, segments: Sequence[str], users: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return in which lists each user is (see ``MemberLists``)."""
        found = {
            user: [segment for segment in segments if user in self._members(segment, partition)]
            for user in users
        }
        return {user: where for user, where in found.items() if where}

    async def page(self, partition: int, segment: str, cursor: int, limit: int) -> tuple[int, list[str]]:
        """Return some members, and the cursor for more (see ``MemberLists``)."""
        # Like a table's buckets: a name has its place whatever comes and goes.
        places = sorted((_place(name), name) for name in self._members(segment, partition))
        rest = [(place, name) for place, name in places if place >= cursor]
        following = rest[limit][0] if len(rest) > limit else 0
        return following, [name for place, name in rest if not following or place < following]

    async def strike(self, partition: int, epoch: int, segment: str, users: Sequence[str]) -> None:
        """Take users out of a list (see ``MemberLists``)."""
        held = partition_of(self._server, self._prefix, partition).meta.epoch
        if held > epoch:
            raise Fenced(f"partition {partition}: epoch {held} has taken over; this owner stops")
        if held < epoch:
            raise StateLost(f"partition {partition}: the store holds epoch {held}; starting over from it")
        for user in users:
            self._members(segment, partition).pop(user, None)

    async def close(self) -> None:
        """Release nothing."""

    def _members(self, segment: str, partition: int) -> dict[str, int]:
        return self._server.value(self._keys.members(segment, partition), dict)


def _place(name: str) -> int:
    """Return a name's place in the table, 1 to 2**48."""
    return 1 + int.from_bytes(blake2b(name.encode(), digest_size=6).digest(), "big")
