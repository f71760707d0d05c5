"""Load that a worker cannot bear: it holds no more than it has room for, says what it waits for, and loses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pytest

from segstream.adapters.fetcher import INBOX_BATCHES
from segstream.inbox import MOST_BATCH_BYTES
from segstream.local.ports import free_port
from segstream.runner import Pace
from tests.checker import assert_same, check_everywhere, stories
from tests.conftest import Topics
from tests.deployments import SHOP, Deployments, orders
from tests.health import is_ready, metrics, until
from tests.proxy import ProxiedKafka, Proxy, is_produce
from tests.redis_users import worker_url
from tests.servers import choose_kafka, unavailable
from tests.workers import Scene, Worker, applied, send

pytestmark = pytest.mark.faults

PATIENCE = 120
"""Seconds for anything that takes ten on an idle machine."""

PARTITIONS = 2
BATCH = 50
RECORDS = 4_000
"""Ten times what the inboxes of both partitions hold."""

ROOM = INBOX_BATCHES * BATCH
"""Records of one log that wait at most, but for the last portion fetched."""

MEMORY = 400 << 20
"""What a worker may take in all: 150 MB for itself, and more than its settings here allow for the rest."""

SMALL = {"batch": BATCH, "publish_interval": 10, "cache_mb": 16, "inbox_mb": 16}


class Most(NamedTuple):
    """The most that was seen of each.

    Parameters
    ----------
    inbox_records, inbox_bytes, parcels, memory : float
    paused : float
        Partitions at once.
    """

    inbox_records: float
    inbox_bytes: float
    parcels: float
    memory: float
    paused: float


class Watch:
    """Looks at a worker's metrics again and again.

    Parameters
    ----------
    port : int
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: list[dict[str, float]] = []

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look as long as the block takes."""

        async def look() -> None:
            while True:
                if found := await metrics(self._port):
                    self._seen.append(found)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def most(self) -> Most:
        """Return the most that was seen, over both partitions."""
        assert len(self._seen) > 5
        return Most(
            *(
                max(found.get(name, 0.0) for found in self._seen)
                for name in (
                    "segstream_inbox_records",
                    "segstream_inbox_bytes",
                    "segstream_outbox_parcels",
                    "process_resident_memory_bytes",
                    "segstream_fetch_paused",
                )
            )
        )


def check_bounds(most: Most) -> None:
    """Check that fetching has paused, and that no more was held than there was room for."""
    assert most.paused > 0
    # A portion that has been fetched is put in whole; a poll brings no more than a batch.
    assert most.inbox_records <= PARTITIONS * (ROOM + BATCH)
    assert most.inbox_bytes <= int(SMALL["inbox_mb"]) << 20
    # The last batch that is let in may bring more than one.
    assert most.parcels <= PARTITIONS * (Pace().backlog + MOST_BATCH_BYTES // (256 << 10))
    assert most.memory <= MEMORY


async def metric(port: int, worker: Worker, true: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Ask for the metrics until they are as wanted, and return them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = await metrics(port)
        if found and true(found):
            return found
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, worker.log[-3000:]
        await asyncio.sleep(0.05)


async def calm(deployments: Deployments, events: tuple[str, ...]) -> Scene:
    """Let a worker to which nothing happens read the same input."""
    scene = await deployments.scene("calm", events, PARTITIONS)
    with Worker(scene.environment(deployments.file("shop.yaml", SHOP))) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    return scene


async def test_a_slow_redis_slows_a_worker_down_and_nothing_else(deployments: Deployments) -> None:
    """Every answer of Redis comes 200 ms later: fetching pauses and goes on, the page says what it waits for."""
    events = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("slow", events, PARTITIONS)
    await send(scene, orders(RECORDS, seed=11))
    port, definitions = free_port(), deployments.file("shop.yaml", SHOP)
    there = urlsplit(worker_url(scene.redis))
    with Proxy(there.port or 6379) as proxy:
        behind = urlunsplit(
            there._replace(
                netloc=there.netloc.rpartition("@")[0] + "@" * ("@" in there.netloc) + proxy.address
            )
        )
        proxy.delay = 0.2
        watch = Watch(port)
        with Worker(scene.environment(definitions, redis=behind, web_port=port, **SMALL)) as worker:
            async with watch.looking():
                said = await until(port, worker, lambda said: "paused" in (said.body or {}), seconds=PATIENCE)
                # It works, though slowly; whoever asks is told at what.
                assert said.body["ready"] is True
                assert "records wait; the last commit to Redis took" in str(said.body["paused"])
                found = await metric(port, worker, lambda found: found["segstream_fetch_pauses_total"] > 4)
                # Paused, gone on, and paused again: two logs have paused more than twice each.
                assert found["segstream_events_total"] > 0
                assert found["segstream_commit_seconds_sum"] >= 0.2 * found["segstream_commit_seconds_count"]
                proxy.heal()
                await applied(scene, [worker], PATIENCE)
            await metric(port, worker, lambda found: found["segstream_fetch_paused"] == 0)
            assert await asyncio.to_thread(worker.stop) == 0
    check_bounds(watch.most())
    told = await stories(scene)
    assert_same(told, await stories(await calm(deployments, events)))
    await check_everywhere(scene, told)


@pytest.fixture(scope="module")
def blockable() -> Iterator[tuple[Proxy, ProxiedKafka]]:
    """Run a Kafka of this module's own behind a proxy."""
    if not any(source.name.startswith("Apache Kafka") for source in choose_kafka().sources):
        unavailable("needs Apache Kafka's jars and Java 17: this test puts something in between")
    with Proxy() as proxy, ProxiedKafka(proxy) as kafka:
        yield proxy, kafka


@pytest.mark.long
async def test_blocked_output_topics_hold_a_worker_up_and_nothing_else(
    blockable: tuple[Proxy, ProxiedKafka], redis_url: str, tmp_path: Path
) -> None:
    """Kafka takes no records: what is committed and not told is bounded, readiness says why, and it is told later."""
    proxy, kafka = blockable
    deployments = Deployments(Topics(kafka.address), redis_url, tmp_path)
    events = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("blocked", events, PARTITIONS)
    port, definitions = free_port(), deployments.file("shop.yaml", SHOP)
    await send(scene, orders(RECORDS, seed=12))
    watch = Watch(port)
    proxy.holds = is_produce
    with Worker(scene.environment(definitions, kafka=proxy.address, web_port=port, **SMALL)) as worker:
        async with watch.looking():
            said = await until(port, worker, lambda said: "publish" in said.why(), seconds=PATIENCE)
            assert said.status == 503
            held = await metric(port, worker, lambda found: found["segstream_fetch_paused"] == PARTITIONS)
            assert 0 < held["segstream_events_total"] < RECORDS / 2
            await until(
                port, worker, lambda said: "parcels wait to be published" in str(said.body), seconds=PATIENCE
            )
            proxy.heal()
            await applied(scene, [worker], PATIENCE)
            await until(port, worker, is_ready, seconds=PATIENCE)
        await metric(port, worker, lambda found: found["segstream_fetch_paused"] == 0)
        assert await asyncio.to_thread(worker.stop) == 0
    check_bounds(watch.most())
    told = await stories(scene)
    assert_same(told, await stories(await calm(deployments, events)))
    await check_everywhere(scene, told)
    await deployments.tidy()
