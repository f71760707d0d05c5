"""A Kafka that dies and comes back, and one of three nodes that do without each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from segstream.local.apache_kafka import ApacheKafka
from tests.faults.kafka_trio import KafkaNode, KafkaTrio
from tests.faults.ledger import entry
from tests.faults.site import Site
from tests.workers import Worker, ends

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("name", "done", "times", "seconds"),
    [
        ("broker restarted", "SIGKILL in the middle, started at once", 3, 0),
        ("broker gone for 60 s", "SIGKILL", 1, 60),
    ],
)
async def test_a_broker_that_dies_and_comes_back_changes_nothing(
    redis_url: str, calm_redis: str, tmp_path: Path, name: str, done: str, times: int, seconds: int
) -> None:
    """What was committed and not told is told when it is back, once; the worker never ends."""
    with ApacheKafka() as kafka:
        site = await Site(kafka.address, redis_url, calm_redis, tmp_path).open()
        with entry(name, done, times, seed=site.seed) as row:
            with Worker(site.environment()) as worker:
                for _ in range(times):
                    await site.feed(2_000)
                    await site.applied(worker, least=await site.position() + 100)
                    kafka.kill()
                    await asyncio.sleep(seconds)
                    kafka.start()
                await site.feed(200)
                await site.applied(worker)
                assert await asyncio.to_thread(worker.stop) == 0
            row.tell(await site.check_same(), site.sent)


def input_leader(trio: KafkaTrio, site: Site) -> KafkaNode:
    """Return the leader of what partition 0 reads."""
    return trio.leader(site.scene.events[0], 0)


def output_leader(trio: KafkaTrio, site: Site) -> KafkaNode:
    """Return the leader of what partition 0 is told to."""
    return trio.leader(site.scene.topic("changes"), 0)


def log_leader(trio: KafkaTrio, site: Site) -> KafkaNode:
    """Return the leader of the log of what was told of partition 0."""
    return trio.leader(site.scene.topic("published"), 0)


def coordinator(trio: KafkaTrio, site: Site) -> KafkaNode:
    """Return the coordinator of partition 0's transactions."""
    return trio.coordinator(f"{site.scene.prefix}group-0")


@pytest.fixture(scope="module")
def trio() -> Iterator[KafkaTrio]:
    """Return three brokers, which are whole again after each test."""
    with KafkaTrio() as brokers:
        yield brokers


@pytest.mark.parametrize(
    ("name", "whose", "brokers"),
    [
        (
            "partition leader",
            "an input, an output, and the log of what was told",
            (input_leader, output_leader, log_leader),
        ),
        ("transaction coordinator", "transactions", (coordinator,)),
    ],
)
async def test_a_cluster_that_loses_the_broker_that_matters_changes_nothing(
    trio: KafkaTrio,
    redis_url: str,
    calm_redis: str,
    tmp_path: Path,
    name: str,
    whose: str,
    brokers: Sequence[Callable[[KafkaTrio, Site], KafkaNode]],
) -> None:
    """It dies under load, another takes its place, and it comes back; one after the other where there are several."""
    site = await Site(trio.address, redis_url, calm_redis, tmp_path, replication=3).open()
    topics = [*site.scene.events, *map(site.scene.topic, ("changes", "memberships", "published"))]
    done = f"SIGKILL under load ({whose}); back after the others went on"
    with entry(f"three brokers, the {name} lost", done, len(brokers), seed=site.seed) as row:
        with Worker(site.environment()) as worker:
            await site.feed(200)
            await site.applied(worker)
            for which in brokers:
                await asyncio.to_thread(
                    trio.wait_until_whole, *topics, "__transaction_state", "__consumer_offsets"
                )
                await site.feed(2_000)
                await site.applied(worker, least=await site.position() + 200)
                there, node = await ends(site.scene, site.scene.events), which(trio, site)
                async with site.load():
                    node.kill()
                    await site.applied(worker, least=sum(there.values()))
                await site.applied(worker)
                assert which(trio, site) is not node
                node.start()
            await site.feed(200)
            await site.applied(worker)
            assert await asyncio.to_thread(worker.stop) == 0
        row.tell(await site.check_same(), site.sent)
