"""The fenced way out: the same claims for Kafka and for its twin in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.memory.log import MemoryLog, MemoryPublisher
from segstream.errors import Fenced, ServerError
from segstream.ports import NOTHING_TOLD, OutRecord, Publisher, Told
from tests.conftest import Topics

Act = Callable[[], Awaitable[None]]
CHANGES, MEMBERSHIPS = "changes", "memberships"
FIRST, SECOND = Told(1, 1, 1), Told(1, 1, 2)


class CrashError(Exception):
    """What a test raises to end a worker at a place."""


async def crash() -> None:
    """End the worker here."""
    raise CrashError


async def go_on() -> None:
    """Do not interfere."""


class World(Protocol):
    """A Kafka, real or in memory."""

    def owner(
        self,
        partition: int = 0,
        *,
        group: str = "",
        before_commit: Act = go_on,
        after_commit: Act = go_on,
    ) -> Publisher:
        """Return a new owner of a partition number; what it calls around its commit may wait or crash.

        Those of another ``group`` share the topics.
        """
        ...

    def change(self, key: str, value: str | None = "v", topic: str = CHANGES) -> OutRecord:
        """Return a record for one of this world's topics."""
        ...

    async def seen(
        self, topic: str = CHANGES, partition: int = 0, *, settled: bool = True
    ) -> list[tuple[str, str | None]]:
        """Return keys and values as a `read_committed` consumer sees them, once every transaction has `settled`."""
        ...

    async def headers(self, topic: str = CHANGES, partition: int = 0) -> list[list[tuple[str, bytes]]]:
        """Return the headers of the same."""
        ...


class MemoryWorld:
    """In memory."""

    def __init__(self) -> None:
        self._log = MemoryLog()

    def owner(
        self,
        partition: int = 0,
        *,
        group: str = "",
        before_commit: Act = go_on,
        after_commit: Act = go_on,
    ) -> Publisher:
        """Return a new owner."""
        acts = {"commit": before_commit, "reply": after_commit}

        async def hook(step: str) -> None:
            await acts.get(step, go_on)()

        return MemoryPublisher(partition, self._log, group=f"segstream{group}", hook=hook)

    def change(self, key: str, value: str | None = "v", topic: str = CHANGES) -> OutRecord:
        """Return a record."""
        return OutRecord(topic, key.encode(), None if value is None else value.encode())

    async def seen(
        self, topic: str = CHANGES, partition: int = 0, *, settled: bool = True
    ) -> list[tuple[str, str | None]]:
        """Return what is committed; here everything settles at once."""
        del settled
        view = self._log.consumers_view(topic, partition)
        return [
            (record.key.decode(), None if record.value is None else record.value.decode()) for record in view
        ]

    async def headers(self, topic: str = CHANGES, partition: int = 0) -> list[list[tuple[str, bytes]]]:
        """Return the headers of what is committed."""
        return [list(record.headers) for record in self._log.consumers_view(topic, partition)]


class ActingPublisher(KafkaPublisher):
    """Does what the test wants around its commit; only there can a test know what Kafka holds."""

    before_commit: Act
    after_commit: Act

    async def fence(self) -> Told:
        """Fence, then get between the publisher and its producer."""
        told = await super().fence()
        commit = self._producer.commit_transaction  # type: ignore[union-attr]  # there after a fence

        async def acting() -> None:
            await self.before_commit()
            await commit()
            await self.after_commit()

        self._producer.commit_transaction = acting  # type: ignore[union-attr]  # as above
        return told


class KafkaWorld:
    """Apache Kafka."""

    def __init__(self, topics: Topics) -> None:
        self._settings, self._prefix = KafkaSettings(topics.address), topics.prefix
        self._ends = LogEnds(self._settings)
        self._owners: list[KafkaPublisher] = []

    def owner(
        self,
        partition: int = 0,
        *,
        group: str = "",
        before_commit: Act = go_on,
        after_commit: Act = go_on,
    ) -> Publisher:
        """Return a new owner."""
        owner = ActingPublisher(
            partition, self._settings, group=self._prefix + group, published_topic=f"{self._prefix}published"
        )
        owner.before_commit, owner.after_commit = before_commit, after_commit
        self._owners.append(owner)
        return owner

    def change(self, key: str, value: str | None = "v", topic: str = CHANGES) -> OutRecord:
        """Return a record."""
        return OutRecord(self._prefix + topic, key.encode(), None if value is None else value.encode())

    async def seen(
        self, topic: str = CHANGES, partition: int = 0, *, settled: bool = True
    ) -> list[tuple[str, str | None]]:
        """Read the log from its beginning to its end."""
        return [
            (record.key.decode(), None if record.value is None else record.value.decode())
            for record in await self._read(topic, partition, settled=settled)
        ]

    async def headers(self, topic: str = CHANGES, partition: int = 0) -> list[list[tuple[str, bytes]]]:
        """Read the log likewise."""
        return [list(record.headers) for record in await self._read(topic, partition, settled=True)]

    async def _read(self, topic: str, partition: int, *, settled: bool) -> list[Any]:
        # A commit is acknowledged before its records can be read; only what is uncommitted shows that they come.
        ends = self._ends if settled else None
        there = TopicPartition(self._prefix + topic, partition)
        consumer = AIOKafkaConsumer(**self._settings.consumer_kwargs("test"), group_id=None)
        await consumer.start()
        try:
            consumer.assign([there])
            consumer.seek(there, 0)
            records: list[Any] = []
            end = (await (ends.ask([there]) if ends else consumer.end_offsets([there])))[there]
            while await consumer.position(there) < end:
                records += (await consumer.getmany(there, timeout_ms=100)).get(there, [])
        finally:
            await consumer.stop()
        return records

    async def close(self) -> None:
        """Let go of what was opened."""
        await self._ends.close()
        for owner in self._owners:
            await owner.close()


