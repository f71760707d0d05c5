"""What moves the clock of a partition without records: how far its logs are read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import LeaderNotAvailableError

from segstream.adapters.holdings import Holdings
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.log_watch import LogWatch
from segstream.adapters.vitals import Vitals
from segstream.errors import SegstreamError, ServerError
from segstream.inbox import Inbox
from segstream.runner import Owner, Pace, Runner
from tests.unit.flow.worlds import World

EVENTS, REROUTED = TopicPartition("events", 0), TopicPartition("segstream-rerouted", 0)


class Ends:
    """Knows where logs really end."""

    def __init__(self, ends: dict[TopicPartition, int]) -> None:
        self.ends, self.silent = ends, dict[int, SegstreamError]()

    async def ask(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends of those that are not silent."""
        return {there: self.ends[there] for there in logs if there.partition not in self.silent}


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
        holdings, cast("LogEnds", ends), Vitals(lambda: 0.0), (), replay=False, now=lambda: next(moments)
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
    watch = LogWatch(holdings, cast("LogEnds", ends), Vitals(lambda: 0.0), (), replay=False, now=lambda: 100)
    async with asyncio.timeout(10):
        looking = asyncio.create_task(watch.look())
        await consumer.asked.wait()
        consumer.positions[EVENTS] = 3  # as `Membership.ready` seeks
        consumer.answer.set()
        await looking
    assert holdings.runners[0].known_until == 0, "records 3 and 4 are not fetched yet"
    assert EVENTS not in watch.read_all
    assert holdings.runners[1].known_until == 100


async def test_a_log_that_nobody_leads_stops_the_clock_of_its_own_partition_only() -> None:
    """The others' clocks go on, their lag is told; that one's, too, as it was last known; and it is said."""
    consumer, holdings = Asked(), Holdings()
    consumer.answer.set()
    ends = Ends({EVENTS: 5, REROUTED: 1, OTHER: 0, OTHERS_REROUTED: 1})
    holdings.member = cast("AIOKafkaConsumer", consumer)
    for number in (0, 1):
        inbox = Inbox(["events", "segstream-rerouted"], rerouted="segstream-rerouted")
        holdings.runners[number] = Runner(
            number, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace()
        )
    holdings.fetching = consumer.assignment()
    moments = iter((100, 200))
    vitals = Vitals(lambda: 0.0)
    watch = LogWatch(holdings, cast("LogEnds", ends), vitals, (), replay=False, now=lambda: next(moments))
    await watch.look()
    ends.silent[1] = ServerError("ask where the logs of partition 1 end: no answer from Kafka in time")
    ends.ends[EVENTS] = 6
    consumer.positions[EVENTS] = 6
    with pytest.raises(ServerError, match="partition 1"):
        await watch.look()
    assert [holdings.runners[number].known_until for number in (0, 1)] == [200, 100]
    assert watch.ends == {EVENTS: 6, REROUTED: 1, OTHER: 0, OTHERS_REROUTED: 1}
    assert watch.read_all == {EVENTS, REROUTED}


class Leaders:
    """Brokers, of which some logs have none: a question about one of these fails for all."""

    def __init__(self) -> None:
        self.leaderless: set[TopicPartition] = set()
        self.asked: list[set[int]] = []

    async def end_offsets(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 7 of each, or fail."""
        self.asked.append({there.partition for there in logs})
        if self.leaderless & set(logs):
            raise LeaderNotAvailableError
        return dict.fromkeys(logs, 7)


async def test_logs_without_a_leader_are_asked_apart_until_they_have_one() -> None:
    """Each question that fails takes its time; all others are to be answered in one, at once."""
    leaders, ends = Leaders(), LogEnds(KafkaSettings())
    ends._consumer = leaders
    logs = [
        TopicPartition(topic, number) for topic in ("events", "segstream-rerouted") for number in range(3)
    ]
    led = [there for there in logs if there.partition != 1]
    assert await ends.ask(logs) == dict.fromkeys(logs, 7)
    leaders.leaderless = {logs[1]}
    leaders.asked.clear()
    assert await ends.ask(logs) == dict.fromkeys(led, 7)
    assert leaders.asked == [{0, 1, 2}, {0}, {1}, {2}]
    assert set(ends.silent) == {1}
    assert str(ends.silent[1]).startswith("ask where the logs of partition 1 end: Kafka failed (LeaderNotAv")
    leaders.asked.clear()
    assert await ends.ask(logs) == dict.fromkeys(led, 7)
    assert leaders.asked == [{0, 2}, {1}]
    leaders.leaderless.clear()
    assert await ends.ask(logs) == dict.fromkeys(logs, 7)
    leaders.asked.clear()
    assert await ends.ask(logs) == dict.fromkeys(logs, 7)
    assert leaders.asked == [{0, 1, 2}]
    leaders.leaderless = set(logs)
    with pytest.raises(ServerError, match="ask where the logs of partition 0 end"):
        await ends.ask(logs)
    assert not ends.silent, "that is no matter of single logs: the next question is a common one"


class Standby(Consumer):
    """A member that is assigned nothing."""

    def assignment(self) -> set[TopicPartition]:
        """Return nothing."""
        return set()


class Gone(Ends):
    """Kafka, which answers until it is away."""

    away = False

    async def ask(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends, or fail."""
        if self.away:
            raise ServerError("ask where the logs end: no answer from Kafka in time")
        return await super().ask(logs)


async def test_a_worker_that_stands_by_notices_that_kafka_is_away() -> None:
    """It is asked for a log of somebody else's: who could not take over must not be taken for ready."""
    ends, holdings, seconds = Gone({EVENTS: 5}), Holdings(), 0.0
    holdings.member = cast("AIOKafkaConsumer", Standby())
    vitals = Vitals(lambda: seconds)
    watch = LogWatch(holdings, cast("LogEnds", ends), vitals, [EVENTS.topic], replay=False, now=lambda: 100)
    seconds = 50.0
    await watch.look()
    assert vitals.since_answer() == 0
    ends.away, seconds = True, 90.0
    with pytest.raises(ServerError, match="no answer"):
        await watch.look()
    assert vitals.since_answer() == 40
    assert watch.ends == {}
