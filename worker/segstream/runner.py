"""Keeps one partition number going: takes it over, works, publishes, and starts over after a loss.

Every recovery is the same: give the partition up, make sure that this worker is still meant to own it, take it over
again. What was not committed is read again; what was committed and not told is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from segstream.errors import NewerState, PositionError, SegstreamError
from segstream.inbox import MOST_BATCH_BYTES
from segstream.outbox import ENTRY_BYTES
from segstream.tally import Latency, Tally
from segstream.upkeep import SLICE, adopt_definitions, adopt_models, drain, sweep, tidy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from segstream.flow import Flow
    from segstream.inbox import Inbox


CANCEL_AGAIN: Final = 1.0
"""Seconds until a task that has been cancelled and goes on is cancelled again; most end at once."""

TAKING_OVER: Final = "taking over"
"""A runner's trouble before it has been at work."""

MOST_IN_HAND: Final = 256 << 20
"""Bytes that a worker's partitions have in hand together, about, before each takes less: some twenty-five full batches,
more than one process has use for."""

MADE_OF: Final = 16
"""Bytes that a batch takes until it is committed, for each byte of its records: measured with three changes of each event,
its changes, the same as they are stored, and as they are sent to Redis, twice."""

LESS: Final = 4
"""The part of a batch that is taken while there is no room."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at a time, and how often.

    Parameters
    ----------
    batch : int
        Most records per batch. 1,000 take some 50 ms, so that heartbeats and other partitions get their turn.
    publish_interval : float
        Seconds between two transactions of a partition. Under 10 ms the broker makes the client wait.
    sweep_rate : float
        Users per second and partition that a sweep may bring up to date.
    backlog : int
        Parcels (up to 256 KiB each) committed and not yet published at which no more records are taken.
    first_retry, last_retry : float
        Seconds before the first new attempt after a loss, and the most they grow to by doubling.
    """

    batch: int = 1_000
    publish_interval: float = 0.05
    sweep_rate: float = 5_000.0
    backlog: int = 16
    first_retry: float = 0.2
    last_retry: float = 10.0


class Owner(Protocol):
    """What a runner asks of the worker it runs in."""

    async def still_owns(self, number: int) -> bool:
        """Tell whether the consumer group still gives the partition number to this worker."""
        ...

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Begin to fetch from the positions of ``flow.partition.meta``; raise ``PositionError`` if they are unfit."""
        ...

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Stop fetching for the runner: it starts over, or has given up."""
        ...


