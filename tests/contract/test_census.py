"""What is counted in Redis, against what was committed there."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from segstream.adapters.redis.census import Count, Question, RedisCensus
from segstream.adapters.redis.state import RedisStateStore
from segstream.core.time import NEVER
from segstream.errors import ServerError
from segstream.ports import NOTHING_TOLD, Commit, Meta

pytestmark = pytest.mark.integration


async def test_users_timers_and_what_a_sweep_has_left_are_counted(
    redis_client: Redis, redis_prefix: str
) -> None:
    """Of each partition asked about; of one that nobody has ever owned there is nothing."""
    store = RedisStateStore(redis_client, 3, redis_prefix)
    await store.take_over(NOTHING_TOLD)
    users = ["a", "b", "ü", "anon:x y"]
    timers = {"a": 1_000, "b": 2_000, "ü": 3_000, "anon:x y": NEVER}
    await store.commit(
        Commit(Meta(revision=1, partitions=4), dict.fromkeys(users, b"state"), timers, arrivals=users)
    )
    census = RedisCensus(redis_client, redis_prefix)
    everything = Count(users=4, unswept=4, timers=3, due=1)
    for swept, unswept in ((None, 0), ("", 4), ("a", 3), ("anon:x y", 2), ("b", 1), ("ü", 0)):
        found = await census.count([Question(3, swept, 2_000)])
        assert found == {3: everything._replace(unswept=unswept)}
    assert await census.count([Question(2, "", 9_000), Question(3, None, 9_000)]) == {
        2: Count(0, 0, 0, 0),
        3: Count(4, 0, 3, 3),
    }
    assert await census.count([]) == {}


async def test_asking_whether_redis_takes_writes_leaves_nothing_behind(
    redis_client: Redis, redis_prefix: str
) -> None:
    """A write that changes nothing; the keys are what they were."""
    await RedisCensus(redis_client, redis_prefix).check_writable()
    assert [key async for key in redis_client.scan_iter(match=f"{redis_prefix}*")] == []


async def test_the_time_of_redis_is_told_along_with_it(redis_client: Redis, redis_prefix: str) -> None:
    """In ms; the worker's own clock may be wrong."""
    census = RedisCensus(redis_client, redis_prefix)
    times = []
    for _ in range(3):
        seconds, microseconds = await redis_client.time()
        times += [seconds * 1000 + microseconds // 1000, await census.check_writable()]
    assert times == sorted(times)


async def test_a_redis_that_cannot_be_reached_takes_no_writes() -> None:
    """The error says where, and what to do."""
    client = Redis(host="127.0.0.1", port=1)
    with pytest.raises(ServerError, match=r"Redis at 127\.0\.0\.1:1.* it runs and can be reached"):
        await RedisCensus(client).check_writable()
    await client.aclose()
