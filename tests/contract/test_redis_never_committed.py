"""What a former version may have left in a real Redis: an outbox entry of a commit that was refused in its middle."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.state import RedisStateStore
from segstream.errors import ServerError
from segstream.ports import NOTHING_TOLD, Commit, Meta, OutboxEntry, Told

pytestmark = pytest.mark.integration

COMMITTED = [OutboxEntry(1, b"one"), OutboxEntry(2, b"\x00\xff")]
THIRD = OutboxEntry(3, b"three")


@pytest.fixture
def keys(redis_prefix: str) -> PartitionKeys:
    """Return the keys of a partition of this test's own."""
    return PartitionKeys(redis_prefix + "segstream", 3)


@pytest.fixture
async def store(redis_client: Redis, redis_prefix: str) -> RedisStateStore:
    """Return the store of a partition that has committed two entries."""
    own = RedisStateStore(redis_client, 3, redis_prefix + "segstream")
    await own.take_over(NOTHING_TOLD)
    await own.commit(Commit(Meta(revision=1, sequence=2), outbox=COMMITTED))
    return own


async def test_an_entry_that_was_never_committed_is_not_told(
    store: RedisStateStore, redis_client: Redis, keys: PartitionKeys
) -> None:
    """Those below it are; and the commit that it came from goes through under the same number."""
    for number in (3, 4):
        await redis_client.xadd(keys.outbox, {"e": b"never"}, id=f"{number}-0")
    found = await store.take_over(NOTHING_TOLD)
    assert (found.outbox, found.forgotten) == (COMMITTED, False)
    await store.commit(Commit(Meta(revision=2, sequence=3), outbox=[THIRD]))
    assert (await store.take_over(NOTHING_TOLD)).outbox == [*COMMITTED, THIRD]


async def test_a_former_version_that_has_told_it_and_stood_still_since_goes_on(
    store: RedisStateStore, redis_client: Redis, keys: PartitionKeys
) -> None:
    """Told is more than was committed, so all is restated; the outbox, cleared of it, takes its number again."""
    await redis_client.xadd(keys.outbox, {"e": b"never"}, id="3-0")
    await redis_client.xtrim(keys.outbox, maxlen=0, approximate=False)
    found = await store.take_over(Told(1, 1, 3, "c0ffee"))
    assert (found.outbox, found.forgotten, found.meta.sequence) == ([], True, 2)
    await store.commit(Commit(Meta(revision=2, sequence=3), outbox=[THIRD]))
    assert (await store.take_over(NOTHING_TOLD)).outbox == [THIRD]


@pytest.mark.parametrize("part", ["meta", "timers", "outbox"])
async def test_a_key_that_is_somebody_elses_is_left_alone(
    store: RedisStateStore, redis_client: Redis, keys: PartitionKeys, part: str
) -> None:
    """A text in its place: the take-over says that the keys are ours alone, and has not raised the epoch."""
    client: Any = redis_client
    key = getattr(keys, part)
    await client.set(key, "theirs")
    before = await client.hgetall(keys.meta) if part != "meta" else {}
    with pytest.raises(ServerError, match="the keys are segstream's alone"):
        await store.take_over(NOTHING_TOLD)
    assert await client.get(key) == b"theirs"
    assert part == "meta" or await client.hgetall(keys.meta) == before
