"""What only a real Redis has: scripts it forgets, replicas, clusters, connections that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster

from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.state import RedisStateStore
from segstream.errors import ServerError, SettingsError
from segstream.local.redis import LocalRedis
from segstream.ports import NOTHING_TOLD, Commit, Meta, View
from segstream.views import encode
from segstream_schemas.keys import ReadModelKeys
from tests.contract.redis_backends import OnRedis
from tests.contract.redis_cluster import redis_cluster
from tests.servers import need_own_redis

pytestmark = pytest.mark.integration

VIEW = View("7", 1, 1, 1, 0, 1, {}, {"new": (0, None)}, {}, {"new": 5}, [])


@pytest.fixture
def own_redis(redis_url: str) -> Iterator[LocalRedis]:  # noqa: ARG001 - skips where there is no Redis at all
    """Return a server that a test may break."""
    need_own_redis()
    with LocalRedis(durable=False) as server:
        yield server


@pytest.fixture
async def own_client(own_redis: LocalRedis) -> AsyncIterator[Redis]:
    """Return a client of it."""
    client = connect(own_redis.url)
    assert isinstance(client, Redis)
    yield client
    await client.aclose()


async def test_forgotten_scripts_are_loaded_again(own_client: Redis) -> None:
    """A Redis that restarted or failed over knows no scripts; nobody notices."""
    server = OnRedis(own_client, "")
    store, model = server.state(), server.read_model()
    epoch = (await store.take_over(NOTHING_TOLD)).meta.epoch
    for revision in (1, 2):
        await own_client.script_flush()
        await store.commit(Commit(Meta(revision=revision), {"a": b"%d" % revision}))
        await own_client.script_flush()
        await model.write(3, epoch, [encode(VIEW._replace(partition_sequence=revision))])
    assert await store.load(["a"]) == [b"2"]
    assert (await server.answer("7"))["v"] == "1:2"
    assert await server.members("new", 3) == {"7": 5}


async def test_commits_overlap_with_loads(own_client: Redis) -> None:
    """The next batch may be loaded while this one commits."""
    store = RedisStateStore(own_client, 0)
    await store.take_over(NOTHING_TOLD)
    for revision in range(1, 20):
        commit = Commit(Meta(revision=revision), {"a": b"%d" % revision})
        _, *loaded = await asyncio.gather(store.commit(commit), *(store.load(["b", "c"]) for _ in range(5)))
        assert loaded == [[None, None]] * 5


async def test_a_cancelled_call_leaves_no_reply_behind_for_the_next(own_client: Redis) -> None:
    """Whoever takes the connection next reads its own replies."""
    store = RedisStateStore(own_client, 0)
    await store.take_over(NOTHING_TOLD)
    await store.commit(Commit(Meta(revision=1), {"a": b"A", "b": b"B"}))
    for turns in range(12):
        task = asyncio.ensure_future(store.load(["a"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await store.load(["b"]) == [b"B"]


async def test_a_server_without_replicas_or_file_promises_nothing(own_client: Redis) -> None:
    """The text is what the start-up warning says."""
    store = RedisStateStore(own_client, 0)
    await store.take_over(NOTHING_TOLD)
    assert not store.promised
    assert "ends with Redis' memory" in store.durability


async def test_a_commit_counts_once_the_replica_has_it(own_client: Redis, own_redis: LocalRedis) -> None:
    """With a replica a write waits for it, and is an error where it cannot be had in time."""
    with LocalRedis(durable=False) as second:
        replica = Redis.from_url(second.url)
        try:
            await replica.replicaof("127.0.0.1", own_redis.port)
            await _until_online(own_client)
            store = RedisStateStore(own_client, 0, deadline=0.5)
            await store.take_over(NOTHING_TOLD)
            assert store.promised
            assert "1 replica" in store.durability
            await store.commit(Commit(Meta(revision=1), {"a": b"1"}))
            assert await replica.get("segstream:{0}:user:a") == b"1"
            await replica.replicaof("NO", "ONE")
            with pytest.raises(ServerError, match="replicas confirmed"):
                await store.commit(Commit(Meta(revision=2), {"a": b"2"}))
        finally:
            await replica.aclose()


async def _until_online(client: Redis) -> None:
    while (await client.info("replication")).get("slave0", {}).get("state") != "online":  # noqa: ASYNC110 - another program
        await asyncio.sleep(0.05)


async def test_a_broken_connection_is_a_server_error_and_heals(
    own_client: Redis, own_redis: LocalRedis
) -> None:
    """The error names the address; after a restart the partition starts over with a take-over."""
    store = RedisStateStore(own_client, 0)
    await store.take_over(NOTHING_TOLD)
    own_redis.kill()
    for _ in range(2):
        with pytest.raises(ServerError, match=str(own_redis.port)):
            await store.commit(Commit(Meta(revision=1)))
    own_redis.start()
    await store.take_over(NOTHING_TOLD)
    await store.commit(Commit(Meta(revision=1)))


async def test_an_error_does_not_show_the_password() -> None:
    """Neither for a server that is not there nor for a URL that cannot be read."""
    client = connect("redis://someone:secret@127.0.0.1:1/0")
    with pytest.raises(ServerError) as caught:
        await RedisStateStore(client, 0).load(["a"])
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1/0" in str(caught.value)
    await client.aclose()
    for url in ("redis://someone:secret@host:port/0", "http://someone:secret@host"):
        with pytest.raises(SettingsError) as refused:
            connect(url)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None


async def test_a_full_redis_takes_a_commit_wholly_or_not_at_all(own_client: Redis) -> None:
    """Refused for want of memory, nothing is written; with memory again, the same commit applies."""
    store = RedisStateStore(own_client, 0)
    await store.take_over(NOTHING_TOLD)
    await own_client.config_set("maxmemory", "1")
    commit = Commit(Meta(revision=1), {"a": b"1"}, {"a": 5}, ["a"])
    with pytest.raises(ServerError, match="maxmemory"):
        await store.commit(commit)
    await own_client.config_set("maxmemory", "0")
    assert await store.load(["a"]) == [None]
    assert await store.commit(commit) == 5


async def test_a_cluster_holds_the_same_answers(redis_url: str) -> None:  # noqa: ARG001 - skips without Redis
    """A partition's keys share a slot, and users' answers are written wherever they belong."""
    options = {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"}
    with LocalRedis(durable=False, options=options) as one, LocalRedis(durable=False, options=options) as two:
        await _make_cluster(one, two)
        client: Any = connect(RedisSettings(one.url, cluster=True))
        assert isinstance(client, RedisCluster)
        model = RedisReadModel(client)
        try:
            for partition in range(4):
                store = RedisStateStore(client, partition)
                epoch = (await store.take_over(NOTHING_TOLD)).meta.epoch
                commit = Commit(Meta(revision=1), {"a": b"A", "b": b"B"}, {"a": 5}, ["a", "b"])
                assert await store.commit(commit) == 5
                assert await store.load(["b", "a"]) == [b"B", b"A"]
                await model.write(
                    partition, epoch, [encode(VIEW._replace(user=f"{partition}-{n}")) for n in range(50)]
                )
                assert await client.zcard(ReadModelKeys().members("new", partition)) == 50
                assert await client.hget(ReadModelKeys().user(f"{partition}-49"), "v") == b"1:1"
                await store.close()
        finally:
            await model.close()
            await client.aclose()


async def test_a_cluster_tells_what_it_promises_before_anything_was_written(redis_url: str) -> None:  # noqa: ARG001 - skips without Redis
    """A worker warns at its start: each primary is asked."""
    with redis_cluster() as (address, _):
        client = connect(RedisSettings(address, cluster=True))
        model = RedisReadModel(client)
        try:
            told = await model.durability()
            assert [kept.promised for kept in told] == [False, False]
            assert "ends with Redis' memory" in told[0].text
        finally:
            await model.close()
            await client.aclose()


async def _make_cluster(one: LocalRedis, two: LocalRedis) -> None:
    first: Any = Redis.from_url(one.url)
    second: Any = Redis.from_url(two.url)
    try:
        await first.execute_command("CLUSTER", "ADDSLOTS", *range(8192))
        await second.execute_command("CLUSTER", "ADDSLOTS", *range(8192, 16384))
        await first.execute_command("CLUSTER", "MEET", "127.0.0.1", two.port)
        for each in (first, second):
            while b"cluster_state:ok" not in await _cluster_info(each):  # noqa: ASYNC110 - another program
                await asyncio.sleep(0.05)
    finally:
        await first.aclose()
        await second.aclose()


async def _cluster_info(client: Any) -> bytes:
    found = await client.execute_command("CLUSTER", "INFO")
    if isinstance(found, dict):
        return "\n".join(f"{name}:{value}" for name, value in found.items()).encode()
    return bytes(found)
