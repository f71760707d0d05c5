"""Silence counts, also while nobody works: what falls due during a stop is told afterwards as if there had been none."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import ExitStack

import pytest

from segstream.core.time import format_time
from tests.checker import Stories, assert_same, check_everywhere, stories
from tests.deployments import Deployments
from tests.workers import Scene, Worker, applied, send, track

PATIENCE = 60
USERS = 60
DEFINITIONS = """
version: 1
features:
  visits:     {op: count, event: Visit}
  visits_5s:  {op: count, event: Visit, window: 5s, resolution: 1s}
  last_visit: {op: last_time, event: Visit}
  pace:       {op: rate, event: Visit, half_life: 2s, per: 1s}
segments:
  here:    {when: since(last_visit) <= 2s}
  gone:    {when: since(last_visit) > 3s}
  busy:    {when: visits_5s >= 3}
  eager:   {when: pace >= 0.6, leave_when: pace < 0.1}
  settled: {when: visits >= 2 and since(last_visit) >= 2s, min_dwell: 1s}
"""


@pytest.mark.faults
async def test_a_stop_while_time_passes_changes_nothing_but_processed_at(deployments: Deployments) -> None:
    """Stopped while events arrive and due times pass, a worker tells the same with the same `at` as one that ran."""
    (events,) = await deployments.inputs("events", partitions=2)
    stopped = await deployments.scene("stopped", [events], 2)
    steady = await deployments.scene("steady", [events], 2)
    definitions = deployments.file("visits.yaml", DEFINITIONS)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    visits = Visits(steady, seed)
    with ExitStack() as stack:
        always = stack.enter_context(Worker(steady.environment(definitions)))
        early = stack.enter_context(Worker(stopped.environment(definitions)))
        await visits.send(portions=10)
        await applied(stopped, [early], PATIENCE)
        assert await asyncio.to_thread(early.stop) == 0
        # Some of these come after others' times have passed, and are the first that the next worker reads.
        await visits.send(portions=40)
        await told_silence(steady, [always], visits.count)
        late = stack.enter_context(Worker(stopped.environment(definitions)))
        await visits.send(portions=10)
        await told_silence(steady, [always, late], visits.count)
        told = await told_silence(stopped, [always, late], visits.count)
        for worker in (always, late):
            assert await asyncio.to_thread(worker.stop) == 0
    timed = [change for changes in told.values() for change in changes if change["cause"]["type"] == "timer"]
    assert {change["segment"] for change in timed} == {"here", "gone", "busy", "eager", "settled"}
    assert_same(told, await stories(steady))
    for scene in (stopped, steady):
        members = await check_everywhere(scene, told)
        assert members == {"gone": visits.users, "settled": visits.regulars}


class Visits:
    """Users who come by now, a few at a time.

    Parameters
    ----------
    scene : Scene
        Whose input to send to.
    seed : int
        Decides who comes.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene, self._draw = scene, random.Random(seed)
        self.count = 0
        self._visits: dict[str, int] = {}

    @property
    def users(self) -> set[str]:
        """Who came."""
        return set(self._visits)

    @property
    def regulars(self) -> set[str]:
        """Who came twice or more."""
        return {user for user, visits in self._visits.items() if visits > 1}

    async def send(self, portions: int) -> None:
        """Send ten visits ten times a second."""
        for _ in range(portions):
            portion = []
            for _ in range(10):
                # A third comes all the time, the others now and then.
                user = f"v{self._draw.randrange(USERS) if self._draw.random() < 0.5 else self._draw.randrange(USERS // 3)}"
                # Most tell of what has just happened, some of a while ago.
                at = time.time_ns() // 1_000_000 - (
                    self._draw.randrange(4000) if self._draw.random() < 0.1 else 0
                )
                self.count += 1
                self._visits[user] = self._visits.get(user, 0) + 1
                portion.append((user, track(user, format_time(at), self.count, "Visit")))
            await send(self._scene, portion)
            await asyncio.sleep(0.1)


async def told_silence(scene: Scene, workers: list[Worker], visits: int) -> Stories:
    """Wait until all is applied and everybody is told to be gone and no longer busy or eager; return what was told."""
    await applied(scene, workers, PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while True:
        told = await stories(scene)
        last = [changes[-1]["segments"] for changes in told.values()]
        if last and all(set(segments) <= {"gone", "settled"} and "gone" in segments for segments in last):
            return told
        assert all(worker.running for worker in workers)
        assert time.monotonic() < deadline, f"of {visits} visits: {last}"
        await asyncio.sleep(0.2)
