"""The two readers behind one face, so that a test runs over both."""

# ruff: noqa: D102 - the methods are those of the readers.

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Protocol

from segstream_schemas import AsyncSegmentReader, Member, SegmentReader


class Reading(Protocol):
    """A reader whose every method is awaited, and whose members are a list."""

    async def ask(self, method: str, *arguments: Any) -> Any: ...

    async def members(self, segment: str, entered_since: datetime | None = None) -> list[Member]: ...

    async def close(self) -> None: ...


class Blocking:
    """`SegmentReader`, in a thread."""

    def __init__(self, reader: SegmentReader) -> None:
        self.reader = reader

    async def ask(self, method: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(self.reader, method), *arguments)

    async def members(self, segment: str, entered_since: datetime | None = None) -> list[Member]:
        def read() -> list[Member]:
            return list(self.reader.members(segment, entered_since=entered_since))

        return await asyncio.to_thread(read)

    async def close(self) -> None:
        self.reader.close()


class Awaiting:
    """`AsyncSegmentReader`."""

    def __init__(self, reader: AsyncSegmentReader) -> None:
        self.reader = reader

    async def ask(self, method: str, *arguments: Any) -> Any:
        return await getattr(self.reader, method)(*arguments)

    async def members(self, segment: str, entered_since: datetime | None = None) -> list[Member]:
        return [member async for member in self.reader.members(segment, entered_since=entered_since)]

    async def close(self) -> None:
        await self.reader.aclose()


KINDS: dict[str, Any] = {
    "blocking": lambda url, **options: Blocking(SegmentReader.from_url(url, **options)),
    "awaiting": lambda url, **options: Awaiting(AsyncSegmentReader.from_url(url, **options)),
}
