"""A worker whose machine's clock jumps.

What is right is what a worker with a right clock tells of the same log, record by record. *When* a time-based segment is
left is decided by events and definitions (the last visit, and 30 minutes), never by who looks at a clock; a clock only
says how far the partition's may go, since all that arrived until then has been read (*Time* in worker/README.md). So

- with a clock an hour ahead nobody may be told to have gone who has not: the visit that keeps him may still come, and
  then the change would have told what never was, with an ``at`` that lies in the future;
- with a clock an hour behind what falls due is told, at the latest when the clock is right again, once, with the ``at``
  at which it fell due; what was told before stays told: a partition's clock does not go back.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from segstream.core.time import parse_time
from tests.checker import Stories, stories
from tests.faults.ledger import entry
from tests.faults.site import Site
from tests.faults.visits import BACK, FORWARD, Visits, clocks_of, now
from tests.workers import Worker

DIRECTIONS = pytest.mark.parametrize(
    ("direction", "step", "back"), [("forward", FORWARD, BACK), ("back", BACK, FORWARD)]
)

SILENCES = """
version: 1
features:
  visits:     {op: count, event: Visit}
  visits_5s:  {op: count, event: Visit, window: 5s, resolution: 1s}
  visits_40m: {op: count, event: Visit, window: 40m}
  last_visit: {op: last_time, event: Visit}
  pace:       {op: rate, event: Visit, half_life: 2s, per: 1s}
segments:
  here:     {when: since(last_visit) <= 2s}
  gone:     {when: since(last_visit) > 3s}
  busy:     {when: visits_5s >= 3}
  eager:    {when: pace >= 0.6, leave_when: pace < 0.1}
  settled:  {when: visits >= 2 and since(last_visit) >= 2s, min_dwell: 1s}
  around:   {when: since(last_visit) <= 30m}
  frequent: {when: visits_40m >= 3}
  missed:   {when: since(last_visit) > 50m}
"""
"""The first five turn within seconds; the others within an hour, by which a clock goes wrong: not while a test lasts."""


@pytest.mark.long
@DIRECTIONS
async def test_a_clock_stepped_by_an_hour_changes_nothing(
    site: Site, direction: str, step: signal.Signals, back: signal.Signals
) -> None:
    """Forward or back in the middle of the work, and after a while the other way: times come from the events."""
    with entry(
        f"the worker's clock stepped {direction} by an hour",
        "and after a while the other way",
        2,
        seed=site.seed,
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


@pytest.mark.long
@DIRECTIONS
async def test_a_clock_stepped_by_an_hour_meets_live_deadlines_once_and_in_their_time(
    kafka: str,
    redis_url: str,
    calm_redis: str,
    tmp_path: Path,
    direction: str,
    step: signal.Signals,
    back: signal.Signals,
) -> None:
    """Stepped while users come, and stepped while all are silent: who is to leave leaves once, at the right moment."""
    site = await Site(kafka, redis_url, calm_redis, tmp_path, definitions=SILENCES).open()
    visits = Visits(site.scene, site.seed)
    done = "while users come and while all are silent, with deadlines of seconds and of an hour; later the other way"
    with entry(
        f"the worker's clock stepped {direction} by an hour, live deadlines pending", done, 4, seed=site.seed
    ) as row:
        with Worker(site.environment(failpoint="clock:3600", failpoint_allowed="true")) as worker:
            await visits.go_on(3)
            await site.applied(worker)
            for silent in (False, True):
                clocks = await clocks_of(site.scene)
                if silent:
                    await visits.go_on(2)
                os.kill(worker.child.pid, step)
                if not silent:
                    await visits.go_on(4)
                # The clock is wrong still: what falls due in the next seconds falls due, and nothing else does.
                await site.at_rest(worker)
                told = await stories(site.scene)
                assert_silent(told)
                os.kill(worker.child.pid, back)
                await visits.go_on(3)
                await site.at_rest(worker)
                after = await stories(site.scene)
                assert all(after[user][: len(changes)] == changes for user, changes in told.items())
                assert all(new >= old for new, old in zip(await clocks_of(site.scene), clocks, strict=True))
            assert max(await clocks_of(site.scene)) <= now()
            assert await asyncio.to_thread(worker.stop) == 0
        row.tell(await site.check_same(), visits.count)


def assert_silent(told: Stories) -> None:
    """Check that everybody has left what a few seconds of silence end, and nobody what takes half an hour."""
    for user, changes in told.items():
        segments = set(changes[-1]["segments"])
        assert {"gone", "around"} <= segments, (user, segments)
        assert not segments & {"here", "busy", "eager", "missed"}, (user, segments)
        assert all(parse_time(change["at"]) <= now() for change in changes), user
