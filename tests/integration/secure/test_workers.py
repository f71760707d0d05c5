"""Whole workers over servers as companies run them: what they tell is what they tell without any of it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from segstream.access import Certificates as Trust
from segstream.access import Password
from segstream.adapters.redis.connection import RedisSettings, connect
from segstream_schemas.keys import ReadModelKeys
from tests.checker import answers_of, assert_same, check_everywhere, stories
from tests.integration.secure.conftest import History, make_scene
from tests.secure_servers import (
    PASSWORD,
    USER,
    Certificates,
    RedisTrio,
    SecureKafka,
    SecureRedis,
    SentinelTrio,
)
from tests.workers import Scene, Worker, ends, progress

PATIENCE = 60
SLOWLY = {"batch": 20, "publish_interval": 10}
"""Many commits, so that what happens to Redis happens in the middle of one."""


async def until_applied(scene: Scene, where: RedisSettings, worker: Worker, *, share: float = 1.0) -> None:
    """Wait until this share of the input is applied and, for all of it, told; whatever becomes of Redis meanwhile."""
    wanted = await ends(scene, scene.events)
    client: Any = connect(where)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                done, outbox = await progress(scene, client, wanted)
            except (RedisError, OSError):
                done, outbox = -1, 0
            if done >= share * sum(wanted.values()) and (share < 1 or outbox == 0):
                return
            assert worker.running, f"the worker ended:\n{worker.log[-3000:]}"
            assert time.monotonic() < deadline, f"{done} applied, {outbox} in outboxes\n{worker.log[-3000:]}"
            await asyncio.sleep(0.02)
    finally:
        await client.aclose()


def secret(folder: Path, text: str) -> Path:
    """Write a file with a password, as a mounted secret has it."""
    file = folder / f"secret-{len(list(folder.iterdir()))}"
    file.write_text(f"{text}\n")
    return file


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_a_worker_with_logins_over_tls_tells_what_one_without_tells(
    broker: SecureKafka,
    tls_redis: SecureRedis,
    certificates: Certificates,
    history: History,
    tmp_path: Path,
    mechanism: str,
) -> None:
    """SASL_SSL and rediss://, passwords from files, no more rights than deploy/access.md lists."""
    admin = ":".join(SecureRedis.ADMIN)
    url = f"{tls_redis.url_for(f'{admin}@')}?ssl_ca_certs={certificates.ca}"
    scene = make_scene(broker, url, history.topic)
    environment = scene.environment(
        history.definitions,
        kafka=broker.at("SASL_SSL"),
        kafka_security="SASL_SSL",
        kafka_sasl_mechanism=mechanism,
        kafka_username=USER,
        kafka_password_file=secret(tmp_path, PASSWORD),
        kafka_ca_file=certificates.ca,
        redis=tls_redis.url_for(),
        redis_username=USER,
        redis_password_file=secret(tmp_path, PASSWORD.replace(" ", "_")),
        redis_ca_file=certificates.ca,
    )
    with Worker(environment) as worker:
        await until_applied(scene, RedisSettings(url), worker)
        assert worker.stop() == 0
        assert PASSWORD not in worker.log
    told = await stories(scene)
    assert_same(told, history.told)
    await check_everywhere(scene, told)


async def test_a_worker_that_shows_certificates_tells_what_one_without_tells(
    broker: SecureKafka, certificates: Certificates, history: History
) -> None:
    """Mutual TLS with both servers: the certificate is who the worker is."""
    with SecureRedis(certificates=certificates, mutual=True) as redis:
        scene = make_scene(broker, redis.url_for(), history.topic)
        files = {
            f"{server}_{part}_file": path
            for server in ("kafka", "redis")
            for part, path in (
                ("ca", certificates.ca),
                ("cert", certificates.client_cert),
                ("key", certificates.client_key),
            )
        }
        environment = scene.environment(
            history.definitions, kafka=broker.at("MUTUAL"), kafka_security="SSL", **files
        )
        trust = Trust(certificates.ca, certificates.client_cert, certificates.client_key)
        with Worker(environment) as worker:
            await until_applied(scene, RedisSettings(redis.url_for(), certificates=trust), worker)
            assert worker.stop() == 0
    assert_same(await stories(scene), history.told)


@pytest.mark.faults
async def test_a_failover_by_sentinels_in_the_middle_changes_nothing(
    broker: SecureKafka, history: History
) -> None:
    """The primary dies while commits are on their way; the worker goes on with the one that the Sentinels choose."""
    with SentinelTrio() as trio:
        scene = make_scene(broker, trio.primary().url_for(f":{trio.password}@"), history.topic)
        where = RedisSettings(
            scene.redis,
            sentinels=tuple(trio.addresses.split(",")),
            service=trio.SERVICE,
            sentinel_password=Password(f"{trio.password}-sentinel"),
        )
        environment = scene.environment(
            history.definitions,
            redis_sentinels=trio.addresses,
            redis_sentinel_service=trio.SERVICE,
            redis_sentinel_password=f"{trio.password}-sentinel",
            **SLOWLY,
        )
        with Worker(environment) as worker:
            await until_applied(scene, where, worker, share=0.2)
            first = trio.primary()
            first.kill()
            await until_applied(scene, where, worker)
            assert trio.primary() is not first
            assert worker.stop() == 0
            assert "partition_interrupted" in worker.log, "the primary died too late to be noticed"
        told = await stories(scene)
        assert_same(told, history.told)
        await check_everywhere(scene._replace(redis=trio.primary().url_for(f":{trio.password}@")), told)


@pytest.mark.faults
async def test_a_worker_over_a_cluster_survives_the_loss_of_a_primary(
    broker: SecureKafka, certificates: Certificates, history: History
) -> None:
    """Three primaries with a replica each, over TLS; the one with the first partition's state dies, its replica takes over."""
    with RedisTrio(certificates) as cluster:
        scene = make_scene(broker, cluster.servers[0].url_for(), history.topic)
        where = RedisSettings(scene.redis, cluster=True, certificates=Trust(certificates.ca))
        environment = scene.environment(
            history.definitions, redis_cluster=True, redis_ca_file=certificates.ca, **SLOWLY
        )
        with Worker(environment) as worker:
            await until_applied(scene, where, worker, share=0.2)
            await kill_the_primary_of(f"{scene.prefix}state:{{0}}:meta", where, cluster)
            await until_applied(scene, where, worker)
            assert worker.stop() == 0
            assert "partition_interrupted" in worker.log, "the primary died too late to be noticed"
        told = await stories(scene)
        assert_same(told, history.told)
        keys = ReadModelKeys(f"{scene.prefix}segments")
        client: Any = connect(where)
        try:
            for user, held in answers_of(told).items():
                answer = await client.hgetall(keys.user(user))
                found = {
                    name.decode()[2:]: json.loads(stay) for name, stay in answer.items() if name[:2] == b"s:"
                }
                assert found.keys() == held.keys(), user
        finally:
            await client.aclose()


async def kill_the_primary_of(key: str, where: RedisSettings, cluster: RedisTrio) -> None:
    """Kill the server that holds a key."""
    client: Any = connect(where)
    try:
        await client.initialize()
        port = client.get_node_from_key(key).port
    finally:
        await client.aclose()
    next(server for server in cluster.servers if server.port == port).kill()
