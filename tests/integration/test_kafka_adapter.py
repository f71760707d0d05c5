"""Kafka as the worker meets it: groups, positions, topics, brokers that do not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.protocol.group import LeaveGroupRequest

from segstream.adapters.kafka.assignor import NumberAssignor
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import (
    GroupSettings,
    confirm_membership,
    hold,
    leave,
    make_consumer,
    poll,
    release,
    starting_offset,
)
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.kafka.publisher import MAX_RECORD_BYTES, KafkaPublisher
from segstream.adapters.kafka.topics import Topics as Names
from segstream.adapters.kafka.topics import check_topics, create_topics
from segstream.errors import LayoutError, PositionError, ServerError
from segstream.local.mock_kafka import MockKafka
from segstream.ports import OutRecord, Told
from tests.conftest import Topics

pytestmark = pytest.mark.integration


# Short, so that a rebalance takes no longer than a test wants to wait; a broker takes no less than 6 s for a session.
def quick(group: str) -> GroupSettings:
    """Return settings of a group in a hurry."""
    return GroupSettings(group=group, session_timeout_ms=6_000, heartbeat_ms=100)


class Holding(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Holds what is assigned, as the worker does, and keeps a record."""

    def __init__(self) -> None:
        self.told: list[tuple[str, set[int]]] = []
        self.consumer: AIOKafkaConsumer | None = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note it."""
        self.told.append(("revoked", {there.partition for there in revoked}))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold them and note it."""
        hold(self.consumer, assigned)
        self.told.append(("assigned", {there.partition for there in assigned}))


class Member:
    """A worker's place in the group, polling all the time."""

    def __init__(self, address: str, group: GroupSettings, topics: list[str]) -> None:
        self.assignor, self.listener = NumberAssignor(), Holding()
        self.consumer = make_consumer(KafkaSettings(address), group, topics, self.listener, self.assignor)
        self.listener.consumer = self.consumer

    async def run(self) -> None:
        """Join and poll."""
        await self.consumer.start()
        while True:
            await poll(self.consumer, timeout_ms=50, max_records=100)


@asynccontextmanager
async def members(
    address: str, group: GroupSettings, *subscriptions: list[str]
) -> AsyncIterator[list[Member]]:
    """Let one member for each list of topics join."""
    joining = [Member(address, group, topics) for topics in subscriptions]
    running = [asyncio.create_task(member.run()) for member in joining]
    try:
        yield joining
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError, ServerError):
                await task
        for member in joining:
            await leave(member.consumer)


