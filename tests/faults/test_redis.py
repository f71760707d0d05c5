"""A Redis that dies, is full, may not be written to, or comes back with less than it had."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from segstream.adapters.redis.connection import connect
from segstream.core.time import HOUR, MINUTE
from segstream.local.ports import LOOPBACK, free_port
from segstream.local.redis import LocalRedis
from tests.checker import Change, Stories, stories
from tests.faults.ledger import entry
from tests.faults.site import Site, logged, until, until_logged
from tests.faults.visits import BACK, FORWARD, Visits, clocks_of, now, step_at_start
from tests.operations import segstream
from tests.redis_users import RestrictedRedis
from tests.workers import Worker, ends

pytestmark = pytest.mark.long

WITHIN_AN_HOUR = """
version: 1
features:
  visits_30m: {op: count, event: Visit, window: 30m, resolution: 1m}
  last_visit: {op: last_time, event: Visit}
  pace:       {op: rate, event: Visit, half_life: 5m, per: 10m}
segments:
  here:   {when: since(last_visit) <= 10m}
  busy:   {when: visits_30m >= 3}
  eager:  {when: pace >= 3, leave_when: pace < 1.5}
  quiet:  {when: since(last_visit) > 20m, min_dwell: 5m}
  missed: {when: since(last_visit) > 45m}
  known:  {when: since(last_visit) <= 3h}
