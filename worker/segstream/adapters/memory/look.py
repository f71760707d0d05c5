"""A look at the private state in memory."""

from __future__ import annotations

from copy import deepcopy
from heapq import nsmallest

from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import partition_of
from segstream.ports import Meta, Slice


class MemoryLook:
    """``StateReader`` of all partitions, the twin of ``Look``.

    Parameters
    ----------
    server : MemoryRedis
    prefix : str
    """

    def __init__(self, server: MemoryRedis, prefix: str = "segstream") -> None:
        self._server, self._prefix = server, prefix

    async def partitions(self) -> int:
        """Return N as the state has it (see ``StateReader``)."""
        return partition_of(self._server, self._prefix, 0).meta.partitions

    async def metas(self, partitions: int) -> list[Meta]:
        """Return each partition's own state (see ``StateReader``)."""
        return [
            deepcopy(partition_of(self._server, self._prefix, number).meta) for number in range(partitions)
        ]

    async def users(self, partitions: int) -> int:
        """Return how many users there are (see ``StateReader``)."""
        return sum(
            len(partition_of(self._server, self._prefix, number).users) for number in range(partitions)
        )

    async def slice(self, partition: int, user: str, limit: int) -> Slice:
        """Return users that sort after one, and the partition's own state (see ``StateReader``)."""
        held = partition_of(self._server, self._prefix, partition)
        # Text sorts as its UTF-8 does.
        names = nsmallest(limit, [each for each in held.users if each > user])
        states = {name: held.states[name] for name in names if name in held.states}
        return Slice(states, deepcopy(held.meta), names[-1] if names else "")