async def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it did not become so in time"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def reader(address: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer outside of any group."""
    consumer = AIOKafkaConsumer(**KafkaSettings(address).consumer_kwargs("test"), group_id=None)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def writer(address: str, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer."""
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=transactional_id)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_members_share_numbers_of_all_topics_and_idle_ones_take_over(topics: Topics) -> None:
    """Three members on two numbers: the one without work gets it when another leaves, all topics of it."""
    names = [await topics.create("events", 2), await topics.create("crm", 2)]
    group = quick(topics.prefix)
    async with members(topics.address, group, names, names) as [one, two]:
        # Each has one: while the first still had both, a third that joins with the second could get the other.
        await until(lambda: {one.assignor.numbers, two.assignor.numbers} == {frozenset({0}), frozenset({1})})
        async with members(topics.address, group, names) as [idle]:
            await until(lambda: ("assigned", set()) in idle.listener.told)
            await one.consumer.stop()
            await until(
                lambda: idle.assignor.numbers | two.assignor.numbers == {0, 1} and bool(idle.assignor.numbers)
            )
            assert idle.consumer.assignment() == {
                TopicPartition(name, number) for name in names for number in idle.assignor.numbers
            }


async def test_every_rebalance_revokes_everything_and_assigns_anew(topics: Topics) -> None:
    """The listener is told of each rebalance, also of numbers that stay where they were."""
    names = [await topics.create("events", 2)]
    group = quick(topics.prefix)
    async with members(topics.address, group, names) as [first]:
        await until(lambda: first.assignor.numbers == {0, 1})
        async with members(topics.address, group, names):
            await until(lambda: len(first.listener.told) == 4)
    assert first.listener.told[:3] == [("revoked", set()), ("assigned", {0, 1}), ("revoked", {0, 1})]
    assert first.listener.told[3] == ("assigned", {0})


async def test_held_partitions_give_nothing_until_they_are_released(topics: Topics) -> None:
    """Between assignment and take-over no record is read, whatever offset the group has committed."""
    name = await topics.create("events")
    async with writer(topics.address) as producer:
        for number in range(3):
            await producer.send_and_wait(name, str(number).encode(), partition=0)
    there = TopicPartition(name, 0)
    member = Member(topics.address, quick(topics.prefix), [name])
    await member.consumer.start()
    try:
        assert await poll(member.consumer, timeout_ms=700, max_records=100) == {}
        release(member.consumer, there, 1)
        records = await poll(member.consumer, timeout_ms=5_000, max_records=100)
        assert [record.offset for record in records[there]] == [1, 2]
    finally:
        await member.consumer.stop()


async def test_a_member_put_out_of_the_group_is_not_confirmed_until_it_is_back(topics: Topics) -> None:
    """The coordinator, not the consumer's memory, says who owns a partition."""
    names = [await topics.create("events", 2)]
    async with members(topics.address, quick(topics.prefix), names) as [member]:
        await until(lambda: member.assignor.numbers == {0, 1})
        assert await confirm_membership(member.consumer)
        coordinator = member.consumer._coordinator  # a member cannot be put out by public means
        await coordinator._send_req(LeaveGroupRequest(topics.prefix, coordinator.member_id))
        assert not await confirm_membership(member.consumer)
        await until(lambda: len(member.listener.told) == 4)
        assert await confirm_membership(member.consumer)


async def test_membership_that_ended_for_good_is_an_error_and_no_cancellation(topics: Topics) -> None:
    """The driver's coordination can die cancelled and would cancel whoever polls; the service must be able to rejoin."""
    names = [await topics.create("events")]
    member = Member(topics.address, quick(topics.prefix), names)
    await member.consumer.start()
    coordination = member.consumer._coordinator._coordination_task  # what really happens takes a race to show
    coordination.cancel()
    await asyncio.wait({coordination})
    with pytest.raises(ServerError, match="join it anew"):
        await poll(member.consumer, timeout_ms=10, max_records=1)
    await leave(member.consumer)


@pytest.mark.parametrize("commits", [True, False])
async def test_a_position_reaches_the_end_only_when_a_transaction_has_ended(
    topics: Topics,
    commits: bool,  # noqa: FBT001 - parametrised
) -> None:
    """The clock rests on it: a record that arrived in an open transaction is waited for, its marker is passed."""
    name = await topics.create("events")
    there, ends = TopicPartition(name, 0), LogEnds(KafkaSettings(topics.address))
    async with writer(topics.address, topics.prefix) as producer, reader(topics.address) as consumer:
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"x", partition=0)
        consumer.assign([there])
        consumer.seek(there, 0)
        seen = (await consumer.getmany(timeout_ms=300)).get(there, [])
        assert await consumer.position(there) < (await ends.ask([there]))[there]
        # What the clock rests on for forwarded records: they are not waited for.
        assert (await consumer.end_offsets([there]))[there] == await consumer.position(there) == 0
        await (producer.commit_transaction() if commits else producer.abort_transaction())
        async with asyncio.timeout(10):
            while (
                await consumer.position(there) < (await ends.ask([there]))[there]
                or await consumer.position(there) < 2
            ):
                seen += (await consumer.getmany(timeout_ms=50)).get(there, [])
        assert [record.offset for record in seen] == ([0] if commits else [])
        assert await consumer.position(there) == 2
    await ends.close()


