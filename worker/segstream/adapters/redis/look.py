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
from segstream.ports import Meta, Slice


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
    """``StateReader`` of all partitions, alone or in a cluster.

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

    async def partitions(self) -> int:
        """Return N as the state has it (see ``StateReader``)."""
        meta = PartitionKeys(self._prefix, 0).meta
        (found,) = await self._run(meta, [("HGET", meta, "partitions")])
        return int(found or 0)

    async def metas(self, partitions: int) -> list[Meta]:
        """Return each partition's own state (see ``StateReader``)."""
        names = [PartitionKeys(self._prefix, number).meta for number in range(partitions)]
        replies = await self._nodes.run([Call(name, ["HGETALL", name]) for name in names], durably=False)
        return [read_meta(_flat(reply)) for reply in replies]

    async def slice(self, partition: int, user: str, limit: int) -> Slice:
        """Return users that sort after one, and the partition's own state (see ``StateReader``)."""
        keys = PartitionKeys(self._prefix, partition)
        start = f"({user}" if user else "-"
        (found,) = await self._run(keys.meta, [("ZRANGEBYLEX", keys.users, start, "+", "LIMIT", 0, limit)])
        names = [each.decode() for each in found]
        commands: list[tuple[Argument, ...]] = [("HGETALL", keys.meta)]
        if names:
            commands.insert(0, ("MGET", *[keys.user_prefix + name for name in names]))
        *states, meta = await self._run(keys.meta, commands)
        known = zip(names, states[0], strict=True) if names else ()
        held = {name: state for name, state in known if state is not None}
        return Slice(held, read_meta(_flat(meta)), names[-1] if names else "")

    async def near(self, partitions: int, user: str, each: int = 8) -> list[str]:
        """Return users that sort next to one, up to ``each`` on either side in every partition.

        Raises
        ------
        ServerError
            Redis cannot be reached or refuses.
        """
        names = [PartitionKeys(self._prefix, number).users for number in range(partitions)]
        limit = ("LIMIT", 0, each)
        calls = [Call(name, ["ZRANGEBYLEX", name, f"({user}", "+", *limit]) for name in names]
        calls += [Call(name, ["ZREVRANGEBYLEX", name, f"({user}", "-", *limit]) for name in names]
        replies = await self._nodes.run(calls, durably=False)
        return [found.decode() for reply in replies for found in reply]

    async def users(self, partitions: int) -> int:
        """Return how many users there are (see ``StateReader``)."""
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
