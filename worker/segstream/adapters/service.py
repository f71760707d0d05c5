"""The hot path's frame: membership of the consumer group, fetching, and one runner per partition number owned."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import faust
import orjson
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from segstream.adapters.kafka.consumer import confirm_membership, hold, leave, poll, release, starting_offset
from segstream.adapters.kafka.errors import kafka_errors
from segstream.errors import Fenced, PositionError, SegstreamError, StateLost
from segstream.inbox import Inbox
from segstream.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from segstream.adapters.kafka.ends import LogEnds
    from segstream.flow import Flow
    from segstream.models.recipe import Recipe
    from segstream.runner import Pace

TICK = 1.0
"""Seconds between two looks at new versions, the log's ends, and two acknowledgements."""

VECTORS = 500
"""Feature vectors per record: with 16 numbers each, some 160 KB."""

RETRY = 2.0
"""Seconds between two attempts to join the group anew."""

ACKNOWLEDGE = 2.0
"""Seconds for the last acknowledgement of partitions that are given up: aiokafka would try for ever."""

INBOX_BATCHES = 4
"""Records kept per topic and partition, in batches: enough that the next batch is there when one is done."""


class SegmentationService(faust.Service):
    """Owns partition numbers and works on them.

    Parameters
    ----------
    topics : collection of str
        Input topics.
    make_consumer : callable
        Returns a consumer of the group, not started.
    make_producer : callable
        Returns a plain producer for samples, not started.
    log_ends : LogEnds
    make_flow : callable
        Returns a new flow for a partition number, one of so many that this worker owns.
    prepare : awaitable function
        Called once before anything is owned; raises ``SegstreamError`` if the servers do not suit.
    refresh : awaitable function
        Brings the library up to date; returns whether anything is new.
    recipes : callable
        Returns the recipes of the discovered segments in force.
    pace : Pace
    start_from : str
        Where a first start begins.
    samples_topic : str
    replay : bool
        Whether events' timestamps drive the clock.
    partitions : callable
        Returns N once ``prepare`` is done.
    drain_timeout : float
        Seconds for stopping.
    now : callable
        Returns the time in ms.
    """

    def __init__(
        self,
        *,
        topics: Collection[str],
        make_consumer: Callable[[ConsumerRebalanceListener], AIOKafkaConsumer],
        make_producer: Callable[[], AIOKafkaProducer],
        log_ends: LogEnds,
        make_flow: Callable[[int, int], Flow],
        prepare: Callable[[], Awaitable[None]],
        refresh: Callable[[], Awaitable[bool]],
        recipes: Callable[[], Mapping[str, Recipe]],
        pace: Pace,
        start_from: str,
        samples_topic: str,
        replay: bool,
        partitions: Callable[[], int],
        drain_timeout: float,
        now: Callable[[], int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._topics = tuple(topics)
        self._make_consumer, self._make_producer, self._make_flow = make_consumer, make_producer, make_flow
        self._log_ends = log_ends
        self._prepare, self._refresh, self._recipes = prepare, refresh, recipes
        self._pace, self._start_from, self._samples_topic, self._replay = (
            pace,
            start_from,
            samples_topic,
            replay,
        )
        self._partitions, self._drain_timeout = partitions, drain_timeout
        self._log = structlog.get_logger("segstream")
        self.runners: dict[int, Runner] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._fetching: set[TopicPartition] = set()
        self._acknowledged: dict[TopicPartition, int] = {}
        self.polled_at = self.answered_at = time.monotonic()
        self.joined = False
        self._now = now

    async def on_start(self) -> None:
        """Check the servers and join the group."""
        await self._prepare()
        await self._refresh()
        await self._join()
        self._producer = self._make_producer()
        with kafka_errors("connect a producer"):
            await self._producer.start()
        self._log.info("joining", topics=list(self._topics))

    async def on_stop(self) -> None:
        """Finish what is in hand, publish it, acknowledge, and leave the group, all within the drain timeout."""
        await self.release(self._drain_timeout * 0.7)
        await leave(self._consumer, self._drain_timeout * 0.1)
        for part in (self._producer.stop, self._log_ends.close):
            with contextlib.suppress(KafkaError, SegstreamError, TimeoutError):
                await asyncio.wait_for(part(), self._drain_timeout * 0.1)
        self._log.info("stopped")

    async def _join(self) -> None:
        self._consumer = self._make_consumer(_Listener(self))
        with kafka_errors("join the consumer group"):
            await self._consumer.start()

    async def _join_anew(self) -> None:
        """Leave the group and join it again: aiokafka does not recover from every loss of membership."""
        await self.release(self._drain_timeout * 0.5)
        await leave(self._consumer)
        while not self.should_stop:
            self.polled_at = time.monotonic()  # an outage of Kafka is no reason to be restarted
            try:
                await self._join()
            except SegstreamError as error:
                self._log.warning("cannot_join", error=str(error))
                await leave(self._consumer, 1.0)
                await self.sleep(RETRY)
            else:
                return

    # --- group membership --------------------------------------------------------------------------------------

    def assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin to take over the partition numbers given to this worker; fetch nothing until one is ready."""
        self.joined = True
        hold(self._consumer, assigned)
        self._fetching.clear()
        self._acknowledged.clear()
        numbers = sorted({there.partition for there in assigned})
        for number in numbers:
            topics = [there.topic for there in assigned if there.partition == number]
            make_flow = partial(self._make_flow, number, len(numbers))
            runner = Runner(number, make_flow, Inbox(topics), self, self._pace)
            self.runners[number] = runner
            self._runs[number] = asyncio.create_task(self._run(runner), name=f"partition-{number}")
        self._log.info("assigned", partitions=numbers)

    async def _run(self, runner: Runner) -> None:
        try:
            await runner.run()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # A library's own cancellation strayed here: nobody asked this task to end.
            await self.crash(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours; whatever it is, the worker must not go on
            # Nothing is lost: what is committed stays, the rest is read again. But it would happen again, so say it.
            self._log.exception("partition_failed", partition=runner.number)
            await self.crash(error)

    async def release(self, seconds: float) -> None:
        """Finish and give up all partitions within ``seconds``."""
        done = {
            number: runner.flow.partition.counts for number, runner in self.runners.items() if runner.flow
        }
        for runner in self.runners.values():
            runner.stop()
        if self._runs:
            _, late = await asyncio.wait(self._runs.values(), timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                self._log.warning("not_drained", partitions=len(late), seconds=seconds)
                await asyncio.wait(late, timeout=1.0)
        with contextlib.suppress(SegstreamError, KafkaError, TimeoutError):
            async with asyncio.timeout(ACKNOWLEDGE):
                await self._acknowledge()
        for number, counts in done.items():
            self._log.info("released", partition=number, **asdict(counts))
        self.runners.clear()
        self._runs.clear()
        self._fetching.clear()

    async def still_owns(self, number: int) -> bool:
        """Tell whether the group still gives the number to this worker (see ``runner.Owner``)."""
        if self.runners.get(number) is None or not any(
            tp.partition == number for tp in self._consumer.assignment()
        ):
            return False
        return await confirm_membership(self._consumer)

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Fetch from where the state stands (see ``runner.Owner``)."""
        meta = flow.partition.meta
        if meta.partitions != self._partitions():
            raise PositionError(
                f"partition {runner.number}: its state was made with {meta.partitions} partitions, the topics have "
                f"{self._partitions()}: users would move between partitions. Restore the number of partitions, or "
                "begin anew under another redis_prefix"
            )
        here = [tp for tp in self._consumer.assignment() if tp.partition == runner.number]
        known = bool(meta.offsets)
        offsets = {}
        for there in here:
            with kafka_errors(f"find the position of {there.topic}-{there.partition}"):
                committed = None if known else await self._consumer.committed(there)
                offsets[there] = await starting_offset(
                    self._consumer, there, meta.offsets.get(there.topic), committed, self._start_from
                )
        # Where a topic is begun is kept at once: "latest" must not mean another place after a restart.
        begun = {
            there.topic: offset - 1 for there, offset in offsets.items() if there.topic not in meta.offsets
        }
        if begun:
            meta.offsets |= begun
            await flow.partition.commit(flow.partition.draft())
        runner.inbox.clear()
        # What was fetched before and not applied is fetched again: until then the clock must not pass it.
        runner.known_until = 0
        for there, offset in offsets.items():
            if there in self._consumer.assignment():
                release(self._consumer, there, offset)
                self._fetching.add(there)
        if flow.forgotten:
            self._log.error(
                "redis_forgot",
                partition=runner.number,
                incarnation=meta.incarnation,
                warning="Redis holds less than was told: every answer is restated under a new incarnation; check its "
                "persistence and replicas",
            )
        self._log.info(
            "owns",
            partition=runner.number,
            epoch=meta.epoch,
            incarnation=meta.incarnation,
            offsets=dict(meta.offsets),
        )

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Stop fetching for a runner (see ``runner.Owner``)."""
        here = {tp for tp in self._fetching if tp.partition == runner.number}
        self._fetching -= here
        for there in here & self._consumer.assignment():
            self._consumer.pause(there)
        runner.inbox.clear()
        expected = isinstance(error, Fenced | StateLost)
        self._log.log(
            logging.INFO if expected else logging.WARNING,
            "partition_interrupted",
            partition=runner.number,
            kind=type(error).__name__,
            error=str(error),
        )

    # --- fetching ----------------------------------------------------------------------------------------------

    @Service.task
    async def _poll(self) -> None:
        room = INBOX_BATCHES * self._pace.batch
        while not self.should_stop:
            self.polled_at = time.monotonic()
            try:
                fetched = await poll(self._consumer, 200, self._pace.batch)
            except SegstreamError as error:
                self._log.warning("fetch_failed", error=str(error))
                await self._join_anew()
                continue
            for there, records in fetched.items():
                runner = self.runners.get(there.partition)
                if runner is None or there not in self._fetching:
                    continue
                high = self._consumer.highwater(there)
                runner.inbox.add(
                    there.topic, records, fetched_all=high is not None and records[-1].offset + 1 >= high
                )
                if runner.inbox.waiting(there.topic) >= room or runner.inbox.full(there.topic):
                    self._consumer.pause(there)
                runner.poke()
            self._resume(room // 2)
            if not fetched and not self._consumer.assignment():
                await self.sleep(0.2)

    def _resume(self, room: int) -> None:
        for there in self._consumer.paused():
            runner = self.runners.get(there.partition)
            if runner is None or there not in self._fetching or runner.inbox.full(there.topic):
                continue
            if runner.inbox.waiting(there.topic) < room:
                self._consumer.resume(there)

    # --- once a second -----------------------------------------------------------------------------------------

    @Service.task
    async def _tick(self) -> None:
        while not self.should_stop:
            for step in (self._renew, self._look_at_ends, self._acknowledge, self._send_samples):
                try:
                    with kafka_errors(step.__name__.strip("_")):
                        await step()
                except SegstreamError as error:
                    self._log.warning("tick_failed", step=step.__name__.strip("_"), error=str(error))
            await self.sleep(TICK)

    async def _renew(self) -> None:
        """Look for new definitions and snapshots."""
        if await self._refresh():
            for runner in self.runners.values():
                runner.poke()

    async def _look_at_ends(self) -> None:
        """Tell each runner the moment up to which all that arrived has been fetched."""
        here = [tp for tp in self._fetching if tp in self._consumer.assignment()]
        if not here:
            self.answered_at = time.monotonic()
            return
        asked_at = self._now()
        ends = await self._log_ends.ask(here)
        self.answered_at = time.monotonic()
        behind = {tp.partition for tp in here if await self._consumer.position(tp) < ends[tp]}
        for there in here:
            runner = self.runners.get(there.partition)
            if runner is None:
                continue
            if await self._consumer.position(there) >= ends[there]:
                runner.inbox.add(there.topic, (), fetched_all=True)
            if there.partition not in behind and not self._replay:
                runner.known_until = asked_at
            runner.poke()

    async def _acknowledge(self) -> None:
        """Commit the group's offsets, for lag monitors."""
        offsets: dict[TopicPartition, int] = {}
        for runner in self.runners.values():
            for topic, offset in runner.applied.items():
                there = TopicPartition(topic, runner.number)
                if there in self._fetching and self._acknowledged.get(there) != offset + 1:
                    offsets[there] = offset + 1
        offsets = {there: offset for there, offset in offsets.items() if there in self._consumer.assignment()}
        if offsets:
            await self._consumer.commit(offsets)
            self._acknowledged.update(offsets)

    async def _send_samples(self) -> None:
        """Send feature vectors to the trainer; they may be lost."""
        recipes = self._recipes()
        vectors: dict[str, list[list[float | None]]] = {}
        for runner in self.runners.values():
            if runner.flow is not None:
                samples = runner.flow.partition.samples
                while samples:
                    name, vector = samples.popleft()
                    vectors.setdefault(name, []).append(vector)
        for name, found in vectors.items():
            if name in recipes:
                for first in range(0, len(found), VECTORS):
                    part = found[first : first + VECTORS]
                    sample = {"model": name, "recipe": recipes[name].fingerprint, "vectors": part}
                    await self._producer.send(self._samples_topic, orjson.dumps(sample), partition=0)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Passes the group's decisions on."""

    def __init__(self, service: SegmentationService) -> None:
        self._service = service

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002
        await self._service.release(self._service._drain_timeout * 0.7)  # noqa: SLF001

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._service.assigned(assigned)