"""
"""After ten minutes of visits all but the last turn before an hour is over, and nothing for ten minutes after a visit."""


async def tell(redis: LocalRedis, *words: str | int) -> Any:
    """Send one command."""
    client: Any = connect(redis.url)
    try:
        return await client.execute_command(*words)
    finally:
        await client.aclose()


async def finish(site: Site, worker: Worker) -> None:
    """Send some more, let the worker apply it all and drain."""
    await site.feed(200)
    await site.applied(worker)
    assert await asyncio.to_thread(worker.stop) == 0, worker.log[-3000:]


@pytest.mark.parametrize("sync", ["everysec", "always"])
async def test_a_redis_that_dies_and_comes_back_with_its_append_only_file_changes_nothing(
    kafka: str, calm_redis: str, tmp_path: Path, sync: str
) -> None:
    """Killed three times in the middle of commits: what it had acknowledged is in the file.

    Where the file can be waited for each commit takes a second with ``everysec``, so there are few.
    """
    with RestrictedRedis(options={"appendfsync": sync}) as redis:
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        with entry(
            f"Redis restarted, append-only file synced {sync}",
            "SIGKILL in the middle, 3 s away",
            3,
            seed=site.seed,
        ) as row:
            with Worker(site.environment(batch=200)) as worker:
                for times in range(1, 4):
                    await site.feed(1_500)
                    await site.applied(worker, least=await site.position() + 100)
                    redis.kill()
                    await until_logged(worker, '"partition_interrupted"', times)
                    await asyncio.sleep(3)
                    redis.start()
                await finish(site, worker)
            row.tell(await site.check_same(), site.sent)


async def test_a_redis_that_comes_back_without_the_tail_of_its_file_begins_a_new_incarnation(
    kafka: str, calm_redis: str, tmp_path: Path
) -> None:
    """``everysec`` may lose the last second when the machine dies with Redis, so this file is cut back to that point.

    What was told meanwhile is not in it: users are restated, and end where nothing would have happened.
    """
    with RestrictedRedis(options={"appendfsync": "everysec"}) as redis:
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        with entry(
            "Redis restarted, the append-only file without its tail",
            "everysec; SIGKILL in the middle, the file cut back to before the last commits",
            seed=site.seed,
        ) as row:
            with Worker(site.environment()) as worker:
                await site.feed(600)
                await site.applied(worker)
                file = max(redis.directory.rglob("*.aof"), key=lambda file: file.stat().st_size)
                synced, told = file.stat().st_size, await ends(site.scene, told_in(site))
                await site.feed(1_500)
                await site.applied(worker, least=await site.position() + 200)
                # Both partitions tell of what will not be in the file.
                while any(end <= told[at] for at, end in (await ends(site.scene, told_in(site))).items()):
                    assert worker.running, worker.log[-3000:]
                redis.kill()
                assert file.stat().st_size > synced
                os.truncate(file, synced)
                await until_logged(worker, '"partition_interrupted"')
                redis.start()
                await finish(site, worker)
            row.tell(await site.check_after_loss(), site.sent)
            row.result = "new incarnation, users restated; same answers as undisturbed"
            assert row.incarnations == (1, 2)


def told_in(site: Site) -> list[str]:
    """Return the topic of the changes."""
    return [site.scene.topic("changes")]


async def fill_up(redis: LocalRedis) -> None:
    """Allow less memory than it has taken."""
    await tell(redis, "CONFIG", "SET", "maxmemory", "1mb")


async def empty_out(redis: LocalRedis) -> None:
    """Allow any amount again."""
    await tell(redis, "CONFIG", "SET", "maxmemory", "0")


async def make_replica(redis: LocalRedis) -> None:
    """Make it the replica of nobody, as a failover that went wrong does."""
    await tell(redis, "REPLICAOF", LOOPBACK, free_port())


async def make_primary(redis: LocalRedis) -> None:
    """Let it be written to again."""
    await tell(redis, "REPLICAOF", "NO", "ONE")


async def until_said(worker: Worker, text: str, after: int) -> None:
    """Wait until it is in the log, after so many characters."""
    await until(lambda: text in worker.log[after:], text, [worker])


Act = Callable[[LocalRedis], Awaitable[None]]


@pytest.mark.parametrize(
    ("name", "done", "harm", "heal", "said"),
    [
        ("out of memory", "maxmemory 1mb for 5 s", fill_up, empty_out, "raise its maxmemory"),
        (
            "read-only",
            "REPLICAOF a dead address for 5 s",
            make_replica,
            make_primary,
            "give the address of the primary",
        ),
    ],
)
async def test_a_redis_that_cannot_be_written_to_for_a_while_changes_nothing(
    kafka: str,
    calm_redis: str,
    tmp_path: Path,
    name: str,
    done: str,
    harm: Act,
    heal: Act,
    said: str,
) -> None:
    """Twice in the middle of the work; the worker says what is wrong, and goes on by itself."""
    with RestrictedRedis() as redis:
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        with entry(f"Redis {name}", done, 2, seed=site.seed) as row:
            with Worker(site.environment()) as worker:
                for _ in range(2):
                    await site.feed(1_500)
                    await site.applied(worker, least=await site.position() + 100)
                    seen = len(worker.log)
                    await harm(redis)
                    await until_said(worker, said, seen)
                    await asyncio.sleep(5)
                    await heal(redis)
                await finish(site, worker)
            row.tell(await site.check_same(), site.sent)


async def test_a_redis_put_back_to_a_dump_of_an_hour_ago_begins_a_new_incarnation(
    kafka: str, calm_redis: str, tmp_path: Path
) -> None:
    """What was told in that hour is not taken back in silence: every user is restated, and counted on from the dump.

    The worker begins an hour ago, by its clock and by when events happen and arrive. After the dump more arrive, then
    the clock comes to the present, and what falls due in that hour is told. In the dump all these deadlines are still
    to come; put back, they are overdue by up to an hour, while events wait in the log that are to be applied first.
    """
    with RestrictedRedis(durable=False) as redis:
        site = Site(kafka, redis.url, calm_redis, tmp_path, definitions=WITHIN_AN_HOUR)
        await site.open(arrivals="CreateTime")
        visits = Visits(site.scene, site.seed)
        with entry(
            "Redis restored from an old dump",
            "SAVE; an hour of events, arrivals and deadlines later killed, started with that file",
            seed=site.seed,
        ) as row:
            begin = now() - HOUR
            await visits.send(visits.drawn(300, begin - 15 * MINUTE, begin))
            # So much later than its clock arrivals may be here, which jump ahead of it.
            settings = {"failpoint": "clock:3600", "failpoint_allowed": "true", "max_clock_skew": "1h"}
            with Worker(site.environment(**settings)) as worker:
                await step_at_start(worker, BACK)
                await site.applied(worker)
                await tell(redis, "SAVE")
                old = shutil.copy(redis.directory / "dump.rdb", tmp_path / "old.rdb")
                assert all(abs(clock - begin) < 5 * MINUTE for clock in await clocks_of(site.scene))
                # Later than what the worker's clock shows by now: it has read all that arrived until then.
                later = now() - HOUR + MINUTE // 2
                await visits.send(visits.drawn(200, later, later + 9 * MINUTE))
                await site.applied(worker)
                before = len(fallen_due(await stories(site.scene)))
                os.kill(worker.child.pid, FORWARD)
                await site.at_rest(worker)
                assert len(fallen_due(await stories(site.scene))) > before + visits.users
                await visits.send(visits.one(user, now()) for user in range(0, visits.users, 2))
                await site.applied(worker)
                redis.kill()
                shutil.copy(old, redis.directory / "dump.rdb")
                redis.start()
                await visits.send(visits.one(user, now()) for user in range(0, visits.users, 3))
                await site.applied(worker)
                await site.at_rest(worker)
                assert await asyncio.to_thread(worker.stop) == 0, worker.log[-3000:]
            told = await site.check_after_loss()
            row.tell(told, visits.count)
            row.result = "new incarnation, users restated; same answers as undisturbed"
            assert row.incarnations == (1, 2)
            assert len([change for change in fallen_due(told) if change["incarnation"] == 2]) > visits.users


def fallen_due(told: Stories) -> list[Change]:
    """Return the changes that silence made."""
    return [change for changes in told.values() for change in changes if change["cause"]["type"] == "timer"]


async def test_a_redis_that_was_emptied_stops_its_partitions_until_they_are_reset(
    kafka: str, calm_redis: str, tmp_path: Path
) -> None:
    """FLUSHALL under load: the worker stops with the command that resolves it, and nothing is told meanwhile."""
    with RestrictedRedis() as redis:
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        with entry(
            "Redis emptied", "FLUSHALL in the middle; then the command that the worker names", seed=site.seed
        ) as row:
            with Worker(site.environment()) as worker:
                await site.feed(3_000)
                await site.applied(worker, least=1_000)
                await asyncio.sleep(1.5)  # the group's positions are acknowledged once a second
                await tell(redis, "FLUSHALL")
                await site.feed(200)
                # It decides by definitions that Redis does not know any more.
                await until_logged(worker, "restart all workers to go on by what it holds", 2)
                assert await asyncio.to_thread(worker.stop) == 0
            with Worker(site.environment()) as worker:
                await until(
                    lambda: len(stops(worker)) == site.scene.partitions, "all partitions stop", [worker]
                )
                commands = {
                    re.findall(r"`(segstream reset [^`]*)`", line["error"])[0] for line in stops(worker)
                }
                assert await asyncio.to_thread(worker.stop) == 0
            for command in sorted(commands):
                ran = await segstream(site.environment(), *shlex.split(command)[1:], "--yes", "--json")
                assert ran.code == 0, ran.err
            with Worker(site.environment()) as worker:
                await finish(site, worker)
            row.tell(await site.check_after_loss(), site.sent)
            row.result = "partitions stop, naming `segstream reset`; after it new incarnation, same answers as undisturbed"
            assert len(row.incarnations) > 1


def stops(worker: Worker) -> list[dict[str, Any]]:
    """Return why partitions were given up for good."""
    return [line for line in logged(worker, "partition_interrupted") if line["kind"] == "PositionError"]
