"""Where a worker begins to read, and that it stays so."""

from __future__ import annotations

import asyncio
import re
import time

from redis.asyncio import Redis

from tests.checker import stories
from tests.deployments import SHOP, Deployments, orders
from tests.operations import segstream
from tests.workers import Scene, Worker, applied, send

PARTITIONS = 2


async def begun(scene: Scene, worker: Worker) -> None:
    """Wait until each partition has kept where it begins to read."""
    client = Redis.from_url(scene.redis)
    deadline = time.monotonic() + 60
    try:
        for number in range(scene.partitions):
            meta, field = f"{scene.prefix}state:{{{number}}}:meta", f"offset:{scene.events[0]}"
            while await client.hget(meta, field) is None:
                assert worker.running, worker.log[-3000:]
                assert time.monotonic() < deadline, worker.log[-3000:]
                await asyncio.sleep(0.05)
    finally:
        await client.aclose()


async def test_the_first_of_many_mistakes_says_that_there_are_more(deployments: Deployments) -> None:
    """A worker ends with one, at its place; `segstream validate` lists them all."""
    events = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("wrong", events, PARTITIONS)
    text = SHOP.replace("orders >=", "orderz >=").replace("revenue_30d >=", "revenues >=")
    file = deployments.file("wrong.yaml", text)
    ran = await segstream(scene.environment(file), "worker")
    assert ran.code == 1
    assert re.search(
        rf"^segstream: {re.escape(str(file))}:9:18: unknown name 'revenues'; .* \(the first of 2 mistakes; "
        rf"`segstream validate {re.escape(str(file))}` lists them all\)\n +big: ",
        ran.err,
        re.MULTILINE,
    ), ran.err


async def test_what_arrives_after_a_first_start_at_the_latest_is_applied_after_a_restart(
    deployments: Deployments,
) -> None:
    """``start_from: latest`` means the end at the first start, also when a worker stops before its first record."""
    events = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("late", events, PARTITIONS)
    environment = scene.environment(deployments.file("shop.yaml", SHOP), start_from="latest")
    await send(scene, orders(20, seed=1, prefix="before"))
    with Worker(environment) as worker:
        await begun(scene, worker)
        assert worker.stop() == 0
    await send(scene, orders(200, seed=2, prefix="after"))
    with Worker(environment) as worker:
        await applied(scene, [worker], 60)
        assert worker.stop() == 0
    told = await stories(scene)
    assert told
    assert all(user.startswith("after") for user in told)
