"""What healing and resetting need of a real Redis: several nodes, and servers that are started anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import RedisCluster

from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.adapters.redis.listings import RedisMemberLists
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.rebuilds import RedisRebuilds
from segstream.adapters.redis.replication import replication_ids
from segstream.adapters.redis.state import RedisStateStore
from segstream.local.redis import LocalRedis
from segstream.ports import NOTHING_TOLD, Commit, Meta, View
from segstream.views import encode
from tests.contract.redis_cluster import redis_cluster
from tests.servers import need_own_redis

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _own_servers(redis_url: str) -> Iterator[None]:  # noqa: ARG001 - skips where there is no Redis at all
    need_own_redis()
    return iter([None])


async def test_a_server_started_anew_is_another() -> None:
    """Though its address and its data are the same: it may lack its last second."""
    with LocalRedis(durable=False) as server:
        client = connect(server.url)
        before = await RedisRebuilds(client).watch()
        assert (await RedisRebuilds(client).watch()) == (before.requested, 0, False)
        ids = await replication_ids(client)
        rebuilds = await RedisRebuilds(client).request()
        dump = await client.dump("segstream:rebuild")
        assert dump is not None
        await client.aclose()
    with LocalRedis(durable=False) as server:
        client = connect(server.url)
        await client.restore("segstream:rebuild", 0, dump)
        assert not set(ids.values()) & set((await replication_ids(client)).values())
        found = await RedisRebuilds(client).watch()
        assert (found.changed, found.first) == (1, False)
        assert found.requested > rebuilds
        await client.aclose()


async def test_on_a_cluster_each_primary_is_watched_and_each_partition_has_its_node() -> None:
    """Keys of one partition in one slot, for every script; users' answers wherever they are."""
    with redis_cluster() as (one, _):
        client = connect(RedisSettings(one, cluster=True))
        assert isinstance(client, RedisCluster)
        assert len(set((await replication_ids(client)).values())) == 2
        rebuilds, lists, model = RedisRebuilds(client), RedisMemberLists(client), RedisReadModel(client)
        assert (await rebuilds.watch()).changed == 2
        assert (await rebuilds.watch()).changed == 0
        stores = [RedisStateStore(client, number) for number in range(4)]
        for number, store in enumerate(stores):
            epoch = (await store.take_over(NOTHING_TOLD, 3)).meta.epoch
            users = [f"{number}-{place}" for place in range(40)]
            states = dict.fromkeys(users, b"x")
            meta = Meta(revision=1, partitions=4, rebuild=f"7 users {users[-1]}")
            await store.commit(Commit(meta, states, dict.fromkeys(users, 5), users))
            views = [
                encode(View(user, 3, 1, 1, 0, 1, {}, {"new": (5, None)}, {}, {"new": 5}, []))
                for user in users
            ]
            await model.write(number, epoch, views)
            assert len(await lists.listed(number, ["new", "old"], users)) == 40
            assert sorted((await lists.page(number, "new", 0, 100))[1]) == sorted(users)
            await lists.strike(number, epoch, "new", users[1:])
            assert await lists.listed(number, ["new"], users) == {users[0]: ["new"]}
            await store.commit(Commit(Meta(revision=2, partitions=4), departures=users[1:]))
            assert await store.unknown(users[:2]) == users[1:2]
            await store.renew(Meta(incarnation=9, revision=3, partitions=4))
            assert await store.users_after("", 9) == []
        assert await rebuilds.partitions() == 4
        assert [each.epoch for each in await rebuilds.progress(5)] == [1, 1, 1, 1, 0]
        for store in stores:
            await store.close()
        for close in (rebuilds.close, lists.close, model.close):
            await close()
        await client.aclose()
