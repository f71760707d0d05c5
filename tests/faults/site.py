"""One input and two deployments over it: one that meets a fault, and one to which nothing happens."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from redis.exceptions import RedisClusterException, RedisError

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.topics import Topics, create_topics
from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.core.time import MINUTE, parse_time
from tests.checker import (
    Change,
    Stories,
    assert_resumed,
    assert_same,
    assert_same_states,
    check_everywhere,
    hashes_of,
    states_of,
    stories,
)
from tests.deployments import SHOP, orders
from tests.faults.seeds import draw_seed
from tests.simulation.verdict import KEPT_APART
from tests.workers import OUTPUTS, Scene, Worker, ends, progress, send

PATIENCE: Final = 150.0
"""Seconds for anything that takes a few on an idle machine: a hang's deadline."""

CALM: Final = 5 * MINUTE
"""Milliseconds from now in which nothing falls due when a scenario ends: what is told would depend on when one looks."""

SESSION: Final = "6s"
"""The shortest that brokers allow unless told otherwise."""

SLOWLY: Final = {"batch": 20, "publish_interval": 10}
"""Many commits and transactions, so that what happens to a worker happens in the middle of one."""


class Site:
    """Where a scenario takes place.

    Parameters
    ----------
    kafka, redis : str
        Servers of the deployment that meets the fault, as its workers reach them unless told otherwise.
    calm_redis : str
        Of the other one; it shares the Kafka, and works when all is over.
    folder : Path
        For the definitions.
    partitions, topics : int
        N, and how many input topics.
    replication : int
        Of each topic.
    definitions : str
        By which both decide.

    Attributes
    ----------
    scene, calm : Scene
        The two deployments.
    where : RedisSettings or None
        How to reach the Redis of the first one, if not by the scene's URL.
    seed : int
        By which the events are drawn, see `seeds`.
    sent : int
        Events so far.
    """

    def __init__(
        self,
        kafka: str,
        redis: str,
        calm_redis: str,
        folder: Path,
        *,
        partitions: int = 2,
        topics: int = 1,
        replication: int = 1,
        definitions: str = SHOP,
    ) -> None:
        prefix = f"test-{uuid.uuid4().hex[:12]}-"
        inputs = tuple(f"{prefix}events-{number}" for number in range(topics))
        self.scene = Scene(kafka, redis, f"{prefix}disturbed-", inputs, partitions)
        self.calm = Scene(kafka, calm_redis, f"{prefix}calm-", inputs, partitions)
        self.where: RedisSettings | None = None
        self.definitions = folder / "shop.yaml"
        self.definitions.write_text(definitions)
        self.seed, self.sent, self._replication = draw_seed(), 0, replication

    async def open(self, *, arrivals: str = "LogAppendTime") -> Site:
        """Create the topics of both deployments; with ``CreateTime`` whoever sends an event says when it arrived."""
        administrator = AIOKafkaAdminClient(bootstrap_servers=self.scene.kafka)
        await administrator.start()
        try:
            config = {"message.timestamp.type": arrivals}
            await administrator.create_topics(
                [
                    NewTopic(name, self.scene.partitions, self._replication, topic_configs=config)
                    for name in self.scene.events
                ]
            )
        finally:
            await administrator.close()
        for scene in (self.scene, self.calm):
            names = {name: scene.topic(name) for name in OUTPUTS}
            topics = Topics(events=scene.events, **names)
            await create_topics(
                KafkaSettings(scene.kafka), topics, scene.partitions, replication_factor=self._replication
            )
        return self

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the settings of a worker that meets the fault: many small batches, a short session."""
        return self.scene.environment(self.definitions, **(SLOWLY | {"session_timeout": SESSION} | settings))

    def prefix_of(self, topic: int) -> str:
        """Return what the ids of a topic's users begin with: in which order two topics are read is not promised."""
        return "u" if topic == 0 else f"t{topic}-"

    async def feed(self, count: int) -> None:
        """Send so many events, evenly to all topics."""
        for number, topic in enumerate(self.scene.events):
            portion = orders(
                count // len(self.scene.events),
                seed=self.seed + self.sent,
                first=self.sent,
                prefix=self.prefix_of(number),
            )
            await send(self.scene, portion, topic)
        self.sent += count

    @asynccontextmanager
    async def load(self, portion: int = 40, every: float = 0.2) -> AsyncIterator[None]:
        """Send events again and again meanwhile; what Kafka does not take is nobody's loss, both would miss it."""
        over = asyncio.Event()

        async def go() -> None:
            while not over.is_set():
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self.feed(portion)
                except (KafkaError, OSError):
                    self.sent += portion
                await asyncio.sleep(every)

        task = asyncio.create_task(go())
        try:
            yield
        finally:
            over.set()
            await task

    async def applied(
        self,
        *workers: Worker,
        least: int = 0,
        scene: Scene | None = None,
    ) -> None:
        """Wait until so many records are applied, or all of them, told and in the read model.

        Parameters
        ----------
        *workers : Worker
            Those that must not end meanwhile.
        least : int
            Records; 0 for all.
        scene : Scene, optional
            The disturbed one by default.
        """
        scene = scene or self.scene
        wanted = await ends(scene, scene.events)
        client: Any = self._connect(scene)
        deadline = time.monotonic() + PATIENCE
        try:
            while True:
                outbox: int | str
                try:
                    done, outbox = await progress(scene, client, wanted)
                except (RedisError, RedisClusterException, OSError) as error:
                    done, outbox = -1, f"not known ({error})"
                if done >= (least or sum(wanted.values())) and (least or outbox == 0):
                    return
                for worker in workers:
                    assert worker.running, f"a worker ended:\n{worker.log[-3000:]}"
                assert time.monotonic() < deadline, (
                    f"{done} of {sum(wanted.values())} applied, outboxes: {outbox}"
                )
                await asyncio.sleep(0.05)
                if sum(wanted.values()) < least:  # not sent yet
                    wanted = await ends(scene, scene.events)
        finally:
            await client.aclose()

    async def at_rest(self, worker: Worker, scene: Scene | None = None) -> None:
        """Wait until all deadlines there are have been met and told; later ones than `CALM` from now may wait on."""
        scene = scene or self.scene
        client = self._connect(scene)
        keys = [f"{scene.prefix}state:{{{number}}}" for number in range(scene.partitions)]
        deadline = time.monotonic() + PATIENCE
        try:
            while True:
                until_when = time.time_ns() // 1_000_000 + CALM
                due = [await client.zcount(f"{key}:timers", "-inf", until_when) for key in keys]
                untold = [await client.xlen(f"{key}:outbox") for key in keys]
                if not sum(due) + sum(untold):
                    return
                assert worker.running, f"the worker ended:\n{worker.log[-3000:]}"
                assert time.monotonic() < deadline, f"deadlines not met: {due}; not told: {untold}"
                await asyncio.sleep(0.1)
        finally:
            await client.aclose()

    def _connect(self, scene: Scene) -> Any:
        return connect((self.where if scene is self.scene else None) or scene.redis)

    async def position(self) -> int:
        """Return how many records are applied now."""
        client: Any = self._connect(self.scene)
        try:
            done, _ = await progress(self.scene, client, await ends(self.scene, self.scene.events))
        finally:
            await client.aclose()
        return done

    async def undisturbed(self) -> Stories:
        """Let one worker read all of it in peace; return what it told."""
        with Worker(self.calm.environment(self.definitions)) as worker:
            await self.applied(worker, scene=self.calm)
            await self.at_rest(worker, self.calm)
            assert await asyncio.to_thread(worker.stop) == 0
        return await stories(self.calm)

    async def check_same(self) -> Stories:
        """Check that both told the same, give the same answers everywhere and know the same; return what was told.

        Sequences run 1, 2, 3 …, in the first incarnation: nothing published was lost.
        """
        return await self._check(assert_same, ())

    async def check_after_loss(self) -> Stories:
        """Check what holds when Redis has lost something published; return what was told.

        Every user ends in the same segments, since and until the same times, as if nothing had happened; sequences run
        1, 2, 3 … within each incarnation, which tells what the undisturbed told, from some point on; every place gives
        the same answer; and of each user is known what an undisturbed worker knows.
        """
        return await self._check(assert_resumed, KEPT_APART)

    async def _check(self, compare: Callable[[Stories, Stories], None], apart: Collection[str]) -> Stories:
        """Compare what both told, and check the answers everywhere, against each other and the undisturbed ones.

        So are users' states, but for the fields ``apart``.
        """
        undisturbed = await self.undisturbed()
        told = await stories(self.scene)
        assert told
        compare(told, undisturbed)
        calm = await hashes_of(self.calm)
        since = {
            user: {name: parse_time(stay["since"]) for name, stay in held_in(answer).items()}
            for user, answer in calm.items()
        }
        await check_everywhere(self.scene, told, self.where, since)
        assert _answers(await hashes_of(self.scene, self.where)) == _answers(calm)
        states = await states_of(self.scene, self.where)
        assert states.keys() >= told.keys()
        assert_same_states(states, await states_of(self.calm), apart)
        return told


def _answers(hashes: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return segments and features of those who have any; what counts is checked against the changes."""
    found = {
        user: {name: value for name, value in each.items() if name.startswith(("s:", "f:"))}
        for user, each in hashes.items()
    }
    return {user: each for user, each in found.items() if each}


def held_in(answer: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the segments of a user's hash, as the compacted topic has them."""
    return {name[2:]: json.loads(stay) for name, stay in answer.items() if name.startswith("s:")}


async def until(true: Callable[[], object], what: str, workers: Sequence[Worker] = ()) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        logs = "\n".join(worker.log[-3000:] for worker in workers)
        assert all(worker.running for worker in workers), f"a worker ended:\n{logs}"
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}\n{logs}"
        await asyncio.sleep(0.05)


async def until_logged(worker: Worker, text: str, count: int = 1) -> None:
    """Wait until a worker has logged something so many times."""
    await until(lambda: worker.log.count(text) >= count, f"{count} times {text} in the log", [worker])


def logged(worker: Worker, event: str) -> list[Change]:
    """Return the log's records of an event."""
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]
