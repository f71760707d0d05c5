"""The numbered versions of the definitions, in Redis."""

from __future__ import annotations

import orjson

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import checked
from segstream.adapters.redis.nodes import DEADLINE, Nodes
from segstream.adapters.redis.scripts import call
from segstream.ports import DefinitionsVersion


class RedisDefinitions:
    """``DefinitionsLog`` in one hash, ``<prefix>:definitions``.

    Parameters
    ----------
    client : Redis or RedisCluster
    prefix : str
        Stands before the key.
    deadline : float
        Seconds for the replicas, and for the append-only file, to confirm a write.
    """

    def __init__(self, client: Client, prefix: str = "segstream", *, deadline: float = DEADLINE) -> None:
        self._nodes, self._key = Nodes(client, deadline), f"{checked(prefix)}:definitions"

    async def append(
        self,
        text: str,
        content_hash: str,
        *,
        effective_at: int,
        author: str,
        note: str,
        at: int,
        after: int | None = None,
    ) -> int:
        """Add a version, and return its number (see ``DefinitionsLog``)."""
        row = orjson.dumps((text, content_hash, effective_at, author, note, at))
        return await self._add(content_hash, row, -1 if after is None else after)

    async def initial(
        self, text: str, content_hash: str, *, effective_at: int, author: str, note: str, at: int
    ) -> int:
        """Add version 1 if there is none, and return the latest number (see ``DefinitionsLog``)."""
        row = orjson.dumps((text, content_hash, effective_at, author, note, at))
        return await self._add(content_hash, row, 0)

    async def load(self, after_version: int = 0) -> list[DefinitionsVersion]:
        """Return the versions after one, in order (see ``DefinitionsLog``)."""
        (reply,) = await self._nodes.run(
            [call("definitions_load", [self._key], [after_version])], durably=False
        )
        return [
            DefinitionsVersion(number, *orjson.loads(row))
            for number, row in zip(*[iter(reply[1:])] * 2, strict=True)
        ]

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()

    async def _add(self, content_hash: str, row: bytes, after: int) -> int:
        (reply,) = await self._nodes.run(
            [call("definitions_append", [self._key], [content_hash, row, after])]
        )
        return int(reply[1])