async def test_reading_begins_where_state_log_and_setting_say(topics: Topics) -> None:
    """After what was applied; on a first start at the beginning, the end, or a time."""
    name = await topics.create("events", config={"message.timestamp.type": "CreateTime"})
    there = TopicPartition(name, 0)
    async with writer(topics.address) as producer, reader(topics.address) as consumer:
        for second in range(5):
            await producer.send_and_wait(
                name, b"x", partition=0, timestamp_ms=1_700_000_000_000 + second * 1_000
            )

        async def start(applied: int | None, committed: int | None, start_from: str) -> int:
            return await starting_offset(consumer, there, applied, committed, start_from)

        assert await start(2, 1, "latest") == 3
        assert await start(4, 5, "earliest") == 5
        assert await start(None, None, "earliest") == 0
        assert await start(None, None, "latest") == 5
        assert await start(None, None, "2023-11-14T22:13:22Z") == 2
        assert await start(None, None, "2030-01-01T00:00:00Z") == 5


async def test_a_position_that_makes_no_sense_is_refused_naming_both_sides(topics: Topics) -> None:
    """State without its log, a log without its state, deleted records: an operator has to decide."""
    name = await topics.create("events")
    there = TopicPartition(name, 0)
    async with writer(topics.address) as producer, reader(topics.address) as consumer:
        for _ in range(3):
            await producer.send_and_wait(name, b"x", partition=0)
        with pytest.raises(
            PositionError,
            match=r"events-0: .* goes on at offset 10, but the log ends at 3.*--keep-state --to latest`",
        ):
            await starting_offset(consumer, there, 9, 10, "earliest")
        with pytest.raises(
            PositionError,
            match=r"no state, but .* up to offset 2.*`segstream reset --partition 0 --to earliest`",
        ):
            await starting_offset(consumer, there, None, 2, "earliest")
        await _delete_before(topics.address, there, 2)
        with pytest.raises(
            PositionError, match=r"goes on at offset 1, but the log begins at 2: 1 records were deleted"
        ):
            await starting_offset(consumer, there, 0, 1, "earliest")
        assert await starting_offset(consumer, there, 1, 2, "earliest") == 2


async def test_topics_are_created_once_and_then_pass_the_check(topics: Topics) -> None:
    """What `create_topics` makes is what `check_topics` wants, and nothing exists twice."""
    names = _names(topics)
    settings = KafkaSettings(topics.address)
    assert len(await create_topics(settings, names, 3)) == 8
    assert await create_topics(settings, names, 3) == []
    assert await check_topics(settings, names) == (3, ())


async def test_a_wrong_layout_is_told_in_one_line_that_names_every_topic(topics: Topics) -> None:
    """First all that are missing, then all that have another number of partitions."""
    names, settings = _names(topics), KafkaSettings(topics.address)
    await topics.create("events", 3)
    with pytest.raises(LayoutError) as missing:
        await check_topics(settings, names)
    assert all(name in str(missing.value) for name in (names.changes, names.samples, "crm"))
    await create_topics(settings, names, 2)
    with pytest.raises(LayoutError, match=r"events has 3, .*crm has 2, .*changes has 2"):
        await check_topics(settings, names)
    with pytest.raises(LayoutError, match=r"replication"):
        await create_topics(
            settings, Names(samples=f"{topics.prefix}other", **_others(names)), 2, replication_factor=3
        )


async def test_settings_that_are_not_as_recommended_are_warned_of(topics: Topics) -> None:
    """A producer's own time as arrival, or a log of answers that is not compacted, is possible but worth a line."""
    names = _names(topics)
    await topics.create("events", 2, {"message.timestamp.type": "CreateTime"})
    await topics.create("memberships", 2)
    await create_topics(KafkaSettings(topics.address), names, 2)
    layout = await check_topics(KafkaSettings(topics.address), names)
    assert layout.warnings == (
        f"topic {names.events[0]}: message.timestamp.type is CreateTime, LogAppendTime is recommended",
        f"topic {names.memberships}: cleanup.policy is delete, compact is recommended",
    )


