"""The lists of each segment's members in Redis, looked through."""

from __future__ import annotations

from collections.abc import Sequence

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import PartitionKeys, checked
from segstream.adapters.redis.nodes import DEADLINE, Nodes
from segstream.adapters.redis.scripts import Call, call
from segstream_schemas.keys import ReadModelKeys


class RedisMemberLists:
    """``MemberLists`` of all partitions.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``; shared.
    public_prefix, prefix : str
        As for ``RedisReadModel``.
    deadline : float
        Seconds for the replicas, and for the append-only file, to confirm a write.
    """

    def __init__(
        self,
        client: Client,
        public_prefix: str = "",
        prefix: str = "segstream",
        *,
        deadline: float = DEADLINE,
    ) -> None:
        self._nodes = Nodes(client, deadline)
        self._keys, self._prefix = ReadModelKeys(checked(public_prefix)), checked(prefix)

    async def filled(self, partition: int, segments: Sequence[str]) -> list[str]:
        """Return those whose list has any member (see ``MemberLists``)."""
        keys = [self._keys.members(segment, partition) for segment in segments]
        counts = await self._nodes.run([Call(key, ["ZCARD", key]) for key in keys], durably=False)
        return [segment for segment, count in zip(segments, counts, strict=True) if count]

    async def listed(
        self, partition: int, segments: Sequence[str], users: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return in which lists each user is (see ``MemberLists``)."""
        if not users:
            return {}
        filled = await self.filled(partition, segments)
        keys = [self._keys.members(segment, partition) for segment in filled]
        replies = await self._nodes.run([Call(key, ["ZMSCORE", key, *users]) for key in keys], durably=False)
        found: dict[str, list[str]] = {}
        for segment, scores in zip(filled, replies, strict=True):
            for user, score in zip(users, scores, strict=True):
                if score is not None:
                    found.setdefault(user, []).append(segment)
        return found

    async def page(self, partition: int, segment: str, cursor: int, limit: int) -> tuple[int, list[str]]:
        """Return some members, and the cursor for more (see ``MemberLists``)."""
        key = self._keys.members(segment, partition)
        (reply,) = await self._nodes.run([call("member_page", [key], [cursor, limit])], durably=False)
        return int(reply[1]), [user.decode() for user in reply[2]]

    async def strike(self, partition: int, epoch: int, segment: str, users: Sequence[str]) -> None:
        """Take users out of a list (see ``MemberLists``)."""
        keys = [PartitionKeys(self._prefix, partition).meta, self._keys.members(segment, partition)]
        await self._nodes.run([call("members", keys, [epoch, 0, len(users), *users])])

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()
