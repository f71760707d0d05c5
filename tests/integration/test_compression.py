"""Producers choose how records are compressed: whatever Kafka has, a worker reads and writes."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from tests.checker import stories
from tests.deployments import SHOP, Deployments, orders
from tests.workers import Worker, applied

CODECS = ("gzip", "lz4", "snappy", "zstd")


async def test_events_compressed_in_every_way_are_read(deployments: Deployments) -> None:
    """Each way in one log; the changes go out in one of them."""
    events = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("packed", events, 1)
    for number, codec in enumerate(CODECS):
        async with AIOKafkaProducer(bootstrap_servers=scene.kafka, compression_type=codec) as producer:
            for user, value in orders(25, seed=number, prefix=f"{codec}-"):
                await producer.send(scene.events[0], value, key=user.encode(), partition=0)
    environment = scene.environment(deployments.file("shop.yaml", SHOP), compression="zstd")
    with Worker(environment) as worker:
        await applied(scene, [worker], 60)
        assert worker.stop() == 0
        assert "fetch_failed" not in worker.log
    assert {user.partition("-")[0] for user in await stories(scene)} == {*CODECS}
