"""What a partition has in hand between taking records and having told of them: how much it takes, and how that is bounded."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from sys import getsizeof

from segstream import partition
from segstream.core.events import Record
from segstream.flow import Flow
from segstream.inbox import MOST_BATCH_BYTES, Inbox, weight
from segstream.outbox import ENTRY_BYTES
from segstream.ports import Commit
from segstream.runner import LESS, MADE_OF, Pace, Runner
from tests.unit.flow.test_keeping_going import BUYERS, Group, until
from tests.unit.flow.worlds import START, World, feed, record, track

BATCH = 8
PACE = Pace(batch=BATCH, publish_interval=0.02)
LOG: list[Record] = [
    record(offset, START + offset, track(f"u{offset}", "Order Completed", START))
    for offset in range(6 * BATCH)
]


class Watched(Inbox):
    """Keeps how many records were taken each time, and how many parcels waited to be published then.

    Attributes
    ----------
    parcels : callable
        Returns the latter.
    """

    def __init__(self) -> None:
        super().__init__(["events"])
        self.parcels: Callable[[], int] = lambda: 0
        self.seen: list[tuple[int, int]] = []

    def take(self, most: int, most_bytes: int = MOST_BATCH_BYTES) -> list[Record]:
        """Take some."""
        taken = super().take(most, most_bytes)
        if taken:
            self.seen.append((len(taken), self.parcels()))
        return taken


async def taken(world: World, *, room: bool) -> list[tuple[int, int]]:
    """Let a runner apply and tell the whole log; return what it took each time, and what waited then."""
    inbox = Watched()
    runner = Runner(0, world.flow, inbox, Group(LOG, repeat(object=True)), PACE, room=lambda: room)
    inbox.parcels = lambda: 0 if runner.flow is None else len(runner.flow.partition.parcels)
    task = asyncio.create_task(runner.run())
    await until(lambda: len(world.changes()) == len(LOG))
    runner.stop()
    await asyncio.wait_for(task, 10)
    return inbox.seen


async def test_without_room_a_partition_takes_less_and_only_when_it_has_told_all() -> None:
    """So it goes on whatever becomes of the others, and what they have in hand together hardly grows."""
    crowded, alone = World([(0, BUYERS)]), World([(0, BUYERS)])
    assert await taken(crowded, room=False) == [(BATCH // LESS, 0)] * (len(LOG) // (BATCH // LESS))
    seen = await taken(alone, room=True)
    assert [count for count, _ in seen] == [BATCH] * (len(LOG) // BATCH)
    assert any(waiting for _, waiting in seen), "what was applied before waits to be told"
    assert crowded.changes() == alone.changes()


async def test_what_is_in_hand_counts_from_before_it_is_loaded_until_it_is_told() -> None:
    """By the records at first, by what waits to be published afterwards."""
    world, seen = World([(0, BUYERS)]), list[int]()

    def make_flow() -> Flow:
        flow = world.flow()
        commit = flow.partition.store.commit

        async def look(what: Commit) -> int:
            seen.append(runner.in_hand - ENTRY_BYTES * len(flow.partition.parcels))
            return await commit(what)

        flow.partition.store.commit = look  # type: ignore[method-assign, assignment]  # to be there at the moment
        return flow

    runner = Runner(0, make_flow, Inbox(["events"]), Group(LOG, repeat(object=True)), PACE)
    task = asyncio.create_task(runner.run())
    await until(lambda: len(world.changes()) == len(LOG))
    assert MADE_OF * sum(map(weight, LOG[:BATCH])) in seen
    await until(lambda: runner.in_hand == 0)
    runner.stop()
    await asyncio.wait_for(task, 10)


async def test_what_waits_to_be_published_takes_little_more_than_its_bytes() -> None:
    """And not the tenfold that orjson has made room for in each of its results."""
    flow = await World([(0, BUYERS)]).owner()
    tracemalloc.start()
    try:
        await feed(flow, LOG)
        here = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(inclusive=True, filename_pattern=partition.__file__)]
        )
    finally:
        tracemalloc.stop()
    changes = [change for parcel in flow.partition.parcels for change in parcel.changes]
    assert len(changes) == len(LOG)
    held = sum(trace.size for trace in here.traces)
    assert held < 2 * sum(map(getsizeof, (value for _, value in changes)))
