"""A worker that is asked to end: it ends, in time and with 0, whatever is gone; and nothing is lost or told twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.topics import Topics, create_topics
from segstream.local.apache_kafka import ApacheKafka
from segstream.local.ports import free_port
from segstream.local.server import LocalServer
from segstream.upkeep import SLICE
from tests.checker import Stories, assert_same, check_everywhere, stories
from tests.deployments import SHOP, orders
from tests.health import health, metrics, until
from tests.operations import segstream
from tests.redis_users import RestrictedRedis
from tests.servers import choose_kafka, unavailable
from tests.workers import Scene, Worker, applied, send

pytestmark = pytest.mark.faults

PARTITIONS = 2
PATIENCE = 90
"""Seconds for anything that takes five on an idle machine."""

DRAIN = 6
"""Seconds that workers here may take to end. Some seconds more are given before it is called a hang."""

SLOWLY = {"batch": 20, "publish_interval": 10}
"""Many commits and transactions, so that what happens to a worker happens in the middle of one."""

HISTORY = orders(3_000, seed=7, users=1_500)
"""Of so many users that a sweep takes more than one slice of each partition."""


class Servers(NamedTuple):
    """Servers that tests may break, with a history on them and what follows from it.

    Parameters
    ----------
    kafka : ApacheKafka
    redis : RestrictedRedis
    definitions : Path
    told : Stories
        By a worker that nobody disturbed.
    """

    kafka: ApacheKafka
    redis: RestrictedRedis
    definitions: Path
    told: Stories

    async def scene(self, name: str) -> Scene:
        """Create what a deployment needs; all read the same input."""
        scene = Scene(self.kafka.address, self.redis.url, f"test-{name}-", ("shop",), PARTITIONS)
        topics = Topics(
            events=scene.events,
            changes=scene.topic("changes"),
            memberships=scene.topic("memberships"),
            dead_letters=scene.topic("dead_letters"),
            rerouted=scene.topic("rerouted"),
            published=scene.topic("published"),
            samples=scene.topic("samples"),
        )
        await create_topics(KafkaSettings(self.kafka.address), topics, PARTITIONS)
        return scene

    def worker(self, scene: Scene, **settings: object) -> Worker:
        """Return a worker with a name of its own: the next one need not wait until Kafka misses this one."""
        settings = {"drain_timeout": f"{DRAIN}s", "instance_id": "only", **SLOWLY, **settings}
        return Worker(scene.environment(self.definitions, **settings))

    async def check(self, scene: Scene) -> None:
        """Check that what was told, and every answer, is what it would have been undisturbed."""
        told = await stories(scene)
        assert_same(told, self.told)
        await check_everywhere(scene, told)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers of this module's own."""
    if not any(source.name.startswith("Apache Kafka") for source in choose_kafka().sources):
        unavailable("needs Apache Kafka's jars and Java 17: this test freezes and kills its servers")
    definitions = tmp_path_factory.mktemp("definitions") / "shop.yaml"
    definitions.write_text(SHOP)
    with ApacheKafka() as kafka, RestrictedRedis() as redis:
        own = Servers(kafka, redis, definitions, {})

        async def undisturbed() -> Stories:
            scene = await own.scene("calm")
            await send(scene, HISTORY)
            with own.worker(scene, batch=1_000) as worker:
                await applied(scene, [worker], PATIENCE)
                assert worker.stop() == 0
            return await stories(scene)

        yield own._replace(told=asyncio.run(undisturbed()))


