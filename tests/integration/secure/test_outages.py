"""Kafka and Redis go away under a running worker and come back: it says so, and goes on by itself."""

from __future__ import annotations

import pytest

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.topics import Topics, create_topics
from segstream.adapters.redis.connection import RedisSettings
from segstream.local.apache_kafka import ApacheKafka
from segstream.local.ports import free_port
from tests.checker import assert_same, check_everywhere, stories
from tests.deployments import orders
from tests.health import PATIENCE, health, is_ready, until
from tests.integration.secure.conftest import PARTITIONS, History, make_scene
from tests.integration.secure.test_workers import SLOWLY, until_applied
from tests.redis_users import RestrictedRedis
from tests.secure_servers import SecureKafka
from tests.workers import Scene, Worker, applied, send

pytestmark = pytest.mark.faults


async def test_redis_may_die_and_come_back(broker: SecureKafka, history: History) -> None:
    """Killed in the middle and started again with its append-only file: nothing is lost or told twice."""
    with RestrictedRedis(durable=True) as redis:
        scene, port = make_scene(broker, redis.url, history.topic), free_port()
        with Worker(scene.environment(history.definitions, web_port=port, **SLOWLY)) as worker:
            await until(port, worker, is_ready)
            await until_applied(scene, RedisSettings(redis.url), worker, share=0.2)
            redis.kill()
            during = await until(port, worker, lambda said: said.status == 503)
            assert during.body["ready"] is False
            assert f"Redis at 127.0.0.1:{redis.port}/0" in during.why()
            assert (await health(port, "live")).status == 200, "a restart would not bring Redis back"
            redis.start()
            await until(port, worker, is_ready)
            await until_applied(scene, RedisSettings(redis.url), worker)
            assert is_ready(await health(port))
            assert worker.stop() == 0
        told = await stories(scene)
        assert_same(told, history.told)
        await check_everywhere(scene, told)


# `tests/faults/test_kafka.py` loses brokers, too; this one looks at what the worker says meanwhile.
@pytest.mark.long
async def test_kafka_may_die_and_come_back(history: History) -> None:
    """Killed in the middle and started again: what was committed and not told is told, once."""
    with ApacheKafka() as kafka, RestrictedRedis(durable=False) as redis:
        scene, undisturbed = [await deployment(kafka, redis, name) for name in ("disturbed", "undisturbed")]
        await send(scene, orders(3_000, seed=6))
        port = free_port()
        with Worker(scene.environment(history.definitions, web_port=port, **SLOWLY)) as worker:
            await until(port, worker, is_ready)
            await until_applied(scene, RedisSettings(redis.url), worker, share=0.2)
            kafka.kill()
            during = await until(port, worker, lambda said: said.status == 503)
            assert during.body["ready"] is False
            assert "Kafka" in during.why() or "kafka" in during.body["troubles"]
            assert (await health(port, "live")).status == 200, "a restart would not bring Kafka back"
            kafka.start()
            await until(port, worker, is_ready)
            await applied(scene, [worker], PATIENCE)
            assert worker.stop() == 0
        with Worker(undisturbed.environment(history.definitions)) as worker:
            await applied(undisturbed, [worker], PATIENCE)
            assert worker.stop() == 0
        told = await stories(scene)
        assert told
        assert_same(told, await stories(undisturbed))
        await check_everywhere(scene, told)


async def deployment(kafka: ApacheKafka, redis: RestrictedRedis, name: str) -> Scene:
    """Create what a deployment needs; both read the same input."""
    scene = Scene(kafka.address, redis.url, f"test-{name}-", ("shop",), PARTITIONS)
    topics = Topics(
        events=scene.events,
        changes=scene.topic("changes"),
        memberships=scene.topic("memberships"),
        dead_letters=scene.topic("dead_letters"),
        rerouted=scene.topic("rerouted"),
        published=scene.topic("published"),
        samples=scene.topic("samples"),
    )
    await create_topics(KafkaSettings(kafka.address), topics, PARTITIONS)
    return scene
