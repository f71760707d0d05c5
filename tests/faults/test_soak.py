"""A long time at half of what a worker can bear: what it takes of memory, files and keys levels off."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from redis.asyncio import Redis

from segstream.core.time import format_time
from segstream.local.ports import free_port
from segstream.local.redis import LocalRedis
from tests.conftest import Topics
from tests.faults.seeds import draw_seed
from tests.health import health, metrics
from tests.redis_users import RestrictedRedis
from tests.workers import Scene, Worker, applied, send, track

MINUTES: Final = float(os.environ.get("SEGSTREAM_TEST_SOAK_MINUTES", "120"))

RATE: Final = float(os.environ.get("SEGSTREAM_TEST_SOAK_RATE", "0"))
"""Events per second; 0 for half of the maximum, which is measured first."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(int(MINUTES * 60 + 1200))]

PARTITIONS: Final = 4
USERS: Final = 5_000
"""No more than that: keys can level off only when users do. Each is heard of every few seconds, and silent for longer."""

SETTLING: Final = 300.0
"""Seconds, more than two windows, for which the worker is kept busy before; in the second half the maximum rate is measured.

A user with full windows costs several times what a new one does: a burst at the start says nothing of what can be borne."""

BACKLOG: Final = 10_000
"""Events that wait meanwhile: enough that it never waits for us."""

BURST: Final = 20_000
BURSTS: Final = 16
"""How often in all that time so much arrives at once, so that each quarter knows the worst: a process does not give
back the memory that a backlog has taken once, and a machine that is slow for a while must not look like a leak."""

PATIENCE: Final = 300.0

DEFINITIONS: Final = """
version: 1
features:
  orders:   {op: count, event: Order Completed, window: 2m}
  revenue:  {op: sum, of: properties.revenue, event: Order Completed, window: 2m, expose: true}
  basket:   {op: mean, of: properties.revenue, event: Order Completed}
  kinds:    {op: distinct, of: properties.kind, event: Order Completed, window: 2m}
  favourite: {op: top, of: properties.kind, event: Order Completed}
  last:     {op: last_time, event: Order Completed}
segments:
  big:    {when: revenue >= 4000, leave_when: revenue < 2000}
  keen:   {when: orders >= 60}
  varied: {when: kinds >= 20}
  silent: {when: since(last) > 5s}
"""
"""Windows so short that buckets, timers and segments come and go all the time."""

_LOG: Final = {"retention.bytes": str(100 << 20), "segment.bytes": str(25 << 20)}
_COMPACTED: Final = {
    "cleanup.policy": "compact", "segment.bytes": str(25 << 20), "max.compaction.lag.ms": "60000",
}  # fmt: skip


class Sample(NamedTuple):
    """What is taken at a moment.

    Parameters
    ----------
    memory : float
        The worker's resident memory in bytes.
    files : float
        Its open file descriptors.
    keys : float
        In Redis.
    redis_memory : float
        Redis' ``used_memory`` in bytes.
    """

    memory: float
    files: float
    keys: float
    redis_memory: float

    def line(self) -> str:
        """Return it for people to read."""
        return (
            f"{self.memory / 2**20:.1f} MiB, {self.files:.0f} files, {self.keys:.0f} keys, "
            f"Redis {self.redis_memory / 2**20:.1f} MiB"
        )


TOLERANCE: Final = Sample(memory=0.05, files=0.05, keys=0.02, redis_memory=0.05)
"""How much more of each the last quarter's median may be than the third quarter's, as a share.

A leak of 5 % in a quarter of two hours is 20 MB an hour of the worker's 100: that is seen. Allocators and Redis' buffers
move by 1 to 2 % without one.
"""


@pytest.fixture
def redis() -> Iterator[LocalRedis]:
    """Return a Redis in which there is nothing else."""
    with RestrictedRedis(durable=False) as server:
        yield server


async def make_scene(topics: Topics, redis: LocalRedis) -> Scene:
    """Create the topics of a deployment; logs lose what is old, or two hours would fill the disk."""
    events = await topics.create("events", PARTITIONS, _LOG)
    for kind in ("changes", "dead_letters", "rerouted"):
        await topics.create(kind, PARTITIONS, _LOG)
    for kind in ("memberships", "published"):
        await topics.create(kind, PARTITIONS, _COMPACTED)
    await topics.create("samples")
    return Scene(topics.address, redis.url, topics.prefix, (events,), PARTITIONS)


