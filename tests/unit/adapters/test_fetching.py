"""What counts as fetched to the end of a log, where the log's last offset holds the marker of a transaction."""

from __future__ import annotations

from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.fetcher import Fetcher
from segstream.adapters.holdings import Holdings
from segstream.core.records import LogRecord
from segstream.inbox import Inbox
from segstream.runner import Owner, Pace, Runner
from tests.unit.flow.worlds import World

EVENTS, PAYMENTS = TopicPartition("events", 0), TopicPartition("payments", 0)


class Consumer:
    """A member that has two logs, and is given what it fetches.

    Attributes
    ----------
    fetched : list
        What each call returns.
    positions, ends : dict
        Per log, the next offset to read and the one behind the last.
    """

    def __init__(self) -> None:
        self.fetched: list[dict[TopicPartition, list[Any]]] = []
        self.positions, self.ends = {EVENTS: 0, PAYMENTS: 0}, {EVENTS: 0, PAYMENTS: 0}

    async def getmany(self, **_options: int) -> dict[TopicPartition, list[Any]]:
        """Return what was fetched."""
        return self.fetched.pop(0)

    def assignment(self) -> set[TopicPartition]:
        """Return both logs."""
        return {EVENTS, PAYMENTS}

    def highwater(self, there: TopicPartition) -> int:
        """Return the end, as the last answer had it."""
        return self.ends[there]

    async def position(self, there: TopicPartition) -> int:
        """Return the next offset."""
        return self.positions[there]

    def paused(self) -> set[TopicPartition]:
        """Return that nothing is held."""
        return set()


async def test_events_do_not_wait_for_the_marker_behind_the_last_record_of_another_topic() -> None:
    """Of a producer with transactions: once reading has passed it no look at the logs' ends, once a second, is needed."""
    consumer, holdings = Consumer(), Holdings()
    holdings.member = cast("AIOKafkaConsumer", consumer)
    inbox = Inbox(["events", "payments"])
    holdings.runners[0] = Runner(0, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace())
    holdings.fetching = {EVENTS, PAYMENTS}
    fetcher = Fetcher(holdings, 100)
    moved = LogRecord("payments", 0, 0, 10, b"ada", b"{}")
    event = LogRecord("events", 0, 0, 20, b"ada", b"{}")
    consumer.fetched = [{PAYMENTS: [moved], EVENTS: [event]}, {}, {}]
    consumer.ends, consumer.positions = {EVENTS: 1, PAYMENTS: 2}, {EVENTS: 1, PAYMENTS: 1}
    await fetcher.fetch()
    assert [record.topic for record in inbox.take(10)] == ["payments"]
    assert inbox.take(10) == [], "another record may lie behind it, and have arrived before the event"
    await fetcher.fetch()
    assert inbox.take(10) == []
    consumer.positions[PAYMENTS] = 2
    await fetcher.fetch()
    assert [record.topic for record in inbox.take(10)] == ["events"]


async def test_an_end_that_is_known_from_before_a_loss_counts_for_nothing() -> None:
    """A partition that starts over waits for what is fetched anew, of each of its logs."""
    consumer, holdings = Consumer(), Holdings()
    holdings.member = cast("AIOKafkaConsumer", consumer)
    inbox = Inbox(["events", "payments"])
    holdings.runners[0] = Runner(0, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace())
    holdings.fetching = {EVENTS, PAYMENTS}
    inbox.add("payments", (), fetched_all=True)
    inbox.clear()
    event = LogRecord("events", 0, 0, 20, b"ada", b"{}")
    consumer.fetched = [{EVENTS: [event]}]
    consumer.ends, consumer.positions = {EVENTS: 1, PAYMENTS: 5}, {EVENTS: 1, PAYMENTS: 5}
    await Fetcher(holdings, 100).fetch()
    assert inbox.take(10) == []
