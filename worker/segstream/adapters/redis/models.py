"""Snapshots and learning states of models, in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import checked
from segstream.adapters.redis.nodes import DEADLINE, Nodes
from segstream.adapters.redis.scripts import Argument, Call, call
from segstream.ports import Training

KEPT: Final = 20
"""Snapshots that stay: enough for partitions that lag, and to look back."""


class RedisModels:
    """``ModelStore``, one hash per name: ``<prefix>:models:<name>``.

    Parameters
    ----------
    client : Redis or RedisCluster
    prefix : str
        Stands before the keys.
    deadline : float
        Seconds for the replicas, and for the append-only file, to confirm a write.
    """

    def __init__(self, client: Client, prefix: str = "segstream", *, deadline: float = DEADLINE) -> None:
        self._nodes, self._base = Nodes(client, deadline), f"{checked(prefix)}:models:"

    async def take_over(self, name: str) -> Training:
        """Fence earlier trainers of ``name``, and return where training stands (see ``ModelStore``)."""
        (reply,) = await self._nodes.run([call("model_take_over", [self._base + name])])
        _, epoch, number, learning = reply
        return Training(epoch, number, None if learning is None else learning.decode())

    async def offer(self, name: str, epoch: int, number: int, snapshot: str, learning: str) -> None:
        """Make a snapshot the latest, together with the learning state behind it (see ``ModelStore``)."""
        await self._save(name, epoch, learning, number, snapshot)

    async def save(self, name: str, epoch: int, learning: str) -> None:
        """Keep the learning state (see ``ModelStore``)."""
        await self._save(name, epoch, learning)

    async def numbers(self, names: Sequence[str]) -> dict[str, int]:
        """Return the latest snapshot's number of each name, 0 without any, in one round trip."""
        calls = [Call(self._base + name, ["HGET", self._base + name, "number"]) for name in names]
        replies = await self._nodes.run(calls, durably=False)
        return {name: int(reply or 0) for name, reply in zip(names, replies, strict=True)}

    async def snapshot(self, name: str, number: int) -> str | None:
        """Return a snapshot, ``None`` if it is not kept (any more)."""
        key = self._base + name
        (reply,) = await self._nodes.run([Call(key, ["HGET", key, f"snapshot:{number}"])], durably=False)
        return None if reply is None else reply.decode()

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()

    async def _save(self, name: str, epoch: int, learning: str, *offered: Argument) -> None:
        await self._nodes.run([call("model_save", [self._base + name], [epoch, learning, KEPT, *offered])])
