"""Both servers of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from segstream.adapters.redis.connection import connect
from tests.contract.redis_backends import Backend, InMemory, OnRedis


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    """Return a client of the real Redis, as the program makes it."""
    client = connect(redis_url)
    assert isinstance(client, Redis)
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return each of the two servers in turn."""
    if request.param == "memory":
        return InMemory()
    # Asked for only here, so that the twin's tests run where there is no Redis.
    return OnRedis(request.getfixturevalue("redis_client"), request.getfixturevalue("redis_prefix"))
