"""A runner loses its partition's servers, and gets them back; a worker takes over from one that knows more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from segstream.adapters.memory.state import partition_of
from segstream.core.definitions import read_definitions
from segstream.core.events import Record
from segstream.core.time import format_time
from segstream.core.user import SCHEMA
from segstream.errors import DefinitionError, NewerState, SegstreamError, ServerError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.library import Library, Version
from segstream.runner import Pace, Runner
from segstream.upkeep import adopt_definitions
from tests.unit.flow.worlds import START, World, feed, finish, record, track

BUYERS = """
version: 1
features: {orders: {op: count, event: Order Completed}}
segments: {buyer: {when: orders >= 1}}
"""
LOYAL = """
version: 1
features: {orders: {op: count, event: Order Completed}}
segments: {loyal: {when: orders >= 2}}
"""
PACE = Pace(publish_interval=0.01, first_retry=0.01, last_retry=0.01)


class Group:
    """A consumer group whose coordinator may not answer for a while.

    Parameters
    ----------
    records : list of Record
        The log.
    answers : iterator of bool
        What it says of ownership, in turn.
    """

    def __init__(self, records: list[Record], answers: Iterator[bool]) -> None:
        self.records, self.answers = records, answers
        self.asked = self.losses = 0

    async def still_owns(self, number: int) -> bool:
        """Give the next answer."""
        assert number == 0
        self.asked += 1
        return next(self.answers)

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Put all records that are not applied into the inbox."""
        applied = flow.partition.applied.get("events", -1)
        runner.inbox.add("events", self.records[applied + 1 :], fetched_all=True)

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Count it."""
        assert isinstance(error, ServerError | NewerState)
        self.losses += 1
        runner.inbox.clear()


async def until(condition: Callable[[], object]) -> None:
    """Let the runner go on until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen from outside only
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(world: World, group: Group, failing: int) -> AsyncIterator[Runner]:
    """Run a partition whose first flows cannot be taken over."""
    failures = iter([True] * failing)

    def make_flow() -> Flow:
        flow = world.flow()
        if next(failures, False):

            async def refuse() -> None:
                raise ServerError("Kafka is away")

            flow.take_over = refuse  # type: ignore[method-assign]  # an outage
        return flow

    runner = Runner(0, make_flow, Inbox(["events"]), group, PACE)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.stop()
        await asyncio.wait_for(task, 10)


async def test_a_partition_that_nobody_can_confirm_for_a_while_is_worked_on_afterwards() -> None:
    """No answer from the group is no reason to leave a partition to nobody: only a rebalance takes it away."""
    world = World([(0, BUYERS)])
    group = Group([record(0, START, track("7", "Order Completed", START))], iter([False, False, False, True]))
    async with running(world, group, failing=1) as runner:
        await until(world.changes)
        assert runner.trouble == ""
    assert (group.losses, group.asked) == (1, 4)


async def test_a_runner_that_waits_for_its_group_can_be_stopped() -> None:
    """A rebalance ends it, however long no answer comes."""
    group = Group([], repeat(object=False))
    async with running(World([(0, BUYERS)]), group, failing=1) as runner:
        await until(lambda: group.asked >= 3)
        assert runner.trouble == "Kafka is away"


async def test_what_was_applied_is_known_after_the_partition_is_given_up() -> None:
    """So that the last acknowledgement can tell the group."""
    world = World([(0, BUYERS)])
    group = Group([record(0, START, track("7", "Order Completed", START))], iter([True]))
    async with running(world, group, failing=0) as runner:
        await until(world.changes)
    assert runner.flow is None
    assert runner.applied == {"events": 0}


async def test_a_state_of_a_later_program_stops_its_partition_and_says_so() -> None:
    """Not the worker, which has other partitions: a former version may own one again after a rebalance."""
    world = World([(0, BUYERS)])
    records: list[Record] = [
        record(offset, START + offset, track("7", "Order Completed", START)) for offset in range(2)
    ]
    await (await world.owner()).process(records[:1])
    states = partition_of(world.server, "segstream", 0).states
    states["7"] = states["7"].replace(bytes([SCHEMA]), bytes([SCHEMA + 1]), 1)
    runner = Runner(0, world.flow, Inbox(["events"]), Group(records, repeat(object=True)), PACE)
    async with asyncio.timeout(10):
        await runner.run()
    assert runner.trouble == (
        f"partition 0: a user's state has schema {SCHEMA + 1}, and this version of segstream reads up to {SCHEMA}: a later "
        "one has worked here. Go on with that one, or begin anew with `segstream reset --to earliest`"
    )
    assert runner.applied == {"events": 0}, "nothing is applied past it"


