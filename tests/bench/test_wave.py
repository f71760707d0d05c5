"""How live events get on while very many timers are due at one instant: on Apache Kafka and Redis, reported only."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from redis.asyncio import Redis

from segstream.core.time import format_time
from tests.checker import stories
from tests.conftest import Topics
from tests.deployments import Deployments
from tests.workers import Scene, Worker, applied, ends, progress, send, track

WAVE, LIVE_USERS, PARTITIONS = 20_000, 2_000, 4
PORTION = 500
"""Live events sent at a time, one portion after the other."""

DELAY = 45
"""Seconds from the users' last visit until they are gone: all of them must have been applied by then."""

DEFINITIONS = f"""
version: 1
features:
  last_visit: {{op: last_time, event: Visit}}
  orders:     {{op: count, event: Order Completed}}
segments:
  here:  {{when: since(last_visit) <= {DELAY}s}}
  buyer: {{when: orders >= 1}}
"""


async def due(scene: Scene, client: Redis, before: int) -> int:
    """Return how many timers are due before a moment, ms, and not fired."""
    keys = [f"{scene.prefix}state:{{{number}}}:timers" for number in range(scene.partitions)]
    return sum([await client.zcount(key, "-inf", f"({before}") for key in keys])


@pytest.mark.bench
@pytest.mark.timeout(900)
async def test_live_events_go_on_while_20_000_timers_fall_due_at_once(
    topics: Topics, redis_url: str, tmp_path: Path
) -> None:
    """Everybody of the wave is told to be gone once, and every live event is applied; rates are printed."""
    deployments = Deployments(topics, redis_url, tmp_path)
    (events,) = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("wave", [events], PARTITIONS)
    client = Redis.from_url(redis_url)
    visit = time.time_ns() // 1_000_000
    turn = visit + DELAY * 1_000 + 1
    users = [f"w{number:05d}" for number in range(WAVE)]
    with Worker(scene.environment(deployments.file("wave.yaml", DEFINITIONS))) as worker:
        await send(scene, [(user, track(user, format_time(visit), user, "Visit")) for user in users])
        await applied(scene, [worker], DELAY)
        assert await due(scene, client, turn + 1) == WAVE, "slower than the delay: the wave had begun"
        marks: list[tuple[float, int, int]] = []
        sent = 0
        while not marks or marks[-1][2] > 0 or time.time_ns() // 1_000_000 <= turn:
            portion = [f"l{number % LIVE_USERS:05d}" for number in range(sent, sent + PORTION)]
            sent += PORTION
            now = format_time(time.time_ns() // 1_000_000)
            await send(scene, [(user, track(user, now, f"{user}-{sent}")) for user in portion])
            done, _ = await progress(scene, client, await ends(scene, scene.events))
            marks.append((time.monotonic(), done, await due(scene, client, turn + 1)))
            assert worker.running, worker.log[-3000:]
        await applied(scene, [worker], 120)
        assert worker.stop() == 0
    told = await stories(scene)
    wave = [mark for before, mark in pairwise(marks) if before[2] > mark[2]]
    first = marks[max(marks.index(wave[0]) - 1, 0)]
    seconds, live, fired = wave[-1][0] - first[0], wave[-1][1] - first[1], first[2] - wave[-1][2]
    print(
        f"\n{fired:,} timers in {seconds:.1f} s ({fired / seconds:,.0f}/s), and {live:,} live events ({live / seconds:,.0f}/s)"
    )
    assert fired == WAVE
    assert all([change["change"] for change in told[user]] == ["entered", "exited"] for user in users)
    assert len(told) == WAVE + min(sent, LIVE_USERS)
    await client.aclose()
    await deployments.tidy()
