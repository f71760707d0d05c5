"""One user who sends a thousand times as many events as others: nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from segstream.adapters.memory.state import partition_of
from segstream.core.events import Record
from segstream.core.partitioning import murmur2
from segstream.errors import SegstreamError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.ports import Commit
from segstream.runner import Pace, Runner
from tests.unit.flow.worlds import START, Store, World, finish, record, track

SHOP = """
version: 1
features:
  orders:  {op: count, event: Order Completed}
  day:     {op: count, event: Order Completed, window: 1d}
  kinds:   {op: distinct, of: properties.kind, event: Order Completed}
  top:     {op: top, of: properties.kind, event: Order Completed}
segments:
  buyer:   {when: orders >= 1}
  keen:    {when: day >= 100}
  curious: {when: kinds >= 100}
"""
BATCH = 100
EVENTS = 10_000
PACE = Pace(batch=BATCH, publish_interval=0.001)


class Owner:
    """A group that nobody leaves, and whose runners lose nothing."""

    async def still_owns(self, number: int) -> bool:
        """Say yes."""
        return number >= 0

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Accept."""

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Fail."""
        raise AssertionError(runner.number) from error


class Remote(Store):
    """A store that is asked over a network: others get their turn meanwhile."""

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Load."""
        await asyncio.sleep(0)
        return await super().load(users)

    async def commit(self, commit: Commit) -> int:
        """Commit."""
        await asyncio.sleep(0)
        return await super().commit(commit)


def flow_of(world: World, number: int) -> Flow:
    """Return a flow over a remote store."""
    flow = world.flow(number)
    flow.partition.store = Remote(world.server, number)
    return flow


def users_of(partition: int, count: int, partitions: int = 2) -> list[str]:
    """Return users of a partition."""
    names = (f"u{number}" for number in range(1_000))
    return [name for name in names if murmur2(name.encode(), partitions) == partition][:count]


def orders(users: Sequence[str], count: int, partition: int) -> list[Record]:
    """Return so many orders, by each user in turn, each with something new."""
    return [
        record(
            offset,
            START + offset,
            track(
                users[offset % len(users)], "Order Completed", START + offset, f"m{offset}", kind=f"k{offset}"
            ),
            partition=partition,
        )
        for offset in range(count)
    ]


async def until(condition: Callable[[], object]) -> None:
    """Let the runners go on until something is so."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen from outside only
            await asyncio.sleep(0)


async def test_another_partitions_users_do_not_wait_for_a_user_who_never_stops() -> None:
    """While one user's log goes on and on, the others of the same worker are applied and told after a few batches."""
    world = World([(0, SHOP)], {"partitions": 2})
    runners = []
    for number, (users, count) in enumerate([(users_of(0, 1), EVENTS), (users_of(1, 10), 10)]):
        inbox = Inbox(["events"])
        inbox.add("events", orders(users, count, number), fetched_all=True)
        runners.append(Runner(number, lambda number=number: flow_of(world, number), inbox, Owner(), PACE))  # type: ignore[misc]  # mypy cannot tell what the default is
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        await until(lambda: len(world.changes(1)) == 10)
        left = len(runners[0].inbox)
        await until(lambda: not runners[0].inbox)
    finally:
        for runner in runners:
            runner.stop()
        await asyncio.gather(*tasks)
    # One batch of theirs for each step of the others': to take over, to apply, to publish; not a tenth of the log.
    assert left >= EVENTS - 10 * BATCH


async def test_users_of_the_same_partition_are_told_at_their_turn_in_the_log() -> None:
    """Within two batches of where their events lie, however many of one user's lie before and behind."""
    world = World([(0, SHOP)])
    loud, *others = users_of(0, 11, partitions=1)
    records = orders([loud], EVENTS, 0)
    places = range(500, EVENTS, 1_000)
    for place, user in zip(places, others, strict=True):
        records[place] = record(place, START + place, track(user, "Order Completed", START + place))
    inbox = Inbox(["events"])
    inbox.add("events", records, fetched_all=True)
    runner = Runner(0, lambda: flow_of(world, 0), inbox, Owner(), PACE)
    task = asyncio.create_task(runner.run())
    try:
        for place, user in zip(places, others, strict=True):
            await until(lambda: user in {change["user_id"] for change in world.changes()})  # noqa: B023 - called at once
            assert EVENTS - len(runner.inbox) <= place + 3 * BATCH
    finally:
        runner.stop()
        await task


async def test_a_batch_of_one_user_only_ends_like_any_other() -> None:
    """It holds no more records than others do, so that the loop, heartbeats and timers get their turn."""
    world = World([(0, SHOP)])
    inbox = Inbox(["events"])
    inbox.add("events", orders(["loud"], EVENTS // 5, 0), fetched_all=True)
    runner = Runner(0, lambda: flow_of(world, 0), inbox, Owner(), PACE)
    task = asyncio.create_task(runner.run())
    await until(lambda: not runner.inbox and world.changes())
    runner.stop()
    await task
    tally = runner._tally  # its batches are counted there and nowhere else
    assert tally.batches.total == EVENTS // 5
    assert sum(tally.batches.counts) == EVENTS // 5 // BATCH
    assert sum(tally.batches.counts[4:]) == 0, "a batch of more than 100"


async def test_the_state_of_a_user_who_never_stops_does_not_grow() -> None:
    """Ten times the events take no more room, nor do the changes: the cost of the next event stays what it was."""
    world = World([(0, SHOP)])
    flow = await world.owner()
    records = orders(["loud"], EVENTS, 0)
    sizes = []
    for first in range(0, EVENTS, 1_000):
        await flow.process(records[first : first + 1_000])
        sizes.append(len(partition_of(world.server, "segstream", 0).states["loud"]))
    await finish(flow, None)
    assert sizes[-1] <= sizes[1] * 1.1
    assert {change["segment"] for change in world.changes()} == {"buyer", "keen", "curious"}
    assert len(world.changes()) == 3
