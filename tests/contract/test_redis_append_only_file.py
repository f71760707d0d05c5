"""The append-only file of a real Redis: waited for where the server knows how (7.2), told as a warning where not.

Each test says what is right on either side of 7.2, so that none is left out whatever server there is. State is written
as the user of ``deploy/redis.acl``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from segstream.adapters.redis.connection import connect
from segstream.adapters.redis.state import RedisStateStore
from segstream.errors import ServerError
from segstream.local.redis import find_redis
from segstream.ports import NOTHING_TOLD, Commit, Meta
from tests.redis_users import RestrictedRedis, redis_version, refused, worker_url
from tests.servers import need_own_redis

pytestmark = pytest.mark.integration

PREFIX = "test-segstream"


class Kept(NamedTuple):
    """A server with an append-only file: the worker's client, and one with all rights."""

    server: RestrictedRedis
    worker: Redis
    admin: Redis

    def store(self, deadline: float) -> RedisStateStore:
        """Return the store of a partition, as a worker has it."""
        return RedisStateStore(self.worker, 0, PREFIX, deadline=deadline)

    async def asked(self) -> int:
        """Return how often WAITAOF was called and not refused."""
        found = (await self.admin.info("commandstats")).get("cmdstat_waitaof", {"calls": 0})
        return int(found["calls"]) - int(found.get("failed_calls", 0))


@pytest.fixture
def knows_waitaof(redis_url: str) -> bool:  # noqa: ARG001 - skips where there is no Redis at all
    """Return whether the ``redis-server`` here does, by its version."""
    need_own_redis()
    return redis_version(find_redis()) >= (7, 2)


@pytest.fixture
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """Return a server whose ``appendfsync`` is the test's parameter, else ``always``."""
    with RestrictedRedis(options={"appendfsync": getattr(request, "param", "always")}) as server:
        worker, admin = connect(worker_url(server.url)), Redis.from_url(server.url)
        assert isinstance(worker, Redis)
        try:
            yield Kept(server, worker, admin)
        finally:
            await worker.aclose()
            await admin.aclose()


@pytest.mark.parametrize("kept", ["always", "everysec"], indirect=True)
async def test_each_commit_waits_for_the_file_as_the_user_of_the_acl_file(
    kept: Kept, *, knows_waitaof: bool
) -> None:
    """Once per write and never for a read, without a refusal; what was committed outlasts a kill."""
    store = kept.store(deadline=10.0)
    await store.take_over(NOTHING_TOLD)
    await store.commit(Commit(Meta(revision=1), {"a": b"0"}))  # the server knows the script from here on
    before = await kept.asked()
    await store.commit(Commit(Meta(revision=2), {"a": b"1"}))
    assert await store.load(["a"]) == [b"1"]
    assert await kept.asked() - before == (1 if knows_waitaof else 0)
    assert refused(kept.server.url) == []
    kept.server.kill()
    await kept.worker.connection_pool.disconnect()
    kept.server.start()
    assert (await store.take_over(NOTHING_TOLD)).meta.revision == 2
    assert await store.load(["a"]) == [b"1"]


async def test_only_a_file_that_can_be_waited_for_is_promised(kept: Kept, *, knows_waitaof: bool) -> None:
    """Else the warning says what may be lost: the last second."""
    store = kept.store(deadline=10.0)
    await store.take_over(NOTHING_TOLD)
    assert store.promised == ("append-only file has it" in store.durability)
    assert store.promised != ("last second" in store.durability)
    assert knows_waitaof or not store.promised


@pytest.mark.parametrize("kept", ["no"], indirect=True)
async def test_a_file_that_nobody_syncs_is_an_error_that_names_the_setting(
    kept: Kept, *, knows_waitaof: bool
) -> None:
    """With ``appendfsync no`` a wait cannot end; a server that cannot be asked goes on, with its warning."""
    store = kept.store(deadline=0.3)
    if knows_waitaof:
        with pytest.raises(ServerError, match=r"not synced within 0\.3 s; .*appendfsync"):
            await store.take_over(NOTHING_TOLD)
    else:
        await store.take_over(NOTHING_TOLD)
        assert "unless appendfsync is always" in store.durability


async def test_a_file_that_is_turned_off_meanwhile_is_not_waited_for_any_more(
    kept: Kept, *, knows_waitaof: bool
) -> None:
    """One commit fails, on a server that is waited for; from then on the warning holds."""
    store = kept.store(deadline=10.0)
    await store.take_over(NOTHING_TOLD)
    await kept.admin.config_set("appendonly", "no")
    if knows_waitaof:
        with pytest.raises(ServerError, match="appendonly is disabled; its append-only file was turned off"):
            await store.commit(Commit(Meta(revision=1), {"a": b"1"}))
    before = await kept.asked()
    found = await store.take_over(NOTHING_TOLD)
    await store.commit(Commit(Meta(revision=found.meta.revision + 1), {"a": b"2"}))
    assert await kept.asked() == before
    assert "no append-only file" in store.durability
    assert not store.promised
