"""A look at the private state without taking anything over: whoever owns the partition does not notice."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.nodes import Nodes
from segstream.adapters.redis.scripts import Argument, Call
from segstream.adapters.redis.state import read_meta
from segstream.ports import Meta


class UserLook(NamedTuple):
    """What the private state holds of a user.

    Parameters
    ----------
    meta : Meta
        The partition's own state.
    state : bytes or None
        The user's, encoded; None for an unknown one.
    """

    meta: Meta
    state: bytes | None


class Look:
    """Reads the private state, alone or in a cluster.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``; shared.
    prefix : str
        Stands before every key.
    """

    def __init__(self, client: Client, prefix: str = "segstream") -> None:
        self._nodes, self._prefix = Nodes(client), prefix

    async def user(self, partition: int, user: str) -> UserLook:
        """Return what is known of a user of a partition, in one round trip.

        Raises
        ------
        ServerError
            Redis cannot be reached or refuses.
        """
        keys = PartitionKeys(self._prefix, partition)
        replies = await self._run(keys.meta, [("HGETALL", keys.meta), ("GET", keys.user_prefix + user)])
        return UserLook(read_meta(_flat(replies[0])), replies[1])

    async def users(self, partitions: int) -> int:
        """Return how many users there are in so many partitions.

        Raises
        ------
        ServerError
            Redis cannot be reached or refuses.
        """
        names = [PartitionKeys(self._prefix, number).users for number in range(partitions)]
        counts = await self._nodes.run([Call(name, ["ZCARD", name]) for name in names], durably=False)
        return sum(counts)

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()

    async def _run(self, key: str, commands: Iterable[tuple[Argument, ...]]) -> list[Any]:
        return await self._nodes.run([Call(key, list(command)) for command in commands], durably=False)


def _flat(reply: Any) -> list[bytes]:
    """Return names and values in turn: redis-py makes a dictionary of what ``HGETALL`` replies."""
    return list(chain.from_iterable(reply.items())) if isinstance(reply, dict) else list(reply)