async def test_the_embedded_broker_will_do_for_all_but_fencing() -> None:
    """The demo runs on it: topics, publishing and reading back what was told."""
    with MockKafka({"segstream-samples": 1}) as broker:
        settings = KafkaSettings(broker.address, check_crcs=False)
        assert len(await create_topics(settings, Names(), 4)) == 6
        layout = await check_topics(settings, Names())
        assert layout.partitions == 4
        owner = KafkaPublisher(3, settings)
        await owner.fence()
        for number in (1, 2):
            await owner.publish([OutRecord("segment-changes", b"a", b"v")], Told(1, 1, number))
        assert await owner.fence() == Told(1, 1, 2)
        await owner.close()


async def test_a_record_no_broker_takes_is_refused_before_anything_is_sent(topics: Topics) -> None:
    """It would hold its partition up for ever; the largest that is allowed goes through."""
    name = await topics.create("changes")
    published = await topics.create("published")
    owner = KafkaPublisher(0, KafkaSettings(topics.address), group=topics.prefix, published_topic=published)
    await owner.fence()
    with pytest.raises(ServerError, match="1000001 bytes"):
        await owner.publish([OutRecord(name, b"k", b"x" * MAX_RECORD_BYTES)], Told(1, 1, 1))
    await owner.publish([OutRecord(name, b"k", b"x" * (MAX_RECORD_BYTES - 1))] * 2, Told(1, 1, 1))
    await owner.close()


async def test_what_another_program_wrote_as_told_is_not_taken_for_it(topics: Topics) -> None:
    """Records under other keys are passed over, however many; one under ours that cannot be read is an error."""
    published = await topics.create("published")
    owner = KafkaPublisher(0, KafkaSettings(topics.address), group=topics.prefix, published_topic=published)
    await owner.fence()
    await owner.publish([], Told(1, 2, 3))
    async with writer(topics.address) as producer:
        for _ in range(300):
            await producer.send(published, b"?", key=b"another-0", partition=0)
        await producer.flush()
        assert await owner.fence() == Told(1, 2, 3)
        await producer.send_and_wait(published, b"?", key=f"{topics.prefix}-0".encode(), partition=0)
    with pytest.raises(ServerError, match=r"published-0, offset \d+: not a record of what was told"):
        await owner.fence()
    await owner.close()


async def test_a_broker_that_never_answers_is_given_up_in_time() -> None:
    """Taking over and closing end by themselves, leaving nothing behind."""
    released = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer_: asyncio.StreamWriter) -> None:
        await released.wait()
        writer_.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = "{}:{}".format(*server.sockets[0].getsockname())
    owner = KafkaPublisher(0, KafkaSettings(address), transaction_timeout_ms=300)
    before, started = asyncio.all_tasks(), time.monotonic()
    with pytest.raises(ServerError, match="no answer from Kafka in time"):
        await owner.fence()
    await owner.close()
    assert time.monotonic() - started < 3
    released.set()
    server.close()
    await server.wait_closed()
    await until(lambda: asyncio.all_tasks() <= before)


def _names(topics: Topics) -> Names:
    prefix = topics.prefix
    names = Names(
        events=(f"{prefix}events", f"{prefix}crm"),
        changes=f"{prefix}changes",
        memberships=f"{prefix}memberships",
        dead_letters=f"{prefix}dead",
        rerouted=f"{prefix}rerouted",
        published=f"{prefix}published",
        samples=f"{prefix}samples",
    )
    topics.created += [*names.co_partitioned, names.samples]
    return names


def _others(names: Names) -> dict[str, Any]:
    return {
        name: getattr(names, name)
        for name in ("events", "changes", "memberships", "dead_letters", "rerouted", "published")
    }


async def _delete_before(address: str, there: TopicPartition, offset: int) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # noqa: PLC0415

    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.delete_records({there: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()
