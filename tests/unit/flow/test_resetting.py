"""A partition begun anew, or moved on in the log, over the real flow: what consumers see, and dying on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import pytest

from segstream.adapters.memory.listings import MemoryMemberLists
from segstream.adapters.memory.log import MemoryPublisher
from segstream.adapters.memory.state import partition_of
from segstream.core.definitions import read_definitions
from segstream.core.events import LogRecord
from segstream.errors import Fenced, PositionError
from segstream.library import Library, Version
from segstream.outbox import Topics
from segstream.ports import Told
from segstream.resetting import Resetter
from segstream.upkeep import SLICE, sweep
from tests.unit.flow.worlds import START, Crash, Store, World, feed, finish, record, track

SHOP = """
version: 1
features:
  orders:     {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
segments:
  buyer:  {when: orders >= 1}
  loyal:  {when: orders >= 2}
  silent: {when: since(last_order) > 1s}
"""
SEGMENTS = ("buyer", "loyal", "silent")
COMMAND = "segstream reset --partition 0 --to earliest"


def history(users: int, chance: Random) -> list[LogRecord]:
    """Return three orders for each of so many users, at random."""
    names = [f"u{chance.randrange(users):04d}" for _ in range(3 * users)]
    return [
        record(offset, START + 500 * offset, track(name, "Order Completed", START + 500 * offset))
        for offset, name in enumerate(names)
    ]


def resetter_of(world: World) -> Resetter:
    """Return what resets partition 0."""

    async def told_users() -> AsyncIterator[Sequence[str]]:
        seen = world.log.consumers_view("segment-memberships", 0)
        for first in range(0, len(seen), 100):
            names = {each.key.decode() for each in seen[first : first + 100] if each.value is not None}
            if names:
                yield sorted(names)

    store = Store(world.server, 0)
    store.fuse = world.fuse
    return Resetter(
        0,
        store,
        MemoryPublisher(0, world.log, hook=world.fuse.hook),
        world.read_model,
        MemoryMemberLists(world.server),
        told_users=told_users,
        segments=SEGMENTS,
        topics=Topics(),
        now=lambda: START,
    )


async def begin_anew(world: World, offset: int) -> int:
    """Drop all users and read on from an offset; return how many there were."""
    resetter = resetter_of(world)
    highest = await resetter.take_over()
    await resetter.mark(COMMAND)
    users = await resetter.drop(highest + 1, lambda _users: None)
    await resetter.begin(highest + 2, {"events": offset}, 1)
    return users


def consumers_view(world: World) -> dict[str, list[str]]:
    """Follow the changes as a consumer does, failing at a contradiction, and return each user's segments."""
    position: dict[str, tuple[int, int]] = {}
    held: dict[str, set[str]] = {}
    for change in world.changes():
        user, here = change["user_id"], (change["incarnation"], change["sequence"])
        before = position.get(user, (0, 0))
        if here[0] > before[0]:
            assert here[1] == 1, change
            held[user] = set()
        else:
            assert here == (before[0], before[1] + 1), (before, change)
        position[user] = here
        mine = held.setdefault(user, set())
        if change["change"] == "restated":
            mine.clear()
            mine.update(change["segments"])
        elif change["change"] == "entered":
            assert change["segment"] not in mine, change
            mine.add(change["segment"])
        else:
            mine.remove(change["segment"])
        assert sorted(mine) == change["segments"], change
    return {user: sorted(segments) for user, segments in held.items()}


def check(world: World, expected: dict[str, list[str]]) -> None:
    """Check that changes, compacted topic, answers and member lists all say what is expected, and nothing else."""
    told = {user: segments for user, segments in consumers_view(world).items() if segments}
    assert told == expected
    assert {user: sorted(found["segments"]) for user, found in world.memberships().items()} == expected
    for user in {*consumers_view(world), *expected}:
        answer = world.read_model.answer(user)
        assert sorted(name[2:] for name in answer if name.startswith("s:")) == expected.get(user, []), user
    for segment in SEGMENTS:
        members = set(world.read_model.members(segment, 0))
        assert members == {user for user, segments in expected.items() if segment in segments}


async def recount(records: Sequence[LogRecord], end: int) -> dict[str, list[str]]:
    """Return everybody's segments by a worker that read only these records."""
    world = World([(0, SHOP)])
    flow = await world.owner()
    await feed(flow, records)
    await finish(flow, end)
    return {user: segments for user, segments in consumers_view(world).items() if segments}


async def played(records: Sequence[LogRecord]) -> World:
    """Return a world in which a worker has applied these records."""
    world = World([(0, SHOP)])
    flow = await world.owner()
    await feed(flow, records)
    await finish(flow, None)
    return world


async def go_on(world: World, records: Sequence[LogRecord], end: int) -> None:
    """Let a worker read on from where the state says."""
    flow = await world.owner()
    assert not flow.forgotten
    done = flow.partition.meta.offsets["events"]
    await feed(flow, [each for each in records if each.offset > done])
    await finish(flow, end)


@pytest.mark.parametrize("offset", [0, 300, 498])
async def test_after_a_reset_everything_says_what_a_recount_from_there_says(offset: int) -> None:
    """Users whose events are not read again are in no segment, for consumers of any kind; sequences have no gap."""
    records = history(SLICE // 3, Random(offset))
    world = await played(records)
    users = len(world.users())
    assert await begin_anew(world, offset) == users
    check(world, {})
    assert world.users() == {}
    end = records[-1].timestamp + 1
    await go_on(world, records, end)
    check(world, await recount(records[offset:], end))


@pytest.mark.parametrize("seed", range(15))
async def test_died_anywhere_the_same_again_finishes_it(seed: int) -> None:
    """Nobody is told twice, and no worker takes up what is half done."""
    chance = Random(seed)
    records = history(60, chance)
    world = await played(records)
    # What was decided and not told yet when the worker died.
    late = record(len(records), records[-1].timestamp + 1, track("late", "Order Completed", START))
    dying = await world.owner()
    await feed(dying, [late])
    records.append(late)
    for _ in range(chance.randrange(1, 4)):
        world.fuse.steps = chance.randrange(1, 30)
        try:
            await begin_anew(world, 100)
        except Crash:
            world.fuse.steps = None
            if partition_of(world.server, "segstream", 0).meta.reset.startswith("pending"):
                with pytest.raises(PositionError, match=f"finish it with `{COMMAND}`"):
                    await world.owner()
    world.fuse.steps = None
    await begin_anew(world, 100)
    check(world, {})
    end = records[-1].timestamp + 1
    await go_on(world, records, end)
    check(world, await recount(records[100:], end))


async def test_what_was_decided_before_is_told_before_users_are_dropped() -> None:
    """Changes under the old incarnation, and dead letters: nobody will decide them again."""
    records = history(10, Random(11))
    world = await played(records)
    owner = await world.owner()
    at = records[-1].timestamp
    await feed(owner, [record(900, at, track("late", "Order Completed", at)), record(901, at, b"not json")])
    await begin_anew(world, 0)
    told = [
        (change["incarnation"], change["change"]) for change in world.changes() if change["user_id"] == "late"
    ]
    assert told == [(1, "entered"), (2, "restated")]
    assert [letter["offset"] for letter in world.letters()] == [901]


async def test_users_dropped_just_before_a_crash_are_told_what_was_committed_then() -> None:
    """It is in the outbox, and the same incarnation still holds when it goes out."""
    records = history(10, Random(12))
    world = await played(records)
    users = set(world.users())
    for steps in range(1, 40):
        world.fuse.steps = steps
        try:
            await begin_anew(world, 0)
        except Crash:
            world.fuse.steps = None
        held = partition_of(world.server, "segstream", 0)
        if held.outbox and not held.users:
            break
    dropped_under = held.meta.incarnation
    told = {change["user_id"] for change in world.changes() if change["incarnation"] == dropped_under}
    assert told < users
    await begin_anew(world, 0)
    told = {change["user_id"] for change in world.changes() if change["incarnation"] == dropped_under}
    assert told == users
    check(world, {})


async def test_users_that_redis_has_lost_are_told_by_what_the_compacted_topic_knows() -> None:
    """Emptied under everybody: whoever does not come back from the log is in no segment any more."""
    records = history(300, Random(3))
    world = await played(records)
    empty = World([(0, SHOP)]).server.snapshot()
    world.server.restore(empty)
    known = len(world.memberships())
    assert await begin_anew(world, 800) == known
    end = records[-1].timestamp + 1
    await go_on(world, records, end)
    check(world, await recount(records[800:], end))


async def test_a_zombie_is_fenced_from_both_servers() -> None:
    """A worker frozen before the reset changes nothing when it wakes."""
    records = history(50, Random(4))
    world = await played(records)
    zombie = await world.owner()
    await feed(zombie, [record(900, START, track("zombie", "Order Completed", START))])
    await begin_anew(world, 0)
    with pytest.raises(Fenced):
        await zombie.publish()
    with pytest.raises(Fenced):
        await zombie.partition.commit(zombie.partition.draft())
    check(world, {})


async def test_the_incarnation_is_above_all_that_was_told() -> None:
    """Also where Redis has an older one."""
    world = await played(history(5, Random(6)))
    publisher = MemoryPublisher(0, world.log)
    await publisher.fence()
    await publisher.publish([], Told(41, 9, 3))
    await begin_anew(world, 0)
    meta = partition_of(world.server, "segstream", 0).meta
    assert meta.incarnation == 44  # 42 since Redis had forgotten, 43 to tell of those dropped
    assert (meta.reset, meta.offsets, meta.clock) == ("44", {"events": -1}, 0)
    assert world.log.last_told("segstream-0").incarnation == 44


async def test_moved_on_every_answer_is_restated_and_the_events_between_are_left_out() -> None:
    """States stay; nothing is called forgotten, since it was meant."""
    records = history(100, Random(7))
    world = await played(records[:200])
    resetter = resetter_of(world)
    incarnation = await resetter.take_over() + 1
    await resetter.move(incarnation, {"events": 250})
    flow = await world.owner()
    assert not flow.forgotten
    while await sweep(flow.partition):
        pass
    await feed(flow, records[250:])
    end = records[-1].timestamp + 1
    await finish(flow, end)
    check(world, await recount([*records[:200], *records[250:]], end))
    restated = [change for change in world.changes() if change["change"] == "restated"]
    assert {change["incarnation"] for change in restated} == {incarnation}
    assert len(restated) == len({each.key for each in records[:200]})


@pytest.mark.parametrize("seed", range(8))
async def test_a_move_that_died_is_done_by_the_same_again(seed: int) -> None:
    """The position is moved, or the worker says again what is wrong with it."""
    records = history(40, Random(seed))
    world = await played(records[:60])
    world.fuse.steps = seed
    resetter = resetter_of(world)
    try:
        await resetter.move(await resetter.take_over() + 1, {"events": 90})
    except Crash:
        world.fuse.steps = None
        resetter = resetter_of(world)
        await resetter.move(await resetter.take_over() + 1, {"events": 90})
    world.fuse.steps = None
    end = records[-1].timestamp + 1
    await go_on(world, records, end)
    check(world, await recount([*records[:60], *records[90:]], end))


async def test_what_is_half_reset_is_not_moved() -> None:
    """Its users are half gone."""
    world = await played(history(5, Random(9)))
    resetter = resetter_of(world)
    await resetter.take_over()
    await resetter.mark(COMMAND)
    again = resetter_of(world)
    await again.take_over()
    with pytest.raises(PositionError, match="a reset was begun and not finished"):
        await again.move(9, {"events": 1})


async def test_a_state_that_nobody_can_read_goes_all_the_same() -> None:
    """Written by a later version of the program; the member lists say where the user was."""
    world = await played(history(5, Random(10)))
    held = partition_of(world.server, "segstream", 0)
    for user in held.states:
        held.states[user] = b"\x91\x63"
    await begin_anew(world, 0)
    check(world, {})


def test_only_definitions_decide_what_is_dropped() -> None:
    """The example's definitions have the segments that these tests look for."""
    library = Library()
    library.add_version(Version(1, 0, read_definitions(SHOP)))
    found: list[Any] = library.segments()
    assert found == sorted(SEGMENTS)