@pytest.fixture
def memory_world() -> World:
    """Everything in memory."""
    return MemoryWorld()


@pytest.fixture
async def kafka_world(topics: Topics) -> AsyncIterator[World]:
    """Everything in topics of this test's own."""
    for name in (CHANGES, MEMBERSHIPS):
        await topics.create(name, 2)
    await topics.create("published", 2, {"cleanup.policy": "compact"})
    kafka = KafkaWorld(topics)
    yield kafka
    await kafka.close()


@pytest.fixture(params=["memory_world", pytest.param("kafka_world", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> World:
    """Every claim is made of both."""
    there: World = request.getfixturevalue(request.param)
    return there


async def test_at_first_nothing_was_told(world: World) -> None:
    """A partition that nobody has published for starts from nothing."""
    assert await world.owner().fence() == NOTHING_TOLD


async def test_the_next_owner_reads_what_was_told_last(world: World) -> None:
    """Whoever takes over knows how far its predecessor got."""
    first = world.owner()
    await first.fence()
    await first.publish([world.change("a")], FIRST)
    await first.publish([world.change("b")], SECOND)
    assert await world.owner().fence() == SECOND


async def test_an_owner_may_start_over(world: World) -> None:
    """Fencing again is how an owner goes on after an error; it reads its own last word."""
    owner = world.owner()
    await owner.fence()
    await owner.publish([world.change("a")], FIRST)
    assert await owner.fence() == FIRST
    await owner.publish([world.change("b")], SECOND)
    assert await world.seen() == [("a", "v"), ("b", "v")]


async def test_a_fenced_owner_publishes_nothing(world: World) -> None:
    """A zombie that wakes up after its successor took over is refused, and nothing of it is ever seen."""
    zombie, successor = world.owner(), world.owner()
    await zombie.fence()
    await zombie.publish([world.change("a")], FIRST)
    await successor.fence()
    with pytest.raises(Fenced):
        await zombie.publish([world.change("zombie")], SECOND)
    await successor.publish([world.change("b")], SECOND)
    assert await world.seen() == [("a", "v"), ("b", "v")]


async def test_an_owner_fenced_in_the_middle_of_a_transaction_commits_nothing(world: World) -> None:
    """A zombie frozen when all was sent but the commit cannot finish what it began."""
    frozen, thawed = asyncio.Event(), asyncio.Event()

    async def freeze() -> None:
        frozen.set()
        await thawed.wait()

    zombie, successor = world.owner(before_commit=freeze), world.owner()
    await zombie.fence()
    publishing = asyncio.create_task(zombie.publish([world.change("zombie")], FIRST))
    await frozen.wait()
    assert await successor.fence() == NOTHING_TOLD
    await successor.publish([world.change("b")], FIRST)
    thawed.set()
    with pytest.raises(Fenced):
        await publishing
    assert await world.seen() == [("b", "v")]
    assert await world.owner().fence() == FIRST


async def test_a_transaction_left_open_was_never_told(world: World) -> None:
    """A worker dies between sending and committing: what was told last is what was told before."""
    owner = world.owner()
    await owner.fence()
    await owner.publish([world.change("a")], FIRST)
    await owner.close()
    dying = world.owner(before_commit=crash)
    await dying.fence()
    with pytest.raises(CrashError):
        await dying.publish([world.change("lost")], SECOND)
    assert await world.owner().fence() == FIRST
    assert await world.seen() == [("a", "v")]


async def test_many_transactions_left_open_do_not_hide_what_was_told(world: World) -> None:
    """Aborted records at the end of the log are passed over, however many."""
    owner = world.owner()
    await owner.fence()
    await owner.publish([], FIRST)
    for _ in range(10):
        dying = world.owner(before_commit=crash)
        assert await dying.fence() == FIRST
        with pytest.raises(CrashError):
            await dying.publish([], SECOND)
        await dying.close()
    assert await world.owner().fence() == FIRST


async def test_a_commit_whose_reply_was_lost_was_told(world: World) -> None:
    """The owner does not know, so it must ask before it says anything else; the log does know."""
    owner = world.owner(after_commit=crash)
    await owner.fence()
    with pytest.raises(CrashError):
        await owner.publish([world.change("a")], FIRST)
    with pytest.raises(ServerError, match="fence first"):
        await owner.publish([world.change("a")], FIRST)
    assert await owner.fence() == FIRST
    assert await world.seen() == [("a", "v")]


async def test_records_appear_together_in_order_and_only_when_all_is_told(world: World) -> None:
    """Until the commit nobody sees anything of a publication; then everything, in order, in every topic."""
    seen_before: list[tuple[str, str | None]] = []

    async def look() -> None:
        seen_before.extend(await world.seen(settled=False))
        seen_before.extend(await world.seen(MEMBERSHIPS, settled=False))

    owner = world.owner(before_commit=look)
    await owner.fence()
    changes = [world.change("a", "1"), world.change("b", "1"), world.change("a", "2")]
    answers = [world.change("a", "in", MEMBERSHIPS), world.change("b", None, MEMBERSHIPS)]
    await owner.publish([changes[0], answers[0], changes[1], answers[1], changes[2]], FIRST)
    assert seen_before == []
    assert await world.seen() == [("a", "1"), ("b", "1"), ("a", "2")]
    assert await world.seen(MEMBERSHIPS) == [("a", "in"), ("b", None)]


async def test_two_thousand_records_of_three_megabytes_fit_into_one_publication(world: World) -> None:
    """More than any one request or batch takes still is one transaction, in order."""
    owner = world.owner()
    await owner.fence()
    await owner.publish([world.change(f"{number:05d}", "x" * 1_500) for number in range(2_000)], FIRST)
    assert [key for key, _ in await world.seen()] == [f"{number:05d}" for number in range(2_000)]


async def test_a_publication_without_records_still_tells(world: World) -> None:
    """Entries of the outbox may hold nothing to publish; that they are done is told all the same."""
    owner = world.owner()
    await owner.fence()
    await owner.publish([], FIRST)
    assert await world.owner().fence() == FIRST


async def test_records_for_other_partitions_go_there_in_the_same_transaction(world: World) -> None:
    """With their headers, in order; nothing of them is seen when it is not committed."""
    owner = world.owner(before_commit=crash)
    await owner.fence()
    there = world.change("lost")._replace(partition=1, headers=[("a", b"1")])
    with pytest.raises(CrashError):
        await owner.publish([there], FIRST)
    owner = world.owner()
    await owner.fence()
    records = [world.change(f"k{number}")._replace(partition=number % 2) for number in range(6)]
    await owner.publish([each._replace(headers=[("from", each.key)]) for each in records], FIRST)
    for partition in range(2):
        assert await world.seen(partition=partition) == [
            (f"k{number}", "v") for number in range(partition, 6, 2)
        ]
        assert await world.headers(partition=partition) == [
            [("from", f"k{number}".encode())] for number in range(partition, 6, 2)
        ]


async def test_partitions_do_not_fence_one_another(world: World) -> None:
    """Each partition number has its own owner, its own log and its own last word."""
    zero, one = world.owner(0), world.owner(1)
    await zero.fence()
    await one.fence()
    await zero.publish([world.change("a")], FIRST)
    await one.publish([world.change("b")], SECOND)
    assert (await world.seen(partition=0), await world.seen(partition=1)) == ([("a", "v")], [("b", "v")])
    assert await world.owner(0).fence() == FIRST


async def test_a_transaction_of_another_group_does_not_hide_what_was_told(world: World) -> None:
    """Both tell on one topic: whoever takes over reads its own last word, also when that lies behind an open one."""
    owner = world.owner()
    await owner.fence()
    await owner.publish([], FIRST)
    other = world.owner(group="other", before_commit=crash)
    assert await other.fence() == NOTHING_TOLD
    with pytest.raises(CrashError):
        await other.publish([], FIRST)
    for number in range(2, 30):  # more than is looked at first
        await owner.publish([], Told(1, 1, number))
    fencing = asyncio.create_task(world.owner().fence())
    await asyncio.wait({fencing}, timeout=1)
    assert await world.owner(group="other").fence() == NOTHING_TOLD  # ends it
    assert await fencing == Told(1, 1, 29)


async def test_a_closed_owner_must_fence_again(world: World) -> None:
    """Closing leaves nothing half done and nothing usable."""
    owner = world.owner()
    await owner.fence()
    await owner.close()
    await owner.close()
    with pytest.raises(ServerError):
        await owner.publish([], FIRST)
