"""Requests to make the read model anew, and the servers whose change makes one."""

from __future__ import annotations

import time
from collections.abc import Callable

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import PartitionKeys, checked
from segstream.adapters.redis.nodes import DEADLINE, Nodes
from segstream.adapters.redis.replication import replication_ids
from segstream.adapters.redis.scripts import Argument, Call, call
from segstream.ports import Rebuilding, Watched


class RedisRebuilds:
    """``Rebuilds`` in one hash, ``<prefix>:rebuild``.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``; shared.
    prefix : str
        Stands before every key.
    deadline : float
        Seconds for the replicas, and for the append-only file, to confirm a write.
    now : callable
        Returns the time in ms. Redis' own would take a right that workers have no other use for.
    """

    def __init__(
        self,
        client: Client,
        prefix: str = "segstream",
        *,
        deadline: float = DEADLINE,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._client, self._nodes, self._now = client, Nodes(client, deadline), now
        self._prefix, self._key = checked(prefix), f"{checked(prefix)}:rebuild"

    async def request(self) -> int:
        """Request a rebuild, and return its number (see ``Rebuilds``)."""
        (reply,) = await self._nodes.run([call("rebuild_watch", [self._key], [self._now(), "request"])])
        return int(reply[1])

    async def watch(self) -> Watched:
        """Return the latest request; request one if a server is another than before (see ``Rebuilds``)."""
        ids = sorted((await replication_ids(self._client)).values())
        # Not durably: what is forgotten of it is noticed again, by the server that forgot it.
        words: list[Argument] = [self._now(), "", *ids]
        (reply,) = await self._nodes.run([call("rebuild_watch", [self._key], words)], durably=False)
        return Watched(int(reply[1]), reply[2], bool(reply[3]))

    async def partitions(self) -> int:
        """Return N as the state has it (see ``Rebuilds``)."""
        meta = PartitionKeys(self._prefix, 0).meta
        (found,) = await self._nodes.run([Call(meta, ["HGET", meta, "partitions"])], durably=False)
        return int(found or 0)

    async def progress(self, partitions: int) -> list[Rebuilding]:
        """Return how far each partition is (see ``Rebuilds``)."""
        keys = [PartitionKeys(self._prefix, number) for number in range(partitions)]
        calls = [call("rebuild_progress", [each.meta, each.users]) for each in keys]
        return [
            Rebuilding(int(epoch), int(rebuilt), rebuild.decode(), users, swept)
            for _, epoch, rebuilt, rebuild, users, swept in await self._nodes.run(calls, durably=False)
        ]

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()
