"""Workers as processes of their own, what is sent to them, and what consumers see of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from segstream.core.partitioning import murmur2
from segstream.local.process import Child
from tests.leaks import look
from tests.redis_users import worker_url

OUTPUTS = ("changes", "memberships", "dead_letters", "rerouted", "published", "samples")


class Scene(NamedTuple):
    """One deployment: topics, group and keys of a test's own.

    Parameters
    ----------
    kafka, redis : str
        Addresses of the servers; what is run with `environment` comes into Redis with a worker's rights only.
    prefix : str
        What topics, group and keys begin with.
    events : tuple of str
        Input topics.
    partitions : int
        N.
    """

    kafka: str
    redis: str
    prefix: str
    events: tuple[str, ...]
    partitions: int

    def topic(self, name: str) -> str:
        """Return the full name of an output topic, such as ``changes``."""
        return f"{self.prefix}{name}"

    def environment(self, definitions: Path, **settings: object) -> dict[str, str]:
        """Return the settings of a worker of this deployment as environment variables."""
        own = {
            "kafka": self.kafka,
            "redis": worker_url(self.redis),
            "redis_prefix": f"{self.prefix}state",
            "segments_prefix": f"{self.prefix}segments",
            "group": f"{self.prefix}group",
            "topics": ",".join(self.events),
            "definitions": definitions,
            "web_port": 0,
            "log_format": "json",
            **{f"topic_{name}": self.topic(name) for name in OUTPUTS},
            **settings,
        }
        return {f"SEGSTREAM_{name.upper()}": str(value) for name, value in own.items()}


class Worker:
    """A worker process.

    Parameters
    ----------
    environment : mapping
        Its settings.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        # Output goes to a file: a pipe that nobody reads would stop the worker.
        self._log = tempfile.NamedTemporaryFile(prefix="segstream-worker-", suffix=".log")  # noqa: SIM115
        self._child: Child | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._child = Child(
            [sys.executable, "-m", "segstream", "worker"], Path(self._log.name), self._environment
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it if it still runs."""
        self.child.kill()
        if error is not None:
            print(f"--- log of worker {self.child.pid}\n{self.log[-6000:]}", file=sys.stderr)  # noqa: T201
        look(self.log, f"logged by worker {self.child.pid}", log=True)
        self._log.close()

    @property
    def child(self) -> Child:
        """The process."""
        assert self._child is not None
        return self._child

    @property
    def log(self) -> str:
        """What it has logged."""
        return Path(self._log.name).read_text()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.child.exit_code is None

    def stop(self, seconds: float = 30) -> int | None:
        """Ask it to drain and end, and return its exit code; None if it still runs after so long."""
        os.kill(self.child.pid, signal.SIGTERM)
        return self.child.wait(seconds)

    def cpu_seconds(self) -> float:
        """Return user and system time so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def track(user: str, at: str, message: object, name: str = "Order Completed", **properties: object) -> bytes:
    """Return a track event as JSON."""
    document = {
        "type": "track", "event": name, "userId": user, "timestamp": at, "messageId": str(message), "properties": properties,
    }  # fmt: skip
    return orjson.dumps(document)


async def send(
    scene: Scene,
    events: Iterable[tuple[str, bytes]],
    topic: str | None = None,
    *,
    clock: int | None = None,
) -> None:
    """Send (user, value) pairs keyed and placed by user, then, if asked, the record that moves a replay's clock.

    Parameters
    ----------
    scene : Scene
    events : iterable of (str, bytes)
        In this order within each partition.
    topic : str, optional
        Input topic; the first by default.
    clock : int, optional
        Milliseconds.
    """
    topic = topic or scene.events[0]
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka, linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    try:
        batches = {number: producer.create_batch() for number in range(scene.partitions)}
        for user, value in events:
            key = user.encode()
            number = murmur2(key, scene.partitions)
            if batches[number].append(timestamp=None, key=key, value=value) is None:
                await producer.send_batch(batches[number], topic, partition=number)
                batches[number] = producer.create_batch()
                batches[number].append(timestamp=None, key=key, value=value)
        for number, batch in batches.items():
            if batch.record_count():
                await producer.send_batch(batch, topic, partition=number)
        if clock is not None:
            headers = [("segstream-clock", str(clock).encode())]
            for number in range(scene.partitions):
                await producer.send(topic, b"", partition=number, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


async def ends(scene: Scene, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """Return the end of each partition of ``topics``."""
    consumer = AIOKafkaConsumer(bootstrap_servers=scene.kafka, group_id=None)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for topic in topics for number in range(scene.partitions)]
        found: dict[TopicPartition, int] = await consumer.end_offsets(parts)
        return found
    finally:
        await consumer.stop()


async def progress(scene: Scene, client: Redis, wanted: Mapping[TopicPartition, int]) -> tuple[int, int]:
    """Return how many records of the input, up to ``wanted``, are applied, and how many outbox entries are left."""
    done = 0
    for there, end in wanted.items():
        offset = await client.hget(f"{scene.prefix}state:{{{there.partition}}}:meta", f"offset:{there.topic}")
        done += min(int(-1 if offset is None else offset) + 1, end)
    numbers = range(scene.partitions)
    return done, sum([await client.xlen(f"{scene.prefix}state:{{{number}}}:outbox") for number in numbers])


async def applied(scene: Scene, workers: Sequence[Worker], seconds: float, *, share: float = 1.0) -> None:
    """Wait until this share of all input has been applied and, for all of it, the outboxes are empty.

    Fails at the deadline, or as soon as one of ``workers`` has ended.
    """
    wanted = await ends(scene, scene.events)
    client = Redis.from_url(scene.redis)
    deadline = time.monotonic() + seconds
    try:
        while True:
            done, outbox = await progress(scene, client, wanted)
            if done >= share * sum(wanted.values()) and (share < 1 or outbox == 0):
                return
            for worker in workers:
                assert worker.running, f"a worker ended:\n{worker.log[-3000:]}"
            assert time.monotonic() < deadline, (
                f"{done} of {sum(wanted.values())} applied, {outbox} in outboxes"
            )
            await asyncio.sleep(0.05)
    finally:
        await client.aclose()


async def read_all(scene: Scene, topic: str) -> list[list[Any]]:
    """Return the records of each partition that a ``read_committed`` consumer sees, in order."""
    wanted = await ends(scene, [topic])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.kafka,
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        consumer.assign(list(wanted))
        await consumer.seek_to_beginning()
        found: list[list[Any]] = [[] for _ in range(scene.partitions)]
        deadline = time.monotonic() + 30
        while [there for there, end in wanted.items() if await consumer.position(there) < end]:
            for there, records in (await consumer.getmany(timeout_ms=200, max_records=5000)).items():
                found[there.partition].extend(records)
            assert time.monotonic() < deadline, f"cannot read {topic} to its end: a transaction was left open"
        return found
    finally:
        await consumer.stop()
