"""Requests to make the read model anew, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import partition_of
from segstream.ports import Rebuilding, Watched


@dataclass(slots=True)
class _Requests:
    requested: int = 0
    servers: set[str] = field(default_factory=set)


class MemoryRebuilds:
    """``Rebuilds``, the twin of ``RedisRebuilds``.

    Parameters
    ----------
    server : MemoryRedis
    prefix : str
    """

    def __init__(self, server: MemoryRedis, prefix: str = "segstream") -> None:
        self._server, self._prefix = server, prefix

    async def request(self) -> int:
        """Request a rebuild, and return its number (see ``Rebuilds``)."""
        held = self._held
        held.requested = max(held.requested + 1, self._server.now())
        return held.requested

    async def watch(self) -> Watched:
        """Return the latest request; request one if the server is another than before (see ``Rebuilds``)."""
        held = self._held
        first, changed = not held.servers, self._server.replication_id not in held.servers
        if changed:
            held.servers.add(self._server.replication_id)
            await self.request()
        return Watched(held.requested, int(changed), first)

    async def partitions(self) -> int:
        """Return N as the state has it (see ``Rebuilds``)."""
        return partition_of(self._server, self._prefix, 0).meta.partitions

    async def progress(self, partitions: int) -> list[Rebuilding]:
        """Return how far each partition is (see ``Rebuilds``)."""
        return [self._progress(number) for number in range(partitions)]

    async def close(self) -> None:
        """Release nothing."""

    def _progress(self, number: int) -> Rebuilding:
        held = partition_of(self._server, self._prefix, number)
        _, _, place = held.meta.rebuild.partition(" ")
        phase, _, last = place.partition(" ")
        swept = len(held.users) if phase == "lists" else sum(user <= last for user in held.users)
        return Rebuilding(held.meta.epoch, held.meta.rebuilt, held.meta.rebuild, len(held.users), swept)

    @property
    def _held(self) -> _Requests:
        return self._server.value(f"{self._prefix}:rebuild", _Requests)
