"""Others in the way: a program of another kind in the workers' group, and a worker under another's instance id."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import AIOKafkaConsumer

from segstream.local.ports import free_port
from tests.deployments import SHOP, Deployments
from tests.health import is_ready, until
from tests.workers import Worker

PARTITIONS = 2

pytestmark = pytest.mark.long


async def test_a_worker_waits_for_a_program_of_another_kind_to_leave_its_group(
    deployments: Deployments,
) -> None:
    """It says who is in the way, in a line of the log and on its page, and works once that one has gone."""
    events = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("shared", events, PARTITIONS)
    port = free_port()
    environment = scene.environment(deployments.file("shop.yaml", SHOP), web_port=port)
    other = AIOKafkaConsumer(
        *events,
        bootstrap_servers=scene.kafka,
        group_id=environment["SEGSTREAM_GROUP"],
        enable_auto_commit=False,
    )
    await other.start()
    try:
        with Worker(environment) as worker:
            said = await until(
                port, worker, lambda said: said.status == 503 and "SEGSTREAM_GROUP" in said.why()
            )
            assert said.body["troubles"]["group"].endswith("give it a group of its own")
            await other.stop()
            await until(port, worker, is_ready)
            assert await asyncio.to_thread(worker.stop) == 0
            told = [line for line in _lines(worker) if line["event"] == "cannot_join"]
            assert len(told) == 1
            assert "Traceback" not in worker.log
    finally:
        await other.stop()


async def test_two_workers_under_one_instance_id_say_so(deployments: Deployments) -> None:
    """Each takes the other's membership: neither is ready until one of them has gone."""
    (events,) = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("twins", [events], PARTITIONS)
    definitions = deployments.file("shop.yaml", SHOP)
    ports = free_port(), free_port()
    one, other = (
        Worker(scene.environment(definitions, web_port=port, instance_id="segstream-0")) for port in ports
    )
    with one:
        await until(ports[0], one, is_ready)
        with other:
            for port, worker in zip(ports, (one, other), strict=True):
                said = await until(
                    port, worker, lambda said: said.status == 503 and "INSTANCE_ID" in said.why()
                )
                assert "is SEGSTREAM_INSTANCE_ID=segstream-0 set for another worker, too?" in said.why()
            assert await asyncio.to_thread(other.stop) == 0
        await until(ports[0], one, is_ready, seconds=150)
        assert await asyncio.to_thread(one.stop) == 0
        told = [line for line in _lines(one) if line["event"] == "membership_lost"]
        assert len(told) == 1


def _lines(worker: Worker) -> list[dict[str, object]]:
    """Return what it has logged."""
    return [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
