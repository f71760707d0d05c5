"""What moves the clock of a partition without records: how far its logs are read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.holdings import Holdings
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.log_watch import LogWatch
from segstream.adapters.vitals import Vitals
from segstream.inbox import Inbox
from segstream.runner import Owner, Pace, Runner
from tests.unit.flow.worlds import World

EVENTS, REROUTED = TopicPartition("events", 0), TopicPartition("segstream-rerouted", 0)


class Ends:
    """Knows where logs really end."""

    def __init__(self, ends: dict[TopicPartition, int]) -> None:
        self.ends = ends

    async def ask(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends."""
        return {there: self.ends[there] for there in logs}


class Consumer:
    """A member that has read so far, and is told ends without transactions that are not finished."""

    def __init__(self) -> None:
        self.positions, self.visible = {EVENTS: 5, REROUTED: 1}, {EVENTS: 5, REROUTED: 1}

    def assignment(self) -> set[TopicPartition]:
        """Return both logs."""
        return {EVENTS, REROUTED}

    async def position(self, there: TopicPartition) -> int:
        """Return the next offset."""
        return self.positions[there]

    async def end_offsets(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where unfinished transactions begin, or the ends."""
        return {there: self.visible[there] for there in logs}


async def test_no_timer_waits_for_an_unfinished_transaction_of_forwarded_records() -> None:
    """Of another worker, killed in the middle of it; but for what can be read of them, and for any of an input topic."""
    consumer, ends, holdings = Consumer(), Ends({EVENTS: 5, REROUTED: 3}), Holdings()
    holdings.member = cast("AIOKafkaConsumer", consumer)
    inbox = Inbox(["events", "segstream-rerouted"], rerouted="segstream-rerouted")
    runner = Runner(0, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace())
    holdings.runners[0], holdings.fetching = runner, {EVENTS, REROUTED}
    moments = iter((100, 200, 300, 400))
    watch = LogWatch(
        holdings, cast("LogEnds", ends), Vitals(lambda: 0.0), replay=False, now=lambda: next(moments)
    )
    await watch.look()
    assert runner.known_until == 100
    assert watch.read_all == {EVENTS}, "the lag is told as it is"
    consumer.visible[REROUTED] = 2
    await watch.look()
    assert runner.known_until == 100, "a forwarded record that can be read is not fetched yet"
    consumer.positions[REROUTED], ends.ends[EVENTS] = 2, 6
    await watch.look()
    assert runner.known_until == 100, "an input topic has something that cannot be read yet"
    consumer.positions[EVENTS] = 6
    await watch.look()
    assert runner.known_until == 400


OTHER, OTHERS_REROUTED = TopicPartition("events", 1), TopicPartition("segstream-rerouted", 1)


class Asked(Consumer):
    """A member of two partitions that is told the ends when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.positions |= {OTHER: 0, OTHERS_REROUTED: 1}
        self.visible |= {OTHERS_REROUTED: 1}
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    def assignment(self) -> set[TopicPartition]:
        """Return both partitions' logs."""
        return {EVENTS, REROUTED, OTHER, OTHERS_REROUTED}

    async def end_offsets(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Wait, and return them."""
        self.asked.set()
        await self.answer.wait()
        return await super().end_offsets(logs)


async def test_a_partition_that_starts_over_during_the_look_is_not_taken_for_read() -> None:
    """It goes back to what Redis holds: neither its clock nor another topic's records may pass what is fetched again."""
    consumer, holdings = Asked(), Holdings()
    ends = Ends({EVENTS: 5, REROUTED: 1, OTHER: 0, OTHERS_REROUTED: 3})
    holdings.member = cast("AIOKafkaConsumer", consumer)
    for number in (0, 1):
        inbox = Inbox(["events", "segstream-rerouted"], rerouted="segstream-rerouted")
        holdings.runners[number] = Runner(
            number, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace()
        )
    holdings.fetching = consumer.assignment()
    watch = LogWatch(holdings, cast("LogEnds", ends), Vitals(lambda: 0.0), replay=False, now=lambda: 100)
    async with asyncio.timeout(10):
        looking = asyncio.create_task(watch.look())
        await consumer.asked.wait()
        consumer.positions[EVENTS] = 3  # as `Membership.ready` seeks
        consumer.answer.set()
        await looking
    assert holdings.runners[0].known_until == 0, "records 3 and 4 are not fetched yet"
    assert EVENTS not in watch.read_all
    assert holdings.runners[1].known_until == 100
