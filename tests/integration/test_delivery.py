"""Told once, whatever happens to workers: killed, frozen, restarted one by one with other subscriptions."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis

from segstream.runner import Pace
from tests.checker import assert_same, check_everywhere, hashes_of, stories
from tests.deployments import SHOP, Deployments, orders
from tests.workers import Scene, Worker, applied, send

PATIENCE = 60
"""Seconds for anything that takes two on an idle machine."""

SESSION = "6s"
"""The shortest that brokers allow unless told otherwise."""

SLOWLY = {"batch": 20, "publish_interval": 10}
"""Many commits and transactions, so that what happens to a worker happens in the middle of one."""


async def check_same(scene: Scene, undisturbed: Scene) -> None:
    """Check that two deployments over the same input told the same, and give the same answers everywhere."""
    told = await stories(scene)
    assert told
    assert_same(told, await stories(undisturbed))
    await check_everywhere(scene, told)
    # Only `v` counts batches.
    answers = [
        {
            user: {name: value for name, value in answer.items() if name != "v"}
            for user, answer in hashes.items()
        }
        for hashes in (await hashes_of(scene), await hashes_of(undisturbed))
    ]
    assert answers[0] == answers[1]


async def until_logged(worker: Worker, text: str, count: int = 1) -> None:
    """Wait until a worker has logged something so many times."""
    deadline = time.monotonic() + PATIENCE
    while worker.log.count(text) < count:
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, f"not logged {count} times: {text}\n{worker.log[-3000:]}"
        await asyncio.sleep(0.05)


async def until_behind(scene: Scene, entries: int) -> None:
    """Wait until every partition's outbox holds so many entries."""
    client = Redis.from_url(scene.redis)
    boxes = [f"{scene.prefix}state:{{{number}}}:outbox" for number in range(scene.partitions)]
    deadline = time.monotonic() + PATIENCE
    try:
        while min([await client.xlen(box) for box in boxes]) < entries:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    finally:
        await client.aclose()


@pytest.mark.faults
async def test_a_rolling_restart_that_adds_a_topic_tells_what_one_worker_tells(
    deployments: Deployments,
) -> None:
    """Three workers, of which some read one topic and some two, share four partitions under load."""
    shop, crm = await deployments.inputs("shop", "crm", partitions=4)
    one = await deployments.scene("one", [shop, crm], 4)
    three = await deployments.scene("three", [shop, crm], 4)
    definitions = deployments.file("shop.yaml", SHOP)
    both = three.environment(definitions, session_timeout=SESSION)
    only_shop = both | {"SEGSTREAM_TOPICS": shop}

    async def load() -> None:
        for portion in range(100):
            # Other users on the other topic: in which order two topics are read is not promised.
            await send(three, orders(50, seed=portion, first=50 * portion), shop)
            await send(three, orders(20, seed=portion, first=50 * portion, prefix="c"), crm)

    with ExitStack() as stack:
        single = stack.enter_context(Worker(one.environment(definitions)))
        workers = [stack.enter_context(Worker(only_shop)) for _ in range(3)]
        for worker in workers:
            await until_logged(worker, '"assigned"')
        loading = asyncio.create_task(load())
        for place in range(3):
            await applied(three, [], PATIENCE, share=0.01)
            assert await asyncio.to_thread(workers[place].stop) == 0
            workers[place] = stack.enter_context(Worker(both))
            await until_logged(workers[place], '"owns"')
        await loading
        await applied(three, workers, PATIENCE)
        await applied(one, [single], PATIENCE)
        for worker in [*workers, single]:
            assert await asyncio.to_thread(worker.stop) == 0
    await check_same(three, one)


@pytest.mark.faults
async def test_a_worker_killed_again_and_again_tells_everything_once(deployments: Deployments) -> None:
    """Killed in the middle of work at random moments and replaced, nothing is lost, repeated or contradicted."""
    (events,) = await deployments.inputs("events", partitions=2)
    killed = await deployments.scene("killed", [events], 2)
    calm = await deployments.scene("calm", [events], 2)
    definitions = deployments.file("shop.yaml", SHOP)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    draw = random.Random(seed)
    await send(killed, orders(8000, seed=seed))
    # With a name of its own the next one need not wait until Kafka misses the last one.
    environment = killed.environment(definitions, instance_id="only", session_timeout=SESSION, **SLOWLY)
    with Worker(calm.environment(definitions)) as undisturbed:
        for share in sorted(draw.uniform(0, 0.9) for _ in range(4)):
            with Worker(environment) as worker:
                await applied(killed, [worker], PATIENCE, share=share)
                await asyncio.sleep(draw.uniform(0, 0.1))
                worker.child.kill()
        with Worker(environment) as worker:
            await applied(killed, [worker], PATIENCE)
            assert worker.stop() == 0
        await applied(calm, [undisturbed], PATIENCE)
    await check_same(killed, calm)


@pytest.mark.faults
async def test_a_worker_frozen_past_its_session_tells_nothing_when_it_wakes(deployments: Deployments) -> None:
    """Others have taken over: it leaves topics and read model alone, and becomes a member like any other again."""
    (events,) = await deployments.inputs("events", partitions=2)
    frozen = await deployments.scene("frozen", [events], 2)
    calm = await deployments.scene("calm", [events], 2)
    definitions = deployments.file("shop.yaml", SHOP)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    environment = frozen.environment(definitions, session_timeout=SESSION)
    with Worker(calm.environment(definitions)) as undisturbed, ExitStack() as stack:
        # It tells rarely, so that there is much decided and not told: the first thing it will want to do awake.
        slow = {"SEGSTREAM_BATCH": "20", "SEGSTREAM_PUBLISH_INTERVAL": "1s"}
        first = stack.enter_context(Worker(environment | slow))
        await until_logged(first, '"owns"', 2)
        await send(frozen, orders(6000, seed=seed))
        await until_behind(frozen, Pace().backlog)
        first.child.freeze()
        with pytest.raises(AssertionError):  # it has work in hand
            await applied(frozen, [], 0)
        second = stack.enter_context(Worker(environment))
        await applied(frozen, [second], PATIENCE)
        first.child.thaw()
        await until_logged(first, '"assigned"', 2)
        assert await asyncio.to_thread(second.stop) == 0
        await send(frozen, orders(500, seed=seed + 1, first=6000))
        await applied(frozen, [first], PATIENCE)
        assert await asyncio.to_thread(first.stop) == 0
        await applied(calm, [undisturbed], PATIENCE)
    await check_same(frozen, calm)