class Runner:
    """One partition number at work.

    Parameters
    ----------
    number : int
        The partition number.
    make_flow : callable
        Returns a new flow with connections of its own; it is closed when the partition is given up.
    inbox : Inbox
        Where the fetched records are put; call ``poke`` after putting some.
    owner : Owner
    pace : Pace
    tally : Tally, optional
        Where to count.
    room : callable, optional
        Tells whether the worker's partitions together may have more in hand. While they may not, a partition begins
        nothing before all it has committed is published, and takes a part of a batch only: so none of them waits for
        another, whatever becomes of that.

    Attributes
    ----------
    known_until : int
        Moment in ms up to which everything that arrived has been put into the inbox.
    trouble : str
        Why the partition is not at work; empty when it is.
    applied : mapping of str to int
        Highest offset committed per topic; stays when the partition has been given up.
    arrived : int
        When the last record of the last batch arrived, in ms; 0 before the first.
    """

    def __init__(
        self,
        number: int,
        make_flow: Callable[[], Flow],
        inbox: Inbox,
        owner: Owner,
        pace: Pace,
        tally: Tally | None = None,
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.number, self.inbox = number, inbox
        self.flow: Flow | None = None
        self.trouble = TAKING_OVER
        self._stop = asyncio.Event()
        self.known_until = 0
        self._untold_since: float | None = None
        self._make_flow, self._owner, self._pace, self._room = make_flow, owner, pace, room
        self._making = 0
        self._applied: Mapping[str, int] = {}
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._worked = False
        self._tally = tally or Tally()
        self._latency = Latency(self._tally.latency, self._tally.now)
        self.arrived = 0

    @property
    def applied(self) -> Mapping[str, int]:
        """See above."""
        return self._applied if self.flow is None else self.flow.partition.applied

    def untold_for(self) -> float:
        """Return for how many seconds parcels have waited without one being published; 0 if none waits."""
        since = self._untold_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    @property
    def in_hand(self) -> int:
        """How much memory it takes, about, what is not committed of a batch, and what is and waits to be published."""
        return self._making + ENTRY_BYTES * self._parcels()

    def _parcels(self) -> int:
        return 0 if self.flow is None else len(self.flow.partition.parcels)

    def waits_for(self) -> str:
        """Return, in words, what keeps records from being applied while they wait: those before them."""
        parcels = self._parcels()
        if parcels >= self._backlog(room=self._room()):
            return f"{parcels} parcels wait to be published; the last transaction took {self._tally.transactions.last:.2f} s"
        return f"{len(self.inbox):,} records wait; the last commit to Redis took {self._tally.commits.last:.2f} s"

    def poke(self) -> None:
        """Say that there may be something to do."""
        self._news.set()

    def stop(self) -> None:
        """Ask the runner to finish the batch in hand, publish what is committed, and end."""
        self._stop.set()
        self._news.set()
        self._told.set()

    async def run(self) -> None:
        """Work until stopped, or until the partition cannot be worked on.

        Given to another worker, it is stopped by the rebalance.
        """
        retry = self._pace.first_retry
        while not self._stop.is_set():
            flow = self.flow = self._make_flow()
            try:
                await flow.take_over()
                self._tally.taken_over(forgotten=flow.forgotten)
                await self._owner.ready(self, flow)
                self.trouble, retry = "", self._pace.first_retry
                await self._serve(flow)
            except PositionError as error:
                self._report(error)
                return
            except NewerState as error:
                error.partition = self.number
                self._report(error)
                return
            except SegstreamError as error:
                self._report(error)
            finally:
                await self._close(flow)
            if await self._wait(self._stop, retry):
                return
            retry = min(2 * retry, self._pace.last_retry)
            while not await self._owner.still_owns(self.number):
                # Somebody else's, or nobody can tell while Kafka is away: to end here could leave it to nobody.
                if await self._wait(self._stop, retry):
                    return

    def _report(self, error: SegstreamError) -> None:
        self.trouble = str(error) or type(error).__name__
        self._tally.interrupted(error)
        self._owner.lost(self, error)

    async def _close(self, flow: Flow) -> None:
        self._applied, self.flow = flow.partition.applied, None
        self._tally.retire(flow.partition)
        self._latency = Latency(self._tally.latency, self._tally.now)
        for part in (flow.publisher, flow.partition.store):
            with contextlib.suppress(SegstreamError):
                await part.close()

    async def _serve(self, flow: Flow) -> None:
        """Work and publish side by side; the first error ends both."""
        self._worked = False
        tasks = [asyncio.create_task(self._work(flow)), asyncio.create_task(self._publish(flow))]
        try:
            await asyncio.gather(*tasks)
            await tidy(flow.partition)
        finally:
            await end(tasks)

    async def _work(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        next_sweep = 0.0
        slice_takes = SLICE / self._pace.sweep_rate
        while not self._stop.is_set():
            self._news.clear()
            busy = False
            room = self._room()
            if len(flow.partition.parcels) < self._backlog(room=room):
                await self._pass_time(flow)
                busy = await self._apply(flow, 1 if room else LESS)
                busy = await drain(flow.partition) or busy
                busy = await adopt_definitions(flow.partition, flow.partition.meta.clock) or busy
                busy = await adopt_models(flow.partition) or busy
                if flow.partition.meta.sweep and loop.time() >= next_sweep:
                    next_sweep = loop.time() + slice_takes
                    await sweep(flow.partition)
                elif flow.rebuilder is not None and flow.rebuilder.due and loop.time() >= next_sweep:
                    next_sweep = loop.time() + slice_takes
                    await flow.rebuilder.step()
            if not busy and not flow.partition.parcels:
                await tidy(flow.partition)
            if not busy:
                sweeping = flow.partition.meta.sweep or (flow.rebuilder is not None and flow.rebuilder.due)
                await self._wait(self._news, slice_takes if sweeping else 1.0)
        self._worked = True
        self._told.set()

    def _backlog(self, *, room: bool) -> int:
        """Return how many parcels that wait to be published keep anything new from being begun."""
        return self._pace.backlog if room else 1

    async def _pass_time(self, flow: Flow) -> None:
        """Move the clock to the moment up to which all that arrived is applied."""
        moment = self.known_until
        if (
            moment > flow.partition.meta.clock
            and not self.inbox
            and not await adopt_definitions(flow.partition, moment)
        ):
            flow.partition.advance_clock(moment)

    async def _apply(self, flow: Flow, part: int) -> bool:
        records = self.inbox.take(max(self._pace.batch // part, 1), MOST_BATCH_BYTES // part)
        if not records:
            return False
        before = flow.partition.meta.sequence
        self._making = MADE_OF * self.inbox.taken
        try:
            taken = await flow.process(records)
        finally:
            self._making = 0
        if taken < len(records):
            self.inbox.put_back(records[taken:])
        if taken:
            self.arrived = records[taken - 1].timestamp
            self._tally.batches.add(taken)
            arrivals = [record.timestamp for record in records[:taken]]
            self._latency.committed(arrivals, before, flow.partition.meta.sequence)
        self._told.set()
        return True

    async def _publish(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        while flow.partition.parcels or not self._worked:
            if not flow.partition.parcels:
                self._untold_since = None
                self._told.clear()
                await self._wait(self._told, 0.2)
                continue
            # Kept when the partition is taken over again: until something gets out, it has all been one wait.
            self._untold_since = self._untold_since or loop.time()
            await flow.publish()
            self._untold_since = None
            self._latency.published(flow.partition.published)
            self._news.set()
            await self._wait(self._stop, self._pace.publish_interval)

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> bool:
        """Wait for an event, no longer than ``seconds``; return whether it came."""
        # Not wait_for: before Python 3.12 it forgets a cancellation that comes with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        return event.is_set()


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended, whatever they end with.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, with which redis-py sends every command, forgets a
    cancellation that comes when the command has just been sent. The task would go on, and be waited for, for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)
