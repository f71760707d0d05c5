"""A worker whose machine's clock jumps."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.faults.ledger import entry
from tests.faults.site import Site
from tests.workers import Worker


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "back"), [(signal.SIGUSR1, signal.SIGUSR2), (signal.SIGUSR2, signal.SIGUSR1)]
)
async def test_a_clock_stepped_by_an_hour_changes_nothing(
    site: Site, step: signal.Signals, back: signal.Signals
) -> None:
    """Forward or back in the middle of the work, and after a while the other way: times come from the events."""
    direction = "forward" if step is signal.SIGUSR1 else "back"
    with entry(
        f"the worker's clock stepped {direction} by an hour", "and after a while the other way", 2
    ) as row:
        with Worker(site.environment(failpoint="clock:3600", failpoint_allowed="true")) as worker:
            for number in (step, back):
                async with site.load():
                    await site.applied(worker, least=await site.position() + 200)
                    os.kill(worker.child.pid, number)
                    await site.applied(worker, least=await site.position() + 200)
                await site.applied(worker)
            assert await asyncio.to_thread(worker.stop) == 0
        row.tell(await site.check_same(), site.sent)
