"""What one event costs a worker: CPU of its process, everything included, on Apache Kafka and Redis."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

import segstream.demo
from segstream.core.time import format_time
from tests.conftest import Topics
from tests.workers import OUTPUTS, Scene, Worker, applied, ends, progress, send, track

USERS, EVENTS, WARM_UP, PARTITIONS = 20_000, 200_000, 60_000, 4
SLICES, LIMIT = 5, 60
DEFINITIONS = Path(segstream.demo.__file__).with_name("definitions.yaml")
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36"
)


def purchases(count: int, seed: int) -> list[tuple[str, bytes]]:
    """Return ``count`` purchases of about 400 bytes, one a second up to now, of users drawn at random."""
    draw = random.Random(seed)
    begin = time.time_ns() // 1_000_000 - count * 1_000
    found = []
    for number in range(count):
        user = f"{draw.randrange(USERS):05d}"
        revenue, quantity = round(draw.expovariate(1 / 35), 2), draw.randint(1, 5)
        context = {"userAgent": USER_AGENT, "page": {"url": "https://shop.example/checkout/complete"}}
        at = format_time(begin + number * 1_000)
        message = f"message-{number:012d}"
        value = track(user, at, message, revenue=revenue, quantity=quantity, context=context)
        found.append((user, value))
    return found


async def warm(scene: Scene, client: Redis, worker: Worker) -> None:
    """Wait until the first events are applied, and the first snapshot of the model has swept all users."""
    await applied(scene, [worker], 300)
    deadline = time.monotonic() + 120
    for number in range(scene.partitions):
        while True:
            meta = await client.hgetall(f"{scene.prefix}state:{{{number}}}:meta")
            if b'"behaviour"' in meta[b"bases"] and not meta[b"sweep"]:
                break
            assert time.monotonic() < deadline, f"no snapshot was adopted:\n{worker.log[-3000:]}"
            await asyncio.sleep(0.1)


def bare_loop() -> float:
    """Return what one turn of a loop that adds up numbers costs here, in ns of CPU: how fast this machine is right now."""
    begin = time.process_time_ns()
    assert sum(number for number in range(200_000)) == 19_999_900_000
    return (time.process_time_ns() - begin) / 200_000


@pytest.mark.bench
@pytest.mark.timeout(900)
async def test_an_event_costs_at_most_60_us_of_cpu(topics: Topics, redis_url: str) -> None:
    """CPU per event of a warm worker, user and system, is at most 60 us."""
    for name in OUTPUTS:
        await topics.create(name, 1 if name == "samples" else PARTITIONS)
    events = await topics.create("events", PARTITIONS)
    scene = Scene(topics.address, redis_url, topics.prefix, (events,), PARTITIONS)
    values = purchases(WARM_UP + EVENTS, 1)
    print(
        f"\n{EVENTS} events of {statistics.mean(len(value) for _, value in values):.0f} bytes, {USERS} users"
    )
    client = Redis.from_url(redis_url)
    await send(scene, values[:WARM_UP])
    with Worker(scene.environment(DEFINITIONS)) as worker:
        await warm(scene, client, worker)
        await send(scene, values[WARM_UP:])
        wanted = await ends(scene, scene.events)
        marks, loops = [], [bare_loop()]
        for slice_ in range(SLICES + 1):
            done, _ = await progress(scene, client, wanted)
            marks.append((worker.cpu_seconds(), done))
            share = (done + (WARM_UP + EVENTS - done) / max(SLICES - slice_, 1)) / (WARM_UP + EVENTS)
            await applied(scene, [worker], 300, share=min(share, 1.0))
            loops.append(bare_loop())
        assert worker.stop() == 0
    costs = [(b[0] - a[0]) / (b[1] - a[1]) * 1e6 for a, b in itertools.pairwise(marks)]
    whole = (marks[-1][0] - marks[0][0]) / (marks[-1][1] - marks[0][1]) * 1e6
    print("CPU per event in us, a slice each:", ", ".join(f"{cost:.1f}" for cost in costs))
    print(f"median {statistics.median(costs):.1f} us, over all {whole:.1f} us")
    print(f"a turn of a bare loop beside it: {statistics.median(loops):.1f} ns")
    async for key in client.scan_iter(match=f"{topics.prefix}*", count=1000):
        await client.unlink(key)
    await client.aclose()
    assert statistics.median(costs) <= LIMIT
