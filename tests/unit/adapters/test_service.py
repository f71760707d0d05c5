"""The hot path's frame stops in an orderly way, however far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from segstream.adapters.fetcher import Fetcher
from segstream.adapters.holdings import Holdings
from segstream.adapters.membership import ACKNOWLEDGE_SHARE, CANCELLED_SHARE, FINISH_SHARE, Membership
from segstream.adapters.offset_committer import OffsetCommitter
from segstream.adapters.sample_sender import SampleSender
from segstream.adapters.service import CLOSE_SHARE, LEAVE_SHARE, RELEASE_SHARE, SegmentationService
from segstream.adapters.steps import Steps
from segstream.adapters.vitals import Vitals
from segstream.errors import LayoutError
from segstream.flow import Flow
from segstream.runner import Pace
from segstream.tally import Tally


def never(*_: object) -> AIOKafkaConsumer:
    """Fail: nothing may be connected."""
    raise AssertionError


async def nothing() -> None:
    """Prepare nothing."""


def service(
    prepare: Callable[[], Awaitable[object]],
    closed: list[str],
    *,
    make_consumer: Callable[[ConsumerRebalanceListener], AIOKafkaConsumer] = never,
    vitals: Vitals | None = None,
    steps: Mapping[str, Callable[[], Awaitable[object]]] | None = None,
) -> SegmentationService:
    """Return a service that has nothing to connect to."""
    holdings, vitals = Holdings(), vitals or Vitals()
    make_flow: Callable[[int, int], Flow] = never
    membership = Membership(
        holdings,
        OffsetCommitter(holdings),
        vitals,
        Tally(),
        make_consumer=make_consumer,
        make_flow=make_flow,
        partitions=lambda: 1,
        pace=Pace(),
        inbox_bytes=1 << 20,
        rerouted="segstream-rerouted",
        start_from="earliest",
        release_seconds=1,
    )
    samples = SampleSender(holdings, never, dict, "samples")

    async def close() -> None:
        closed.append("ends")

    return SegmentationService(
        prepare=(prepare,),
        holdings=holdings,
        membership=membership,
        fetcher=Fetcher(holdings, 100),
        steps=Steps(steps or {}),
        close=(samples.stop, close),
        vitals=vitals,
        drain_timeout=1,
    )


async def test_a_service_that_could_not_start_stops_without_another_error() -> None:
    """The servers do not suit: that error is told, not one about connections that were never made."""

    async def prepare() -> None:
        raise LayoutError("the topic events is missing")

    closed: list[str] = []
    started = service(prepare, closed)
    with pytest.raises(LayoutError, match="events is missing"):
        await started.on_start()
    async with asyncio.timeout(5):
        await started.on_stop()
    assert closed == ["ends"]


async def test_a_service_asked_to_stop_while_it_starts_does_not_join() -> None:
    """The group would hand it partitions that it is about to leave without a word."""

    async def prepare() -> None:
        await started.stop()

    started = service(prepare, [])
    async with asyncio.timeout(5):
        await started.on_start()  # joining would fail here
    assert started.should_stop


class Unled:
    """A consumer of a group without a coordinator: it waits for ever, and forgets the first cancellation."""

    _coordinator = _fetcher = _client = None

    def __init__(self) -> None:
        self.cancelled = 0

    async def start(self) -> None:
        """Wait to be given something."""
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > 1:
                    raise

    def assignment(self) -> set[TopicPartition]:
        """Return nothing."""
        return set()

    async def stop(self) -> None:
        """Close nothing."""


class Counted(Vitals):
    """Counts signs of life."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.third = 0, asyncio.Event()

    def polled(self) -> None:
        """Note one."""
        super().polled()
        self.count += 1
        if self.count > 2:
            self.third.set()


async def test_while_the_group_cannot_be_joined_there_are_signs_of_life_and_it_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kafka answers, but has no coordinator: a restart would not help; and stopping ends the attempt."""
    monkeypatch.setattr("segstream.adapters.service.JOIN_LOOK", 0.01)
    consumer, vitals = Unled(), Counted()
    started = service(nothing, [], make_consumer=lambda _: consumer, vitals=vitals)
    starting = asyncio.create_task(started.on_start())
    async with asyncio.timeout(10):
        await vitals.third.wait()
        assert not starting.done()
        await started.stop()
        await starting
    assert consumer.cancelled == 2


class Idle(Unled):
    """A member of a group that gives it nothing."""

    async def start(self) -> None:
        """Join at once."""

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        """Return nothing."""
        return {}

    def paused(self) -> set[TopicPartition]:
        """Return nothing."""
        return set()


async def test_a_server_that_hangs_keeps_the_worker_from_asking_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With Redis frozen Kafka is asked as often as ever, and the other way round: neither is told of the other's trouble."""
    monkeypatch.setattr("segstream.adapters.service.TICK", 0.01)
    asked, often = 0, asyncio.Event()

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            often.set()

    steps = {"check_redis": asyncio.Event().wait, "look_at_ends": ask, "acknowledge": asyncio.Event().wait}
    started = service(nothing, [], make_consumer=lambda _: Idle(), steps=steps)
    async with asyncio.timeout(20):
        await started.start()
        try:
            await asyncio.wait_for(often.wait(), 10)
        finally:
            await started.stop()


async def test_what_the_group_hands_out_while_the_worker_leaves_is_not_taken() -> None:
    """A rebalance was on its way: to take over would fence whoever gets the partitions in the next one."""
    left = service(nothing, [])
    async with asyncio.timeout(5):
        await left.on_stop()
    left._membership.assigned([TopicPartition("events", 0)])  # as the consumer's listener would
    assert left._holdings.runners == {}
    assert not left._vitals.joined


def test_all_parts_of_stopping_fit_into_the_drain_timeout() -> None:
    """Draining, cancelling what is late, the last acknowledgement; leaving the group, closing connections, and a rest."""
    assert RELEASE_SHARE + LEAVE_SHARE + CLOSE_SHARE <= 0.95
    assert FINISH_SHARE + CANCELLED_SHARE + ACKNOWLEDGE_SHARE <= 1.0001
