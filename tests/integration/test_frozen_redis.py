"""A server that neither answers nor hangs up is named, and no other one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from segstream.local.ports import free_port
from tests.conftest import Topics
from tests.deployments import SHOP, Deployments
from tests.health import Health, is_ready, metrics, until
from tests.redis_users import RestrictedRedis
from tests.workers import Worker

PARTITIONS = 2
FAILURES = 12
"""Of steps that ask Redis, one each five seconds: one after the other they would last longer than Kafka may be silent."""


@pytest.mark.long
async def test_while_redis_is_frozen_kafka_is_not_said_to_be_silent(topics: Topics, tmp_path: Path) -> None:
    """Stopped in its tracks, with all connections open: the worker says so of Redis alone, and goes on when it can."""
    with RestrictedRedis(durable=False) as redis:
        deployments = Deployments(topics, redis.url, tmp_path)
        events = await deployments.inputs("events", partitions=PARTITIONS)
        scene = await deployments.scene("frozen", events, PARTITIONS)
        port, definitions = free_port(), deployments.file("shop.yaml", SHOP)
        with Worker(scene.environment(definitions, web_port=port)) as worker:
            await until(port, worker, is_ready)
            redis.freeze()
            try:
                said = await until(port, worker, lambda said: "redis" in said.body["troubles"])
                assert "check the brokers" not in said.why()
                failures = 0.0
                while failures < FAILURES:
                    said = await until(port, worker, _is_said)
                    assert "kafka" not in said.body["troubles"], said
                    failures = (await metrics(port))["segstream_step_failures_total"]
                    await asyncio.sleep(0.2)
            finally:
                redis.thaw()
            await until(port, worker, is_ready)
            assert await asyncio.to_thread(worker.stop) == 0


def _is_said(said: Health) -> bool:
    """Tell whether the page answers."""
    return said.status == 503
