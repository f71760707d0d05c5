"""What the health pages say of a worker that stops, or that cannot keep up."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from segstream.adapters.health import LIVE_LIMIT, UNTOLD_LIMIT
from segstream.adapters.kafka.records import Unreadable
from segstream.runner import Pace
from tests.unit.adapters.test_metrics import LOG, Members, Worker, order
from tests.unit.flow.worlds import START, feed


class Full(Members):
    """A consumer that has paused its log for want of room."""

    def paused(self) -> set[TopicPartition]:
        """Return the log."""
        return {LOG}


class Damaged(Full):
    """A consumer whose log cannot be read on at an offset."""

    stop = Unreadable(LOG, 17, 20, ValueError("Invalid CRC"))

    async def getmany(self, **_options: int) -> dict[TopicPartition, list[Unreadable]]:
        """Return what stands for no record."""
        return {LOG: [self.stop]}

    def pause(self, there: TopicPartition) -> None:
        """Accept."""


@pytest.fixture
def worker() -> Worker:
    """Return a worker that owns nothing yet."""
    return Worker()


async def test_a_worker_that_stops_is_alive_and_not_ready(worker: Worker) -> None:
    """From the moment it was asked to, however long it takes: it asks for no more records, and ends by itself."""
    await worker.own()
    assert worker.health.ready().well
    worker.vitals.stopping = True
    ready = worker.health.ready()
    assert not ready.well
    assert "is stopping" in ready.body["troubles"]["worker"]
    worker.seconds += 2 * LIVE_LIMIT
    assert worker.health.live().well


async def test_a_partition_that_waits_for_room_is_named_with_what_it_waits_for(worker: Worker) -> None:
    """That is no trouble by itself: whoever catches up works at the limit of something."""
    runner = await worker.own()
    assert "paused" not in worker.health.ready().body
    worker.holdings.member = Full()
    runner.inbox.add("events", [order(offset, START) for offset in range(5)], fetched_all=True)
    worker.tally.commits.add(0.41)
    ready = worker.health.ready()
    assert ready.well
    assert ready.body["paused"] == {"0": "5 records wait; the last commit to Redis took 0.41 s"}
    assert worker.value("fetch_paused", partition="0") == 1
    assert worker.value("inbox_bytes", partition="0") == runner.inbox.bytes > 5 * 500


async def test_a_partition_that_waits_for_kafka_to_take_what_is_committed_says_so(worker: Worker) -> None:
    """As long as its backlog is full nothing is applied, whatever Redis does."""
    runner = await worker.own()
    assert runner.flow is not None
    worker.holdings.member = Full()
    for batch in range(Pace().backlog):
        # Each tells something: a user of its own.
        await feed(
            runner.flow,
            [order(batch, START)._replace(key=f"u{batch}".encode(), value=_order_of(f"u{batch}"))],
        )
    worker.tally.transactions.add(30.0)
    said = worker.health.ready().body["paused"]["0"]
    assert said == "16 parcels wait to be published; the last transaction took 30.00 s"


async def test_a_partition_that_has_told_nothing_for_long_is_in_trouble(worker: Worker) -> None:
    """Though every single attempt may still be under way."""
    runner = await worker.own()
    assert runner.untold_for() == 0
    runner._untold_since = asyncio.get_running_loop().time() - UNTOLD_LIMIT - 1
    ready = worker.health.ready()
    assert not ready.well
    assert "Kafka has taken nothing that is to be published for 11 s" in ready.body["troubles"]["0"]
    assert (worker.value("untold_seconds", partition="0") or 0) > UNTOLD_LIMIT


async def test_a_partition_that_stands_before_what_cannot_be_read_says_so(worker: Worker) -> None:
    """It is not worked on, as with any other trouble: which log, which offset, what to do."""
    await worker.own()
    worker.holdings.member = Damaged()
    await worker.fetcher.fetch()
    ready = worker.health.ready()
    assert not ready.well
    assert "paused" not in ready.body
    said = ready.body["troubles"]["0"]
    assert said.startswith("events-0, offset 17: cannot be read (Invalid CRC)")
    assert "`segstream reset --partition 0 --topic events --keep-state --to 20`" in said
    found = worker.health.info()["partitions"]["0"]
    assert (found["state"], found["trouble"]) == ("troubled", said)
    assert worker.value("ready") == 0
    assert worker.value("partition_state", partition="0", state="troubled") == 1


def _order_of(user: str) -> bytes:
    value = order(0, START).value
    assert value is not None
    return bytes(value).replace(b"user-0", user.encode())
