"""Visits of today, whose silence is told while a scenario lasts: unlike orders of long ago, they have live deadlines."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer

from segstream.adapters.redis.connection import connect
from segstream.core.partitioning import murmur2
from segstream.core.time import format_time
from tests.faults.site import until
from tests.workers import Scene, Worker, track

FORWARD: Final = signal.SIGUSR1
BACK: Final = signal.SIGUSR2
"""What steps the clock of a worker with the failpoint ``clock:…``."""


class Visit(NamedTuple):
    """One of them.

    Parameters
    ----------
    user : str
    at : int
        When, in ms.
    number : int
        Its own.
    arrived : int or None
        When it arrived, where Kafka does not say so itself.
    """

    user: str
    at: int
    number: int
    arrived: int | None = None


def now() -> int:
    """Return the right time in ms."""
    return time.time_ns() // 1_000_000


class Visits:
    """Sends them.

    Parameters
    ----------
    scene : Scene
        Whose input to send to.
    seed : int
        Decides who comes when.
    users : int
        How many may come.
    """

    def __init__(self, scene: Scene, seed: int, users: int = 60) -> None:
        self._scene, self._draw, self.users = scene, random.Random(seed), users
        self.count = 0

    def drawn(self, count: int, begin: int, end: int) -> list[Visit]:
        """Return visits by chance, in order of time, from one moment (ms) to another; each arrives as it happens."""
        moments = sorted(self._draw.randrange(begin, end) for _ in range(count))
        return [self.one(self._draw.randrange(self.users), at) for at in moments]

    def one(self, user: int, at: int) -> Visit:
        """Return a user's visit at a moment (ms), when it also arrives."""
        self.count += 1
        return Visit(f"u{user:04d}", at, self.count, at)

    async def send(self, visits: Iterable[Visit]) -> None:
        """Send them in this order; when they arrived counts where the topic takes that from who sends."""
        producer = AIOKafkaProducer(bootstrap_servers=self._scene.kafka, linger_ms=20)
        await producer.start()
        try:
            for visit in visits:
                await producer.send(
                    self._scene.events[0],
                    track(visit.user, format_time(visit.at), f"u-{visit.number}", "Visit"),
                    visit.user.encode(),
                    partition=murmur2(visit.user.encode(), self._scene.partitions),
                    timestamp_ms=visit.arrived,
                )
            await producer.flush()
        finally:
            await producer.stop()

    async def go_on(self, seconds: float) -> None:
        """Let ten come every tenth of a second, most of whom tell at once; one in ten a while late."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            late = [self._draw.randrange(4_000) if self._draw.random() < 0.1 else 0 for _ in range(10)]
            # A third of the users come all the time, the others now and then.
            frequent = self.users // 3
            await self.send(
                self.one(
                    self._draw.randrange(self.users if self._draw.random() < 0.5 else frequent), now() - by
                )
                for by in late
            )
            await asyncio.sleep(0.1)


async def step_at_start(worker: Worker, number: signal.Signals) -> None:
    """Step a worker's clock as soon as that can be: before it has asked for the time to go by it."""
    status = Path(f"/proc/{worker.child.pid}/status")
    await until(
        lambda: any(
            int(line.split()[1], 16) >> (number - 1) & 1
            for line in status.read_text().splitlines()
            if line.startswith("SigCgt:")
        ),
        "the worker listens to the signal",
        [worker],
    )
    os.kill(worker.child.pid, number)


async def clocks_of(scene: Scene) -> list[int]:
    """Return the clock of each partition, in ms."""
    client: Any = connect(scene.redis)
    try:
        return [
            int(await client.hget(f"{scene.prefix}state:{{{number}}}:meta", "clock"))
            for number in range(scene.partitions)
        ]
    finally:
        await client.aclose()
