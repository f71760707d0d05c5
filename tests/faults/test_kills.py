"""A worker that dies: at each point of its work at which something is done and the next thing is not."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from segstream.adapters.failpoints import POINTS
from segstream.local.ports import LOOPBACK
from segstream.local.redis import LocalRedis
from tests.faults.launcher import Launcher, launcher
from tests.faults.ledger import entry
from tests.faults.site import PATIENCE, Site
from tests.redis_users import RestrictedRedis
from tests.workers import Worker

KILLS = 207
"""23 at each of the nine points."""

PASSAGES = {"after-ack": 1, "in-transaction": 4, "after-publish": 4, "after-read-model": 4}
"""Up to which passage: acknowledgements come once a second, several commits are told at once; of others up to 8."""


async def kill_at(site: Site, workers: Launcher, point: str, passage: int) -> None:
    """Let a worker work, with something to do, until it kills itself at a passage of the point."""
    # With a name of its own the next one need not wait until Kafka misses the last one.
    environment = site.environment(
        instance_id="only", failpoint=f"{point}:{passage}", failpoint_allowed="true"
    )
    pid = await workers.start(environment)
    end = asyncio.ensure_future(workers.ended())
    deadline = time.monotonic() + PATIENCE
    while not end.done():
        await site.feed(60)
        await asyncio.wait([end], timeout=2)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGTERM)
            break
    assert await end == -signal.SIGKILL, f"{point}:{passage}\n{workers.log.read_text()[-3000:]}"


async def kill_again_and_again(site: Site, points: Iterable[str], folder: Path) -> None:
    """Kill a worker at each of ``points`` in turn, then let one finish."""
    draw = random.Random(site.seed)
    async with launcher(folder) as workers:
        for point in points:
            await kill_at(site, workers, point, draw.randint(1, PASSAGES.get(point, 8)))
    await site.feed(60)
    with Worker(site.environment(instance_id="only")) as worker:
        await site.applied(worker)
        assert await asyncio.to_thread(worker.stop) == 0


async def test_a_worker_killed_once_at_each_point_tells_everything_once(site: Site, tmp_path: Path) -> None:
    """Nothing is lost, repeated or contradicted, wherever it dies."""
    with entry(
        "worker killed (SIGKILL), once at each point", ", ".join(POINTS), len(POINTS), seed=site.seed
    ) as row:
        await kill_again_and_again(site, POINTS, tmp_path)
        row.tell(await site.check_same(), site.sent)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_worker_killed_two_hundred_times_tells_everything_once(
    kafka: str, calm_redis: str, tmp_path: Path
) -> None:
    """One stream, one deployment, with a replica of Redis to be waited for; a new worker each time."""
    with RestrictedRedis() as redis, LocalRedis(options={"replicaof": f"{LOOPBACK} {redis.port}"}):
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        points = itertools.islice(itertools.cycle(POINTS), KILLS)
        done = f"{KILLS // len(POINTS)} times at each of the {len(POINTS)} points; Redis with a replica"
        with entry("worker killed (SIGKILL)", done, KILLS, seed=site.seed) as row:
            await kill_again_and_again(site, points, tmp_path)
            row.tell(await site.check_same(), site.sent)
