"""Workers that come, go and change while there is much to do: told once, in order, whoever has the partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import pytest

from tests.faults.ledger import entry
from tests.faults.site import Site, logged, until, until_logged
from tests.workers import Worker

COUNTS = (1, 3, 2, 4, 1)


@pytest.fixture
async def wide(kafka: str, redis_url: str, calm_redis: str, tmp_path: Path) -> Site:
    """Two deployments of four partitions."""
    return await Site(kafka, redis_url, calm_redis, tmp_path, partitions=4).open()


async def stop(worker: Worker) -> None:
    """Let a worker drain."""
    assert await asyncio.to_thread(worker.stop) == 0, worker.log[-3000:]


async def test_a_rolling_deploy_that_adds_a_topic_tells_what_one_worker_tells(
    kafka: str, redis_url: str, calm_redis: str, tmp_path: Path
) -> None:
    """Three workers, of which some read one topic and some two, share four partitions under load."""
    site = await Site(kafka, redis_url, calm_redis, tmp_path, partitions=4, topics=2).open()
    both = site.environment()
    one = site.environment(topics=site.scene.events[0])
    with entry(
        "rolling deploy that adds a topic", "3 workers replaced one by one under load", 3, seed=site.seed
    ) as row:
        with ExitStack() as stack:
            workers = [stack.enter_context(Worker(one)) for _ in range(3)]
            for worker in workers:
                await until_logged(worker, '"assigned"')
            async with site.load(portion=80):
                for place in range(3):
                    await site.applied(least=1)
                    await stop(workers[place])
                    workers[place] = stack.enter_context(Worker(both))
                    await until_logged(workers[place], '"owns"')
            await site.applied(*workers)
            for worker in workers:
                await stop(worker)
        row.tell(await site.check_same(), site.sent)


@pytest.mark.long
async def test_workers_that_come_and_go_tell_what_one_worker_tells(wide: Site) -> None:
    """1, 3, 2, 4, 1 workers under load."""
    with entry("rebalances under load", "1, 3, 2, 4, 1 workers", len(COUNTS) - 1, seed=wide.seed) as row:
        with ExitStack() as stack:
            workers: list[Worker] = []
            async with wide.load():
                for count in COUNTS:
                    while len(workers) > count:
                        await stop(workers.pop(0))
                    while len(workers) < count:
                        workers.append(stack.enter_context(Worker(wide.environment())))
                    for worker in workers:
                        await until_logged(worker, '"owns"')
                    await wide.applied(*workers, least=await wide.position() + 200)
            await wide.applied(*workers)
            await stop(workers[0])
        row.tell(await wide.check_same(), wide.sent)


def shares(workers: Sequence[Worker]) -> list[list[int]]:
    """Return the partitions that each was given last."""
    return [([[]] + [line["partitions"] for line in logged(worker, "assigned")])[-1] for worker in workers]


def shared(workers: Sequence[Worker]) -> bool:
    """Tell whether each has a share of the four, and nobody has another's."""
    return all(shares(workers)) and sorted(chain(*shares(workers))) == [0, 1, 2, 3]


def rebalances(worker: Worker) -> int:
    """Return how often it was given partitions: in each rebalance anew."""
    return len(logged(worker, "assigned"))


@pytest.mark.long
async def test_a_rolling_restart_with_static_membership_tells_what_one_worker_tells(wide: Site) -> None:
    """Three workers with names that stay, each restarted twice under load, within the session: there is no rebalance.

    The one that comes back has the partitions that it had, and the others go on with theirs.
    """
    with entry(
        "rolling restart with static membership",
        "3 workers, each restarted twice under load",
        6,
        seed=wide.seed,
    ) as row:
        with ExitStack() as stack:
            environments = [
                wide.environment(instance_id=f"worker-{number}", session_timeout="60s") for number in range(3)
            ]
            workers = [stack.enter_context(Worker(environment)) for environment in environments]
            async with wide.load():
                await until(lambda: shared(workers), "each has a share", workers)
                before, rounds = shares(workers), [rebalances(worker) for worker in workers]
                for place in [*range(3), *range(3)]:
                    await until_logged(workers[place], '"owns"', len(before[place]))
                    await wide.applied(least=await wide.position() + 100)
                    await stop(workers[place])
                    workers[place] = stack.enter_context(Worker(environments[place]))
                    await until_logged(workers[place], '"assigned"')
                    rounds[place] = 1
                    assert shares(workers) == before
                    await until_logged(workers[place], '"owns"', len(before[place]))
                    assert [rebalances(worker) for worker in workers] == rounds
            await wide.applied(*workers)
            assert [rebalances(worker) for worker in workers] == rounds
            for worker in workers:
                await stop(worker)
        row.tell(await wide.check_same(), wide.sent)
