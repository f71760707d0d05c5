"""A runner loses its partition's servers, and gets them back; a worker takes over from one that knows more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

from segstream.adapters.memory.state import partition_of
from segstream.core.definitions import read_definitions
from segstream.core.events import Record
from segstream.errors import SegstreamError, ServerError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.library import Version
from segstream.runner import Pace, Runner
from segstream.upkeep import adopt_definitions
from tests.unit.flow.worlds import START, World, record, track

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
        assert isinstance(error, ServerError)
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
