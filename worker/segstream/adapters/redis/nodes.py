"""The way from keys to the servers that hold them, and back only when what was written is durable.

Commands go out in pipelines without a transaction: redis-py sends a pipeline on one connection, which WAIT needs
("on the connection that wrote"), and takes that connection from a pool, so that the next batch's states can be
loaded while a commit still waits for its replicas. A connection kept for each partition would make them queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import NoScriptError, RedisError

from segstream.adapters.redis import durability, fitness
from segstream.adapters.redis.connection import Client, address, pool_of
from segstream.adapters.redis.durability import Durability
from segstream.adapters.redis.errors import redis_errors
from segstream.adapters.redis.scripts import Argument, Call
from segstream.errors import Fenced, ServerError, StateLost

DEADLINE: Final = 2.0
"""Seconds for WAIT and for WAITAOF: twice the second that ``appendfsync everysec`` may take."""

LOOK: Final = 5.0
"""Seconds between two looks at what a server is: replicas come back after a failover, and must be waited for then."""


class Node:
    """One Redis server: sends calls together, and waits until they are durable.

    Parameters
    ----------
    client : Redis
    deadline : float
        Seconds for each kind of waiting.
    cluster : bool
        Whether it is a node of a cluster.
    """

    def __init__(self, client: Redis, deadline: float, *, cluster: bool = False) -> None:
        self.client, self._deadline, self._cluster = client, deadline, cluster
        self.address = address(client)
        self.durability: Durability | None = None
        self._looked_at = 0.0

    async def run(self, calls: Sequence[Call], *, durably: bool) -> list[Any]:
        """Send ``calls`` in one round trip and return their replies.

        Raises
        ------
        ServerError
            The connection broke, a call was refused, what was written may not be durable, or this is no server for
            the state (see ``fitness``). The calls may have been applied.
        """
        with redis_errors(self.address):
            try:
                return await self._run(calls, durably=durably)
            except (ServerError, RedisError, OSError):
                # Asked again after an error: the server may be another, or have gained or lost replicas. Its name may
                # lead elsewhere by now, so idle connections, maybe to a primary that is none any more, are not kept.
                self.durability = None
                await self.client.connection_pool.disconnect(inuse_connections=False)
                raise
            except BaseException:
                self.durability = None
                raise

    async def _run(self, calls: Sequence[Call], *, durably: bool) -> list[Any]:
        kept, now = self.durability, asyncio.get_running_loop().time()
        if kept is None or now >= self._looked_at + LOOK:
            info = await self.client.info()
            fitness.check(info, self.address, cluster=self._cluster)
            kept, self._looked_at = durability.read(info), now
            self.durability = kept
        waits: list[list[Argument]] = [[*words] for words in kept.waits(self._deadline)] if durably else []
        replies = await self._send([each.command for each in calls] + waits)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            sources = {each.script.text for i in unknown if (each := calls[i]).script}
            loads: list[list[Argument]] = [["SCRIPT", "LOAD", text] for text in sources]
            again = await self._send(loads + [calls[i].command for i in unknown] + waits)
            for i, reply in zip(unknown, again[len(loads) :], strict=False):
                replies[i] = reply
            replies[len(calls) :] = again[len(loads) + len(unknown) :]
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        if durably:
            kept.check(replies[len(calls) :], self._deadline, self.address)
        return replies[: len(calls)]

    async def _send(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        async with self.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))


class Nodes:
    """The servers behind a client: one, or those of a cluster.

    Parameters
    ----------
    client : Redis or RedisCluster
        Not closed by this.
    deadline : float
        Seconds for WAIT and for WAITAOF.
    """

    def __init__(self, client: Client, deadline: float = DEADLINE) -> None:
        self._client, self._deadline = client, deadline
        self._nodes: dict[str, Node] = {}
        self._stale = True
        self.cluster = isinstance(client, RedisCluster)
        self.address = address(client)

    async def run(self, calls: Sequence[Call], *, durably: bool = True) -> list[Any]:
        """Run ``calls``, those for one server in one round trip, and return their replies in order.

        Parameters
        ----------
        calls : sequence of Call
        durably : bool
            Whether to wait until what they wrote is durable; reads need not.

        Raises
        ------
        ServerError, Fenced, StateLost
        """
        if not calls:
            return []
        try:
            shares: dict[int, tuple[Node, list[int]]] = {}
            for i, each in enumerate(calls):
                node = await self._of(each.key)
                shares.setdefault(id(node), (node, []))[1].append(i)
            work = [node.run([calls[i] for i in part], durably=durably) for node, part in shares.values()]
            # No task for the usual one.
            parts = [await work[0]] if len(work) == 1 else await asyncio.gather(*work)
        except ServerError:
            self._stale = True  # in a cluster, slots may have moved
            raise
        replies: list[Any] = [None] * len(calls)
        for (_, part), found in zip(shares.values(), parts, strict=True):
            for i, reply in zip(part, found, strict=True):
                replies[i] = reply
        for each, reply in zip(calls, replies, strict=True):
            _refused(each, reply)
        return replies

    async def durability(self) -> list[Durability]:
        """Return how the servers used so far keep what they acknowledge; where none was, all of them.

        Raises
        ------
        ServerError
        """
        if not self._nodes:
            for node in await self._primaries():
                await node.run([], durably=False)
        return [node.durability for node in self._nodes.values() if node.durability]

    def forget(self) -> None:
        """Ask the servers anew, with the next call, how they keep what they acknowledge."""
        for node in self._nodes.values():
            node.durability = None

    async def close(self) -> None:
        """Close what this opened: a cluster's nodes, but not the client."""
        nodes, self._nodes = self._nodes, {}
        if self.cluster:
            for node in nodes.values():
                await node.client.aclose()

    async def _of(self, key: str) -> Node:
        if not isinstance(self._client, RedisCluster):
            if not self._nodes:
                self._nodes[""] = Node(self._client, self._deadline)
            return self._nodes[""]
        await self._look(self._client)
        with redis_errors(self.address):
            found = self._client.get_node_from_key(key)
        if found is None:
            self._stale = True
            raise ServerError(
                f"Redis at {self.address}: no node holds slot {self._client.keyslot(key)}; check CLUSTER INFO"
            )
        return self._held(found)

    async def _primaries(self) -> list[Node]:
        if not isinstance(self._client, RedisCluster):
            return [await self._of("")]
        await self._look(self._client)
        return [self._held(found) for found in self._client.get_primaries()]

    async def _look(self, client: RedisCluster) -> None:
        """Ask a cluster which node holds which slots, if they may have moved."""
        if self._stale:
            with redis_errors(self.address):
                await client.initialize()
                await client.nodes_manager.initialize()
            self._stale = False

    def _held(self, found: ClusterNode) -> Node:
        name = str(found.name)
        if name not in self._nodes:
            # A plain client: WAIT, and scripts loaded on one node, are no business of a cluster client's.
            pool = pool_of(found.connection_class, found.connection_kwargs)
            self._nodes[name] = Node(Redis.from_pool(pool), self._deadline, cluster=True)
        return self._nodes[name]


def _refused(each: Call, reply: Any) -> None:
    if each.script is None or not isinstance(reply, list) or not reply:
        return
    if reply[0] == b"fenced":
        raise Fenced(f"{each.key}: epoch {reply[1].decode()} has taken over; this owner stops")
    if reply[0] == b"lost":
        raise StateLost(
            f"{each.key}: Redis holds epoch {reply[1].decode()}, revision {reply[2].decode() or '-'}, not what was "
            "committed last; starting over from what it does hold"
        )