async def test_a_worker_takes_over_from_one_that_has_adopted_a_version_it_has_not_heard_of() -> None:
    """It looks for new versions once the earlier owner is fenced; before that, one more might be adopted."""
    world = World([(0, BUYERS)])
    late = World([(0, BUYERS)])
    late.server, late.log, late.read_model = world.server, world.log, world.read_model
    second = Version(2, START, read_definitions(LOYAL))
    first = await world.owner()
    await first.process([record(0, START, track("7", "Order Completed", START))])
    late_flow = late.flow()

    async def refresh() -> None:
        assert partition_of(world.server, "segstream", 0).meta.epoch == 2, (
            "the earlier owner may still adopt one more"
        )
        late.library.add_version(second)

    late_flow = Flow(0, late_flow.partition, late.read_model, late_flow.publisher, refresh)
    world.library.add_version(second)
    await adopt_definitions(first.partition, START)
    await late_flow.take_over()
    await late_flow.process([record(1, START + 1, track("7", "Order Completed", START + 1))])
    while await late_flow.publish():
        pass
    assert [
        (change["change"], change["segment"], change["definitions_version"]) for change in late.changes()
    ] == [
        ("entered", "buyer", 1),
        ("exited", "buyer", 2),
        ("entered", "loyal", 2),
    ]


def texts(world: World, *versions: tuple[int, str]) -> None:
    """Let a world's workers know these versions as they are stored."""
    world.library = Library()
    for number, (at, text) in enumerate(versions, 1):
        world.library.add_version(Version(number, at, text))


async def test_a_partition_goes_on_by_a_later_version_although_an_earlier_one_is_refused() -> None:
    """A program that has become stricter keeps no partition from starting that rests on what it reads."""
    world = World([(0, BUYERS)])
    texts(world, (0, BUYERS), (START + 1, LOYAL))
    flow = await world.owner()
    await flow.process([record(0, START, track("7", "Order Completed", START))])
    await finish(flow, START + 1)
    texts(world, (0, BUYERS.replace(">=", "=>")), (START + 1, LOYAL))
    flow = await world.owner()
    await flow.process([record(1, START + 2, track("7", "Order Completed", START + 2))])
    await finish(flow, None)
    told = [(each["change"], each["segment"], each["definitions_version"]) for each in world.changes()]
    assert told == [("entered", "buyer", 1), ("exited", "buyer", 2), ("entered", "loyal", 2)]


async def test_a_partition_stops_when_a_version_comes_into_force_that_is_refused() -> None:
    """Not before; then it says which, and what to do, and goes on where it stood once a program owns it that reads it."""
    world = World([(0, BUYERS)])
    texts(world, (0, BUYERS), (START + 5, LOYAL.replace(">=", "=>")))
    records = [record(0, START, track("7", "Order Completed", START))]
    records.append(record(1, START + 9, track("7", "Order Completed", START + 9)))
    flow = await world.owner()
    await feed(flow, records[:1])
    await finish(flow, None)
    for _ in range(2):
        with pytest.raises(DefinitionError, match=r"^definitions version 2:4:\d+: .*go on with that one"):
            await feed(flow, records[1:])
        flow = await world.owner()
        assert flow.partition.applied == {"events": 0}
    assert [(each["change"], each["segment"]) for each in world.changes()] == [("entered", "buyer")]
    texts(world, (0, BUYERS), (START + 5, LOYAL))
    flow = await world.owner()
    await feed(flow, records[1:])
    await finish(flow, None)
    told = [(each["change"], each["segment"], each["at"]) for each in world.changes()]
    assert told[1:] == [
        ("exited", "buyer", format_time(START + 5)),
        ("entered", "loyal", format_time(START + 9)),
    ]
