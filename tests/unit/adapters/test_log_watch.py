"""What moves the clock of a partition without records: how far its logs are read."""

from __future__ import annotations

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