def ask(worker: Worker, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the worker to end."""
    os.kill(worker.child.pid, number)


async def ended(worker: Worker, seconds: float = DRAIN + 15) -> int | None:
    """Wait for the worker's end, and return its exit code; None if it hangs."""
    return await asyncio.to_thread(worker.child.wait, seconds)


async def until_logged(worker: Worker, text: str) -> None:
    """Wait until the worker has logged something."""
    deadline = time.monotonic() + PATIENCE
    while text not in worker.log:
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, f"not logged: {text}\n{worker.log[-3000:]}"
        await asyncio.sleep(0.02)


async def until_it_listens(worker: Worker) -> None:
    """Wait until the worker has said to the kernel what it does on SIGTERM: until then Python would just end."""
    deadline = time.monotonic() + PATIENCE
    status = Path(f"/proc/{worker.child.pid}/status")
    while True:
        text = await asyncio.to_thread(status.read_text)
        caught = int(text.partition("SigCgt:")[2].split()[0], 16)
        if caught & (1 << (signal.SIGTERM - 1)):
            return
        assert time.monotonic() < deadline, worker.log[-3000:]
        await asyncio.sleep(0.01)


async def go_on(servers: Servers, scene: Scene) -> None:
    """Let another worker finish, and check all that was told."""
    with servers.worker(scene, batch=1_000) as worker:
        await applied(scene, [worker], PATIENCE)
        assert worker.stop() == 0
    await servers.check(scene)


def freeze(server: LocalServer) -> Callable[[], None]:
    """Freeze a server; return what brings it back."""
    server.freeze()
    return server.thaw


def kill(server: LocalServer) -> Callable[[], None]:
    """Kill a server; return what brings it back."""
    server.kill()
    return server.start


Outage = Callable[[Servers], list[Callable[[], None]]]
"""Brings it about, and returns what ends it."""

OUTAGES: dict[str, Outage] = {
    "Kafka is frozen": lambda servers: [freeze(servers.kafka)],
    "Kafka is dead": lambda servers: [kill(servers.kafka)],
    "Redis is frozen": lambda servers: [freeze(servers.redis)],
    "Redis is dead": lambda servers: [kill(servers.redis)],
    "both are frozen": lambda servers: [freeze(servers.kafka), freeze(servers.redis)],
    "both are dead": lambda servers: [kill(servers.kafka), kill(servers.redis)],
}
ORDINARY = {"both are frozen"}
"""What every run brings about; the others are left to ``make faults``, since a Kafka takes long to start."""


@contextmanager
def outage(servers: Servers, name: str) -> Iterator[None]:
    """Take servers away, and bring them back."""
    back = OUTAGES[name](servers)
    try:
        yield
    finally:
        for again in back:
            again()


@pytest.mark.parametrize(
    "gone", [name if name in ORDINARY else pytest.param(name, marks=pytest.mark.long) for name in OUTAGES]
)
async def test_with_servers_gone_it_ends_in_time_with_0(servers: Servers, gone: str) -> None:
    """In the middle of work. Until then it says that it is alive, and not ready any more since it stops."""
    scene, port = await servers.scene(gone.replace(" ", "-")), free_port()
    with servers.worker(scene, web_port=port) as worker:
        await applied(scene, [worker], PATIENCE, share=0.1)
        with outage(servers, gone):
            ask(worker)
            said = await until(port, worker, lambda said: said.status in (503, 0))
            # A worker whose servers refuse at once may have ended by now.
            if said.status:
                assert "is stopping" in said.why()
                alive = await health(port, "live")
                assert alive.status == 200 or not worker.running
            assert await ended(worker) == 0, worker.log[-3000:]
    await go_on(servers, scene)


async def test_under_load_it_hands_over_at_once(servers: Servers) -> None:
    """What was begun is finished, told, and acknowledged; the next worker need not wait until Kafka misses this one."""
    scene = await servers.scene("load")
    # Without a name of its own, and with a session so long that waiting for its end would be a hang.
    alike = {"instance_id": "", "session_timeout": "10m"}
    with servers.worker(scene, **alike) as worker:
        await applied(scene, [worker], PATIENCE, share=0.2)
        ask(worker)
        assert await ended(worker) == 0, worker.log[-3000:]
        assert "not_drained" not in worker.log
        assert "not_stopped_in_time" not in worker.log
    stood = await state_of(scene)
    assert stood.parcels == 0
    assert stood.acknowledged == stood.applied
    with servers.worker(scene, **alike) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    await servers.check(scene)


async def test_a_second_signal_ends_it_at_once_and_loses_nothing(servers: Servers) -> None:
    """It cannot finish what is in hand, since Kafka is frozen, and need not: the exit code says that it was cut short."""
    scene = await servers.scene("cut")
    with servers.worker(scene, drain_timeout="60s") as worker:
        await applied(scene, [worker], PATIENCE, share=0.2)
        with outage(servers, "Kafka is frozen"):
            ask(worker)
            await until_logged(worker, '"stopping"')
            ask(worker)
            # Less than the drain timeout: it has not waited for anything.
            assert await ended(worker, 30) == 128 + signal.SIGTERM, worker.log[-3000:]
            assert "stopped_at_once" in worker.log
    await go_on(servers, scene)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc what a process listens to")
async def test_asked_while_it_starts_it_ends_with_0(servers: Servers) -> None:
    """Whatever it is about to do: before it has looked for its servers, while it waits for one, as it joins its group."""
    scene = await servers.scene("starting")
    with servers.worker(scene) as worker:
        await until_it_listens(worker)
        ask(worker)
        assert await ended(worker) == 0, worker.log[-3000:]
    with servers.worker(scene) as worker:
        await until_logged(worker, '"joining"')
        ask(worker)
        assert await ended(worker) == 0, worker.log[-3000:]
    with outage(servers, "both are frozen"), servers.worker(scene) as worker:
        await until_it_listens(worker)
        ask(worker)
        assert await ended(worker) == 0, worker.log[-3000:]


@pytest.mark.long
async def test_in_a_rebalance_it_ends_with_0_and_the_others_go_on(servers: Servers) -> None:
    """One comes, one goes at that moment: whoever is left works on all partitions."""
    scene = await servers.scene("rebalance")
    with servers.worker(scene, instance_id="") as first, servers.worker(scene, instance_id="") as second:
        await until_logged(first, '"owns"')
        await until_logged(second, '"joining"')
        ask(first)
        assert await ended(first) == 0, first.log[-3000:]
        await applied(scene, [second], PATIENCE)
        assert await asyncio.to_thread(second.stop) == 0
    await servers.check(scene)


@pytest.mark.long
async def test_in_the_middle_of_a_sweep_it_ends_with_0_and_the_next_one_goes_on_with_it(
    servers: Servers,
) -> None:
    """No user is left at the old version, none is swept for nothing."""
    scene, port = await servers.scene("sweep"), free_port()
    with servers.worker(scene, batch=1_000) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    settings = scene.environment(servers.definitions)
    again = servers.definitions.with_name("again.yaml")
    again.write_text(SHOP.replace("groups:", "  seen:   {when: orders >= 1}\ngroups:"))
    assert (await segstream(settings, "apply", str(again), "--yes")).code == 0
    # A slice has 500 users, so that one comes each 20 s; the first may be what is left of a rebuild.
    with servers.worker(scene, sweep_rate=25, web_port=port) as worker:
        deadline = time.monotonic() + PATIENCE
        while (await metrics(port)).get("segstream_swept_users_total", 0) < 2 * SLICE:
            assert worker.running, worker.log[-3000:]
            assert time.monotonic() < deadline, worker.log[-3000:]
            await asyncio.sleep(0.1)
        assert all((await state_of(scene)).sweeping)
        ask(worker)
        assert await ended(worker) == 0, worker.log[-3000:]
        assert "not_drained" not in worker.log
    with servers.worker(scene) as worker:
        deadline = time.monotonic() + PATIENCE
        while any((await state_of(scene)).sweeping):
            assert worker.running, worker.log[-3000:]
            assert time.monotonic() < deadline, worker.log[-3000:]
            await asyncio.sleep(0.1)
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    told = await stories(scene)
    members = await check_everywhere(scene, told)
    assert members["seen"] == {user for user, _ in HISTORY}


class State(NamedTuple):
    """What a deployment has left behind.

    Parameters
    ----------
    applied, acknowledged : dict of int to int
        By partition: the next offset, as Redis has it and as the consumer group has it.
    parcels : int
        Entries in all outboxes.
    sweeping : list of bool
        By partition.
    """

    applied: dict[int, int]
    acknowledged: dict[int, int]
    parcels: int
    sweeping: list[bool]


async def state_of(scene: Scene) -> State:
    """Look at Redis and the consumer group."""
    client = Redis.from_url(scene.redis)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.kafka, group_id=f"{scene.prefix}group", enable_auto_commit=False
    )
    await consumer.start()
    applied_to, acknowledged, parcels, sweeping = {}, {}, 0, []
    try:
        for number in range(scene.partitions):
            base = f"{scene.prefix}state:{{{number}}}"
            offset, sweep = await client.hmget(f"{base}:meta", [f"offset:{scene.events[0]}", "sweep"])
            applied_to[number] = int(offset or -1) + 1
            acknowledged[number] = await consumer.committed(TopicPartition(scene.events[0], number))
            parcels += await client.xlen(f"{base}:outbox")
            sweeping.append(bool(sweep))
    finally:
        await consumer.stop()
        await client.aclose()
    return State(applied_to, acknowledged, parcels, sweeping)
