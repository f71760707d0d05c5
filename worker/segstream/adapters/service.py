"""The hot path's frame: joins the group, fetches, does what is due once a second, and stops in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any, Final

import faust
import structlog
from mode import Service

from segstream.errors import SegstreamError, ServerError
from segstream.runner import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from segstream.adapters.fetcher import Fetcher
    from segstream.adapters.holdings import Holdings
    from segstream.adapters.membership import Membership
    from segstream.adapters.steps import Steps
    from segstream.adapters.vitals import Vitals

TICK: Final = 1.0
"""Seconds between the end of a step (a look at new versions, at the logs' ends, ...) and its next beginning."""

JOIN_LOOK: Final = 1.0
"""Seconds between two signs of life while the group is being joined, which lasts as long as Kafka has no coordinator."""

RETRY: Final = 2.0
"""Seconds until the group is joined again, after the first attempt that failed or did not hold; doubled each time."""

LONGEST_RETRY: Final = 15.0
"""To so many seconds at most: far less than a process that does not look at Kafka may take before it counts as stuck."""

STEADY: Final = 60.0
"""Seconds of fetching after which a membership has held: what ends it then is something new."""

NOTHING_ASSIGNED: Final = 0.2
"""Seconds until the next look when nothing is assigned: then Kafka's client returns at once."""

RELEASE_SHARE: Final = 0.7
"""Of the drain timeout, for giving up partitions: batches in hand, what they tell, and the last acknowledgement."""

LEAVE_SHARE: Final = 0.15
"""Of the drain timeout, for leaving the group."""

CLOSE_SHARE: Final = 0.1
"""Of the drain timeout, for closing all connections side by side. The rest is for the control plane."""

REJOIN_SHARE: Final = 0.5
"""Of the drain timeout, when membership was lost: the partitions may be somebody else's already, so no longer."""

LEAVE: Final = 7.0
"""Seconds for leaving a group that is joined again at once; Kafka may be away."""

LEAVE_HALF_JOINED: Final = 2.0
"""Seconds for leaving a group that could not be joined: there is hardly anything to close."""


class SegmentationService(faust.Service):
    """Keeps this worker a member of its group, fed and looked after.

    Parameters
    ----------
    prepare : sequence of awaitable functions
        Called in turn before anything is owned; they raise ``SegstreamError`` if the servers do not suit.
    holdings : Holdings
    membership : Membership
    fetcher : Fetcher
    steps : Steps
        Each done once a second.
    close : sequence of awaitable functions
        Called after the group is left.
    vitals : Vitals
    drain_timeout : float
        Seconds for stopping.
    """

    def __init__(
        self,
        *,
        prepare: Sequence[Callable[[], Awaitable[object]]],
        holdings: Holdings,
        membership: Membership,
        fetcher: Fetcher,
        steps: Steps,
        close: Sequence[Callable[[], Awaitable[object]]],
        vitals: Vitals,
        drain_timeout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._prepare, self._close = prepare, close
        self._holdings, self._membership, self._fetcher, self._steps = holdings, membership, fetcher, steps
        self._vitals, self._drain_timeout = vitals, drain_timeout
        self._log = structlog.get_logger("segstream")
        self._joining: asyncio.Task[None] | None = None
        self._joined, self._rejoined_at, self._retry = False, -math.inf, 0.0
        membership.on_defect = self.crash

    async def on_start(self) -> None:
        """Check the servers and try to join the group; if it is refused, go on trying once started."""
        for part in self._prepare:
            await part()
        if self.should_stop:  # asked to in the meantime
            return
        self._joined = await self._joins()
        self._log.info("joining")

    async def on_stop(self) -> None:
        """Finish what is in hand, publish it, acknowledge, and leave the group, all within the drain timeout."""
        self._vitals.stopping = True
        if self._joining is not None:
            await end([self._joining])
        await self._membership.leave(self._drain_timeout * RELEASE_SHARE, self._drain_timeout * LEAVE_SHARE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout * CLOSE_SHARE):
                await asyncio.gather(*(part() for part in self._close), return_exceptions=True)
        self._log.info("stopped")

    @Service.task
    async def _poll(self) -> None:
        if not self._joined:
            await self._pause()
            await self._keep_joining()
        while not self.should_stop:
            self._vitals.polled()
            try:
                fetched = await self._fetcher.fetch()
            except SegstreamError as error:
                await self._join_anew(error)
                continue
            if not fetched and not self._holdings.assigned():
                await self.sleep(NOTHING_ASSIGNED)

    async def _join_anew(self, lost: SegstreamError) -> None:
        """Leave the group and join it again: aiokafka does not recover from every loss of membership."""
        if self.should_stop:  # the group was left on purpose
            return
        self._log.warning("fetch_failed", error=str(lost))
        held = asyncio.get_running_loop().time() - self._rejoined_at >= STEADY
        await self._membership.leave(self._drain_timeout * REJOIN_SHARE, LEAVE)
        if held:
            self._retry = 0.0
        else:  # each time is a rebalance for the whole group
            await self._pause()
        await self._keep_joining()
        self._rejoined_at = asyncio.get_running_loop().time()

    async def _keep_joining(self) -> None:
        while not self.should_stop and not await self._joins():
            await self._pause()

    async def _pause(self) -> None:
        self._retry = min(max(2 * self._retry, RETRY), LONGEST_RETRY)
        self._vitals.polled()
        await self.sleep(self._retry)

    async def _joins(self) -> bool:
        """Try to join the group; return whether it was not refused."""
        try:
            await self._join()
        except SegstreamError as error:
            text, said = str(error), self._vitals.refused
            self._vitals.refused = text
            self._log.log(logging.DEBUG if text == said else logging.WARNING, "cannot_join", error=text)
            await self._membership.leave(0, LEAVE_HALF_JOINED)
            return False
        self._vitals.refused = ""
        return True

    async def _join(self) -> None:
        """Join the group, however long that takes; return early when asked to stop."""
        joining = self._joining = asyncio.create_task(self._membership.join(), name="join")
        try:
            while not joining.done() and not self.should_stop:
                self._vitals.polled()  # an outage of Kafka is no reason to be restarted
                await asyncio.wait({joining}, timeout=JOIN_LOOK)
        finally:
            await end([joining])
        if self.should_stop:
            return
        if joining.cancelled():  # by aiokafka: nobody else did
            raise ServerError("join the consumer group: Kafka's client gave it up; check the brokers")
        joining.result()

    @Service.task
    async def _tick(self) -> None:
        # Each in a task of its own: Redis that hangs must not keep anybody from asking Kafka, nor what is only
        # acknowledged or sampled the partitions' clocks from moving.
        tasks = [asyncio.create_task(self._repeat(name), name=name) for name in self._steps.names]
        try:
            await asyncio.gather(*tasks)
        finally:
            await end(tasks)

    async def _repeat(self, step: str) -> None:
        while not self.should_stop:
            await self._steps.do(step)
            await self.sleep(TICK)