def happen(count: int, draw: random.Random) -> list[tuple[str, bytes]]:
    """Return so many orders of just now; of a few users come many, of many few."""
    now = format_time(time.time_ns() // 1_000_000)
    found = []
    for _ in range(count):
        user = f"u{min(int(draw.paretovariate(0.4)) - 1, USERS - 1) if draw.random() < 0.3 else draw.randrange(USERS):05d}"
        message, revenue, kind = (
            uuid.UUID(int=draw.getrandbits(128)),
            draw.randrange(1, 20_000),
            draw.randrange(40),
        )
        found.append((user, track(user, now, message, revenue=revenue / 100, kind=f"k{kind}")))
    return found


async def sample(worker: Worker, client: Redis) -> Sample:
    """Look at the worker's process and at Redis."""
    process = Path(f"/proc/{worker.child.pid}")
    pages = int((await asyncio.to_thread((process / "statm").read_text)).split()[1])
    files = len(await asyncio.to_thread(os.listdir, process / "fd"))
    taken = (await client.info("memory"))["used_memory"]
    return Sample(pages * os.sysconf("SC_PAGE_SIZE"), files, await client.dbsize(), taken)


async def maximum_rate(scene: Scene, worker: Worker, port: int, draw: random.Random) -> tuple[float, int]:
    """Keep a worker busy until users' windows are full; return events per second in the second half, and how many were sent."""
    sent, began, middle = 0, time.monotonic(), (0.0, 0.0)
    while (elapsed := time.monotonic() - began) < SETTLING:
        assert worker.running, worker.log[-3000:]
        applied_by_now = (await metrics(port)).get("segstream_events_total", 0.0)
        if elapsed < SETTLING / 2:
            middle = elapsed, applied_by_now
        if sent - applied_by_now < BACKLOG:
            await send(scene, happen(BACKLOG, draw))
            sent += BACKLOG
        else:
            await asyncio.sleep(0.2)
    return (applied_by_now - middle[1]) / (elapsed - middle[0]), sent


def quarters(samples: list[Sample]) -> list[Sample]:
    """Return the medians of each quarter."""
    size = len(samples) // 4
    parts = [samples[size * number : size * (number + 1)] for number in range(4)]
    return [Sample(*(statistics.median(column) for column in zip(*part, strict=True))) for part in parts]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc what a process takes")
async def test_memory_files_and_keys_level_off(topics: Topics, redis: LocalRedis, tmp_path: Path) -> None:
    """At half the maximum rate, as measured first: the last quarter takes no more than the third; nothing is lost."""
    scene, port, draw = await make_scene(topics, redis), free_port(), random.Random(draw_seed())
    definitions = tmp_path / "soak.yaml"
    definitions.write_text(DEFINITIONS)
    client = Redis.from_url(redis.url)
    samples: list[Sample] = []
    with Worker(scene.environment(definitions, web_port=port, cache_mb=64)) as worker:
        rate, sent = RATE, 0
        if not RATE:
            maximum, sent = await maximum_rate(scene, worker, port, draw)
            rate = maximum / 2
            await applied(scene, [worker], PATIENCE)
            print(f"maximum {maximum:,.0f} events/s", flush=True)  # noqa: T201 - a long time
        began = time.monotonic()
        done = bursts = 0
        while (elapsed := time.monotonic() - began) < MINUTES * 60:
            portion = int(elapsed * rate) - done
            if elapsed >= bursts * MINUTES * 60 / BURSTS:
                bursts += 1
                waiting = (await metrics(port)).get("segstream_lag_records", 0.0)
                print(  # noqa: T201 - a long time
                    f"after {elapsed / 60:.1f} minutes: {(await sample(worker, client)).line()}, {waiting:,.0f} events wait",
                    flush=True,
                )
                await send(scene, happen(BURST, draw))
                sent += BURST
            await send(scene, happen(portion, draw))
            done, sent = done + portion, sent + portion
            assert worker.running, worker.log[-3000:]
            samples.append(await sample(worker, client))
            await asyncio.sleep(1)
        await applied(scene, [worker], PATIENCE)
        counted = await metrics(port)
        assert (await health(port)).status == 200
        assert await asyncio.to_thread(worker.stop) == 0
    await client.aclose()
    found = quarters(samples)
    report(done / MINUTES / 60, counted, found)
    assert counted["segstream_events_total"] + counted["segstream_repeats_total"] == sent
    assert counted["segstream_dead_letters_total"] == 0
    for name, third, last, tolerance in zip(Sample._fields, found[2], found[3], TOLERANCE, strict=True):
        assert last <= third * (1 + tolerance), f"{name} grows: {[getattr(part, name) for part in found]}"


def report(sent: float, counted: dict[str, float], found: list[Sample]) -> None:
    """Print what was measured."""
    print(  # noqa: T201 - the result
        f"{MINUTES:g} minutes, sent {sent:,.0f} events/s besides bursts, "
        f"{counted['segstream_changes_total']:,.0f} changes, {counted['segstream_wake_ups_total']:,.0f} timers fired"
    )
    for number, part in enumerate(found, 1):
        print(f"quarter {number}: {part.line()}")  # noqa: T201
