"""From the settings to a connection, for commands that talk to Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from segstream.adapters.connections import redis_settings
from segstream.adapters.redis.connection import Client, connect

if TYPE_CHECKING:
    from segstream.settings import Settings


@asynccontextmanager
async def redis_client(settings: Settings) -> AsyncIterator[Client]:
    """Open the client that the settings speak of, and close it at the end."""
    client = connect(redis_settings(settings))
    try:
        yield client
    finally:
        await client.aclose()
