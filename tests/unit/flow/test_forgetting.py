"""Redis forgets something that was told, and users are brought up to date through what was decided before."""

from __future__ import annotations

import pytest

from segstream.core.definitions import read_definitions
from segstream.core.engine import Outcome
from segstream.core.user import User
from segstream.errors import StateLost
from segstream.library import Version
from segstream.upkeep import adopt_definitions, drain, sweep
from tests.stories import follow
from tests.unit.flow.worlds import START, World, feed, finish, record, track

ACTIVE = """
version: 1
features: {last_order: {op: last_time, event: Order Completed}}
segments: {active: {when: since(last_order) <= 8s}}
"""
BUYER = """
version: 1
features: {orders: {op: count, event: Order Completed}}
segments: {buyer: {when: orders >= 1}}
"""


def told(world: World, user: str) -> list[tuple[int, int, str]]:
    """Return a user's changes: incarnation, sequence, direction; fail where they contradict."""
    changes = [change for change in world.changes() if change["user_id"] == user]
    follow(user, changes)
    return [(change["incarnation"], change["sequence"], change["change"]) for change in changes]


async def test_a_timer_told_and_forgotten_is_not_told_again_under_the_old_incarnation() -> None:
    """It was due before the loss was noticed: the whole answer, restated, stands for it."""
    world = World([(0, ACTIVE)])
    flow = await world.owner()
    await feed(flow, [record(0, START, track("7", "Order Completed", START))])
    await feed(flow, [record(1, START + 20_000, track("8", "Visited", START + 20_000))])
    while await flow.publish():
        pass
    before = world.server.snapshot()
    await drain(flow.partition)
    while await flow.publish():
        pass
    world.server.restore(before)
    await finish(await world.owner(), START + 30_000)
    assert told(world, "7") == [(1, 1, "entered"), (1, 2, "exited"), (2, 1, "restated")]


async def test_a_new_version_told_and_forgotten_is_not_told_again_under_the_old_incarnation() -> None:
    """What it changed for a user was told; Redis kept that it is in force, and forgot the user's."""
    world = World([(0, ACTIVE)])
    flow = await world.owner()
    await feed(flow, [record(0, START, track("7", "Order Completed", START))])
    world.library.add_version(Version(2, START, read_definitions(BUYER)))
    await adopt_definitions(flow.partition, START + 1)
    while await flow.publish():
        pass
    before = world.server.snapshot()
    await feed(flow, [record(1, START + 2, track("7", "Order Completed", START + 2))])
    while await flow.publish():
        pass
    world.server.restore(before)
    await finish(await world.owner(), START + 30_000)
    assert told(world, "7") == [
        (1, 1, "entered"),
        (1, 2, "exited"),
        (1, 3, "entered"),
        (2, 1, "restated"),
    ]


async def test_a_state_older_than_all_that_decide_is_a_loss_and_no_defect() -> None:
    """All users had been brought up to version 2; then Redis went back, and holds one that rests on version 1."""
    world = World([(0, ACTIVE)])
    first = await world.owner()
    await feed(first, [record(0, START, track("7", "Order Completed", START))])
    before = world.server.snapshot()
    world.library.add_version(Version(2, START, read_definitions(BUYER)))
    await adopt_definitions(first.partition, START + 1)
    while await sweep(first.partition):
        pass
    second = await world.owner()
    engine = second.partition.engine
    old = User("7", engine.current.zero, basis=1, incarnation=1)
    with pytest.raises(StateLost, match=r"rests on basis 1, and all had been brought up to 2"):
        engine.touch(old, Outcome())
    world.server.restore(before)
    with pytest.raises(StateLost):
        await feed(second, [record(1, START + 2, track("7", "Order Completed", START + 2))])
    await finish(await world.owner(), START + 30_000)
