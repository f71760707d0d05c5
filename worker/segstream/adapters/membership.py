"""Membership in the workers' consumer group, and one runner for each partition number that it gives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from segstream.adapters.kafka.consumer import confirm_membership, hold, leave, member_id, release
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.positions import check_partitions, find_positions
from segstream.errors import Fenced, NewerState, SegstreamError, StateLost
from segstream.inbox import Inbox, share_of
from segstream.runner import MOST_IN_HAND, Runner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from segstream.adapters.holdings import Holdings
    from segstream.adapters.offset_committer import OffsetCommitter
    from segstream.adapters.rivals import Rivals
    from segstream.adapters.vitals import Vitals
    from segstream.flow import Flow
    from segstream.runner import Pace
    from segstream.tally import Tally

FINISH_SHARE: Final = 0.8
"""Of the time for giving up partitions, for batches in hand and what they tell."""

CANCELLED_SHARE: Final = 0.05
"""For runners to end once they are cancelled: they only close connections then."""

ACKNOWLEDGE_SHARE: Final = 0.15
"""For the last acknowledgement: aiokafka would try for ever."""


class Membership:
    """Joins, leaves, and answers the runners (see ``runner.Owner``).

    Parameters
    ----------
    holdings : Holdings
        Filled and emptied here.
    committer : OffsetCommitter
        Called for the last time when partitions are given up.
    vitals : Vitals
    tally : Tally
        What the runners count on.
    rivals : Rivals
        Told which member this worker is.
    make_consumer : callable
        Returns a consumer of the group, not started.
    make_flow : callable
        Returns a new flow for a partition number, one of so many that this worker owns.
    partitions : callable
        Returns N.
    pace : Pace
    inbox_bytes : int
        Most memory for records fetched and not applied, over all partitions.
    rerouted : str
        The topic of forwarded records.
    start_from : str
        Where a first start begins.
    release_seconds : float
        How long a rebalance waits for partitions to be given up.

    Attributes
    ----------
    on_defect : awaitable function
        Called with what a runner died of, unless that is one of ours: the worker must not go on.
    """

    on_defect: Callable[[BaseException], Awaitable[None]]

    def __init__(
        self,
        holdings: Holdings,
        committer: OffsetCommitter,
        vitals: Vitals,
        tally: Tally,
        rivals: Rivals,
        *,
        make_consumer: Callable[[ConsumerRebalanceListener], AIOKafkaConsumer],
        make_flow: Callable[[int, int], Flow],
        partitions: Callable[[], int],
        pace: Pace,
        inbox_bytes: int,
        rerouted: str,
        start_from: str,
        release_seconds: float,
    ) -> None:
        self._holdings, self._committer, self._vitals, self._tally = holdings, committer, vitals, tally
        self._make_consumer, self._make_flow, self._partitions = make_consumer, make_flow, partitions
        self._pace, self._start_from, self._release_seconds = pace, start_from, release_seconds
        self._inbox_bytes, self._rerouted, self._leaving = inbox_bytes, rerouted, False
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._rivals = rivals
        self._causes: dict[int, str] = {}
        self._log = structlog.get_logger("segstream")

    async def join(self) -> None:
        """Become a member; raises ``ServerError`` if that fails."""
        self._leaving = False
        self._holdings.member = self._make_consumer(_Listener(self))
        with kafka_errors("join the consumer group"):
            await self._holdings.member.start()

    async def leave(self, release_seconds: float, seconds: float) -> None:
        """Give up all partitions, and leave the group, if it was joined, so that others take over at once.

        Parameters
        ----------
        release_seconds : float
            For giving up.
        seconds : float
            For leaving; Kafka may be away.
        """
        self._leaving = True
        await self.release(release_seconds)
        self._vitals.joined = False
        member, self._holdings.member = self._holdings.member, None
        if member is not None:
            await leave(member, seconds)

    def assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin to take over the partition numbers given to this worker; fetch nothing until one is ready."""
        if self._leaving:  # a rebalance was on its way: whoever is left gets them in the next one
            return
        self._vitals.joined = True
        if self._rivals.joined_as(member_id(self._holdings.consumer)):
            self._log.warning("membership_lost", error=self._rivals.trouble)
        hold(self._holdings.consumer, assigned)
        self._holdings.fetching.clear()
        self._committer.forget()
        numbers = sorted({there.partition for there in assigned})
        for number in numbers:
            topics = [there.topic for there in assigned if there.partition == number]
            make_flow = partial(self._make_flow, number, len(numbers))
            inbox = Inbox(topics, share_of(self._inbox_bytes, len(assigned)), self._rerouted)
            runner = Runner(number, make_flow, inbox, self, self._pace, self._tally, self._has_room)
            self._holdings.runners[number] = runner
            self._runs[number] = asyncio.create_task(self._run(runner), name=f"partition-{number}")
        self._log.info("assigned", partitions=numbers)

    async def revoked(self) -> None:
        """Give up all partitions: the group is about to hand them out anew."""
        await self.release(self._release_seconds)

    async def release(self, seconds: float) -> None:
        """Finish and give up all partitions within ``seconds``."""
        runners = self._holdings.runners
        done = {number: runner.flow.partition.counts for number, runner in runners.items() if runner.flow}
        for runner in runners.values():
            runner.stop()
        if self._runs:
            _, late = await asyncio.wait(self._runs.values(), timeout=seconds * FINISH_SHARE)
            for task in late:
                task.cancel()
            if late:
                self._log.warning("not_drained", partitions=len(late), seconds=seconds)
                await asyncio.wait(late, timeout=seconds * CANCELLED_SHARE)
        with contextlib.suppress(SegstreamError, KafkaError, TimeoutError):
            async with asyncio.timeout(seconds * ACKNOWLEDGE_SHARE):
                await self._committer.commit()
        for number, counts in done.items():
            self._log.info("released", partition=number, **asdict(counts))
        runners.clear()
        self._causes.clear()
        self._runs.clear()
        self._holdings.fetching.clear()

    async def _run(self, runner: Runner) -> None:
        try:
            await runner.run()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # A library's own cancellation strayed here: nobody asked this task to end.
            await self.on_defect(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours; whatever it is, the worker must not go on
            # Nothing is lost: what is committed stays, the rest is read again. But it would happen again, so say it.
            self._log.exception("partition_failed", partition=runner.number)
            await self.on_defect(error)

    # --- what runners ask --------------------------------------------------------------------------------------

    async def still_owns(self, number: int) -> bool:
        """Tell whether the group still gives the number to this worker (see ``runner.Owner``)."""
        if self._holdings.runners.get(number) is None or not self._logs(number):
            return False
        return await confirm_membership(self._holdings.consumer)

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Fetch from where the state stands (see ``runner.Owner``)."""
        meta, consumer = flow.partition.meta, self._holdings.consumer
        check_partitions(runner.number, flow.partition, self._partitions())
        offsets = await find_positions(consumer, self._logs(runner.number), flow.partition, self._start_from)
        if not self._at_work(runner):
            raise Fenced(f"partition {runner.number}: this worker has given it up, or works on it anew")
        runner.inbox.clear()
        # What was fetched before and not applied is fetched again: until then the clock must not pass it.
        runner.known_until = 0
        for there, offset in offsets.items():
            if there in self._holdings.assigned():
                release(consumer, there, offset)
                self._holdings.fetching.add(there)
        if flow.forgotten:
            self._log.error(
                "redis_forgot",
                partition=runner.number,
                incarnation=meta.incarnation,
                warning="Redis holds less than was told: every answer is restated under a new incarnation; check its "
                "persistence and replicas",
            )
        if self._causes.pop(runner.number, None) is not None:
            self._log.info("partition_recovered", partition=runner.number)
        self._log.info(
            "owns",
            partition=runner.number,
            epoch=meta.epoch,
            incarnation=meta.incarnation,
            offsets=dict(meta.offsets),
        )

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Stop fetching for a runner (see ``runner.Owner``)."""
        cause, said = f"{type(error).__name__}: {error}", self._causes.get(runner.number)
        if self._at_work(runner):
            self._causes[runner.number] = cause
            here = {there for there in self._holdings.fetching if there.partition == runner.number}
            self._holdings.fetching -= here
            for there in here & self._holdings.assigned():
                self._holdings.consumer.pause(there)
        runner.inbox.clear()
        # An outage fails each retry; it is told when it begins, changes, and ends.
        level = logging.INFO if isinstance(error, Fenced | StateLost) else logging.WARNING
        self._log.log(
            logging.DEBUG if cause == said else level,
            "partition_interrupted",
            partition=runner.number,
            kind=type(error).__name__,
            error=str(error),
        )
        if isinstance(error, NewerState):
            self._log.debug("newer_state", partition=runner.number, user=error.user)

    def _at_work(self, runner: Runner) -> bool:
        """Tell whether it is this one that works on its number: one given up may end late, beside its successor."""
        return self._holdings.runners.get(runner.number) is runner

    def _has_room(self) -> bool:
        """Tell whether all partitions together have less in hand than a worker should."""
        return sum(runner.in_hand for runner in self._holdings.runners.values()) < MOST_IN_HAND

    def _logs(self, number: int) -> list[TopicPartition]:
        return [there for there in self._holdings.assigned() if there.partition == number]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Passes the group's decisions on."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002
        await self._membership.revoked()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._membership.assigned(assigned)
