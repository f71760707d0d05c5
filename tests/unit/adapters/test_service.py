"""The hot path's frame stops in an orderly way, however far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import InconsistentGroupProtocolError, UnsupportedCodecError

from segstream.adapters.fetcher import Fetcher
from segstream.adapters.holdings import Holdings
from segstream.adapters.membership import ACKNOWLEDGE_SHARE, CANCELLED_SHARE, FINISH_SHARE, Membership
from segstream.adapters.offset_committer import OffsetCommitter
from segstream.adapters.rivals import Rivals
from segstream.adapters.sample_sender import SampleSender
from segstream.adapters.service import (
    CLOSE_SHARE,
    LEAVE_SHARE,
    LONGEST_RETRY,
    RELEASE_SHARE,
    RETRY,
    SegmentationService,
)
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


class Recording(SegmentationService):
    """Keeps for how long it was about to sleep, and does not."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.slept: list[float] = []
        self.enough = asyncio.Event()

    async def sleep(self, n: timedelta | float | str) -> None:
        """Let others go on; note pauses before the group is joined again."""
        if isinstance(n, float) and n >= RETRY:
            self.slept.append(n)
            if len(self.slept) == ATTEMPTS:
                self.enough.set()
        await asyncio.sleep(0.001)


ATTEMPTS = 6
PAUSES = [2.0, 4.0, 8.0, LONGEST_RETRY, LONGEST_RETRY, LONGEST_RETRY]


def service(
    prepare: Callable[[], Awaitable[object]],
    closed: list[str],
    *,
    make_consumer: Callable[[ConsumerRebalanceListener], AIOKafkaConsumer] = never,
    vitals: Vitals | None = None,
    steps: Mapping[str, Callable[[], Awaitable[object]]] | None = None,
) -> Recording:
    """Return a service that has nothing to connect to."""
    holdings, vitals = Holdings(), vitals or Vitals()
    make_flow: Callable[[int, int], Flow] = never
    membership = Membership(
        holdings,
        OffsetCommitter(holdings),
        vitals,
        Tally(),
        Rivals(),
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

    return Recording(
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


class Asked(Idle):
    """A member that says when it is asked for records."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        """Return nothing."""
        self.asked.set()
        return {}


class Refused(Idle):
    """A member to be that the group refuses."""

    async def start(self) -> None:
        """Fail."""
        raise InconsistentGroupProtocolError


async def test_a_first_join_that_kafka_refuses_is_tried_again_and_told_once() -> None:
    """Another program sits in the group: that ends sometime, and until then readiness says what to look for."""
    last = Asked()
    left = iter([*(Refused() for _ in range(ATTEMPTS)), last])
    vitals = Vitals()
    started = service(nothing, [], make_consumer=lambda _: next(left), vitals=vitals)
    async with asyncio.timeout(20):
        with structlog.testing.capture_logs() as logged:
            await started.start()
            refused = vitals.refused
            await started.enough.wait()
            await last.asked.wait()
            assert not vitals.refused
            await started.stop()
    assert started.slept == PAUSES
    assert "another program is a member of SEGSTREAM_GROUP" in refused
    told = [line for line in logged if line["event"] == "cannot_join"]
    assert [line["log_level"] for line in told] == ["warning"] + ["debug"] * (ATTEMPTS - 1)
    assert told[0]["error"] == refused


class Unreadable(Idle):
    """A member that can join, and not read."""

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        """Fail."""
        raise UnsupportedCodecError


async def test_fetching_that_fails_again_right_after_a_join_is_tried_less_and_less_often() -> None:
    """Each attempt is a rebalance for the whole group; the first one comes at once, since most failures pass."""
    made: list[Unreadable] = []

    def make(_: ConsumerRebalanceListener) -> Any:
        made.append(Unreadable())
        return made[-1]

    started = service(nothing, [], make_consumer=make)
    async with asyncio.timeout(20):
        await started.start()
        await started.enough.wait()
        await started.stop()
    assert started.slept[:ATTEMPTS] == PAUSES
    assert len(made) - len(started.slept) in (1, 2), (
        "joined at first, then once at once, and once after each pause"
    )


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
