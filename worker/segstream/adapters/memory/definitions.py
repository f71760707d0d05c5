"""The numbered versions of the definitions, in memory."""

from __future__ import annotations

from segstream.adapters.memory.server import MemoryRedis
from segstream.ports import DefinitionsVersion


class MemoryDefinitions:
    """``DefinitionsLog``, the twin of ``RedisDefinitions``.

    Parameters
    ----------
    server : MemoryRedis
    prefix : str
    """

    def __init__(self, server: MemoryRedis, prefix: str = "segstream") -> None:
        self._server, self._key = server, f"{prefix}:definitions"

    @property
    def _versions(self) -> list[DefinitionsVersion]:
        return self._server.value(self._key, list)

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
        versions = self._versions
        if after is not None and after != len(versions):
            return len(versions)
        if not versions or versions[-1].content_hash != content_hash:
            number = len(versions) + 1
            versions.append(DefinitionsVersion(number, text, content_hash, effective_at, author, note, at))
        return len(versions)

    async def initial(
        self, text: str, content_hash: str, *, effective_at: int, author: str, note: str, at: int
    ) -> int:
        """Add version 1 if there is none, and return the latest number (see ``DefinitionsLog``)."""
        if self._versions:
            return len(self._versions)
        return await self.append(
            text, content_hash, effective_at=effective_at, author=author, note=note, at=at
        )

    async def load(self, after_version: int = 0) -> list[DefinitionsVersion]:
        """Return the versions after one, in order (see ``DefinitionsLog``)."""
        return self._versions[after_version:]

    async def close(self) -> None:
        """Release nothing."""
