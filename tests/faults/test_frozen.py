"""A worker that stands still until others have its partitions, and then goes on where it was."""

from __future__ import annotations

import asyncio
from typing import Any

from segstream.adapters.redis.connection import connect
from segstream.runner import Pace
from tests.checker import compacted_of, hashes_of, member_lists_of, stories
from tests.faults.ledger import entry
from tests.faults.site import Site, until_logged
from tests.workers import Worker, ends, progress


async def until_behind(site: Site, entries: int) -> None:
    """Wait until every partition's outbox holds so many entries."""
    client: Any = connect(site.scene.redis)
    boxes = [f"{site.scene.prefix}state:{{{number}}}:outbox" for number in range(site.scene.partitions)]
    try:
        async with asyncio.timeout(60):
            while min([await client.xlen(box) for box in boxes]) < entries:  # noqa: ASYNC110 - in Redis
                await asyncio.sleep(0.01)
    finally:
        await client.aclose()


async def test_a_worker_frozen_past_its_session_tells_nothing_when_it_wakes(site: Site) -> None:
    """Others have taken over: it leaves topics and read model alone, and becomes a member like any other again."""
    with entry(
        "worker frozen past its session, then woken", "SIGSTOP with sends queued, SIGCONT", seed=site.seed
    ) as row:
        # It tells rarely, so that there is much decided and not told: the first thing it will want to do awake.
        with Worker(site.environment(publish_interval="1s")) as first:
            await until_logged(first, '"owns"', 2)
            await site.feed(4_000)
            await until_behind(site, Pace().backlog)
            first.child.freeze()
            assert await _unfinished(site)
            with Worker(site.environment(batch=1_000)) as second:
                await site.applied(second)
                before = await _everything(site)
                first.child.thaw()
                await until_logged(first, '"assigned"', 2)
                assert await _everything(site) == before, "it told or showed something of what it had in hand"
                assert await asyncio.to_thread(second.stop) == 0
            await site.feed(500)
            await site.applied(first)
            assert await asyncio.to_thread(first.stop) == 0
        row.tell(await site.check_same(), site.sent)


async def _everything(site: Site) -> tuple[object, ...]:
    """Return what is told and what is shown: the changes, the compacted topic, users' hashes and the member lists."""
    scene = site.scene
    return (
        await stories(scene),
        await compacted_of(scene),
        await hashes_of(scene),
        await member_lists_of(scene),
    )


async def _unfinished(site: Site) -> bool:
    """Tell whether there is something to do, and something to tell."""
    client: Any = connect(site.scene.redis)
    try:
        wanted = await ends(site.scene, site.scene.events)
        done, outbox = await progress(site.scene, client, wanted)
    finally:
        await client.aclose()
    return done < sum(wanted.values()) and outbox > 0
