"""The hot path's frame stops in an orderly way, however far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

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


def service(prepare: Callable[[], Awaitable[object]], closed: list[str]) -> SegmentationService:
    """Return a service that has nothing to connect to."""
    holdings, vitals = Holdings(), Vitals()
    make_consumer: Callable[[ConsumerRebalanceListener], AIOKafkaConsumer] = never
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
        steps=Steps({}),
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
