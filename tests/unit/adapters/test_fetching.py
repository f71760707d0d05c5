"""What counts as fetched to the end of a log, and what becomes of a log that cannot be read on."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from structlog.testing import capture_logs

from segstream.adapters import fetcher as fetching
from segstream.adapters.fetcher import Fetcher
from segstream.adapters.holdings import Holdings
from segstream.adapters.kafka.records import Unreadable
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
    held : set of TopicPartition
        Paused.
    """

    def __init__(self) -> None:
        self.fetched: list[dict[TopicPartition, list[Any]]] = []
        self.positions, self.ends = {EVENTS: 0, PAYMENTS: 0}, {EVENTS: 0, PAYMENTS: 0}
        self.held: set[TopicPartition] = set()

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
        """Return what is held."""
        return set(self.held)

    def pause(self, there: TopicPartition) -> None:
        """Hold a log."""
        self.held.add(there)

    def resume(self, there: TopicPartition) -> None:
        """Go on with a log."""
        self.held.discard(there)


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


async def test_a_log_that_cannot_be_read_on_is_put_off_alone_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes before and what comes from other logs is taken; then it is held, and after a while fetched again."""
    consumer, holdings = Consumer(), Holdings()
    holdings.member = cast("AIOKafkaConsumer", consumer)
    inbox = Inbox(["events", "payments"])
    holdings.runners[0] = Runner(0, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace())
    holdings.fetching = {EVENTS, PAYMENTS}
    fetcher = Fetcher(holdings, 100)
    event = LogRecord("events", 0, 0, 20, b"ada", b"{}")
    payment = LogRecord("payments", 0, 0, 10, b"ada", b"{}")
    stop = Unreadable(EVENTS, 1, 5, ValueError("Invalid CRC"))
    consumer.fetched = [{EVENTS: [event, stop]}, {EVENTS: [stop], PAYMENTS: [payment]}, {}, {}]
    consumer.ends, consumer.positions = {EVENTS: 9, PAYMENTS: 1}, {EVENTS: 1, PAYMENTS: 1}
    with capture_logs() as logs:
        await fetcher.fetch()
        assert (consumer.held, logs) == (set(), [])
        monkeypatch.setattr(fetching, "PUT_OFF", 3_600.0)
        await fetcher.fetch()
        await fetcher.fetch()
    assert consumer.held == {EVENTS}
    assert fetcher.paused == set(), "it waits for an operator, not for room"
    assert fetcher.unreadable == {0: str(stop.error)}
    assert [(log["event"], log["topic"], log["partition"], log["offset"]) for log in logs] == [
        ("unreadable", "events", 0, 1)
    ]
    assert logs[0]["error"].startswith("events-0, offset 1: cannot be read (Invalid CRC)")
    assert [record.topic for record in inbox.take(10)] == ["payments", "events"]
    monkeypatch.setattr(fetching, "PUT_OFF", 0.0)
    consumer.fetched = [{EVENTS: [stop]}, {}]
    consumer.held.clear()
    await fetcher.fetch()
    await fetcher.fetch()
    assert consumer.held == set()
    assert fetcher.unreadable == {0: str(stop.error)}, "it is not known yet whether it can be read now"
    consumer.fetched = [{EVENTS: [LogRecord("events", 0, 1, 30, b"ada", b"{}")]}]
    await fetcher.fetch()
    assert fetcher.unreadable == {}
    consumer.fetched = [{EVENTS: [stop]}]
    await fetcher.fetch()
    holdings.runners[0] = Runner(0, World([(0, "version: 1")]).flow, inbox, cast("Owner", None), Pace())
    assert fetcher.unreadable == {}, "a new owner has its own look"
