"""The read model made anew while the flow goes on."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from segstream.adapters.memory.listings import MemoryMemberLists
from segstream.adapters.memory.read_model import _Answer
from segstream.adapters.memory.rebuilds import MemoryRebuilds
from segstream.adapters.memory.state import partition_of
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.errors import ServerError
from segstream.flow import Flow
from segstream.library import Library, Version
from segstream.rebuilding import Rebuilder
from segstream.upkeep import SLICE, sweep
from segstream.views import TOMBSTONE
from tests.unit.flow.worlds import START, Crash, World, feed, finish, record, track

SHOP = """
version: 1
features:
  orders:     {op: count, event: Order Completed, expose: true}
  last_order: {op: last_time, event: Order Completed}
segments:
  buyer:  {when: orders >= 1}
  loyal:  {when: orders >= 2}
  silent: {when: since(last_order) > 20d}
"""
NO_LOYAL = """
version: 1
features: {orders: {op: count, event: Order Completed, expose: true}}
segments: {buyer: {when: orders >= 1}, keen: {when: orders >= 3}}
"""


def rebuilder_of(world: World, flow: Flow, requested: Callable[[], int]) -> Rebuilder:
    """Return what makes a flow's answers anew."""
    return Rebuilder(flow.number, flow.partition, MemoryMemberLists(world.server), requested)


async def rebuild(world: World, flow: Flow, request: int = 1) -> int:
    """Make everything anew and show it; return how many slices it took."""
    rebuilder, slices = rebuilder_of(world, flow, lambda: request), 1
    while await rebuilder.step():
        slices += 1
        await flow.publish()
    while await flow.publish():
        pass
    return slices


async def shop(users: int, texts: list[tuple[int, str]] | None = None) -> tuple[World, Flow]:
    """Return a world in which every other user of so many has come back."""
    world = World(texts or [(0, SHOP)])
    flow = await world.owner()
    names = [f"u{number:04d}" for number in range(users)] + [
        f"u{number:04d}" for number in range(0, users, 2)
    ]
    await feed(
        flow,
        [
            record(offset, START + offset, track(name, "Order Completed", START + offset))
            for offset, name in enumerate(names)
        ],
    )
    await finish(flow, None)
    return world, flow


def seen(world: World, *extra: str) -> dict[str, Any]:
    """Return all that others see but how it is versioned, with the users named besides."""
    users = sorted({*world.users(), *extra})
    answers = {user: world.read_model.answer(user) for user in users}
    for answer in answers.values():
        answer.pop("v", None)
    segments = ["buyer", "loyal", "silent", "keen", "behaviour.c0", "behaviour.c1"]
    return {
        "answers": answers,
        "memberships": world.memberships(),
        "members": {segment: world.read_model.members(segment, 0) for segment in segments},
    }


def damage(world: World, chance: Random) -> None:
    """Lose, invent and falsify answers and members by hand."""
    values = world.server._values
    for user in list(world.users()):
        kind = chance.randrange(4)
        answer = values.get(f"segments:user:{user}")
        if kind == 0:
            values.pop(f"segments:user:{user}", None)
        elif kind == 1 and answer is not None:
            answer.fields = {"v": "0:1", "s:silent": "{}", "f:orders": "99"}
        for segment in ("buyer", "loyal", "silent"):
            members = values.setdefault(f"segments:members:{segment}:{{0}}", {})
            if chance.random() < 0.3:
                members.pop(user, None)
            elif chance.random() < 0.3:
                members[user] = 1
    for segment in ("buyer", "silent"):
        values[f"segments:members:{segment}:{{0}}"].update(dict.fromkeys(["ghost", "phantom"], 7))


@pytest.mark.parametrize("users", [0, 3, SLICE + 7])
async def test_a_damaged_read_model_equals_the_state_again(users: int) -> None:
    """Answers, member lists and the compacted topic; without a change record or a sequence number."""
    world, flow = await shop(users)
    before, changes = seen(world), world.changes()
    sequences = {name: user.sequence for name, user in world.users().items()}
    damage(world, Random(users))
    assert users == 0 or seen(world) != before
    slices = await rebuild(world, flow)
    assert seen(world) == before
    assert world.changes() == changes
    assert {name: user.sequence for name, user in world.users().items()} == sequences
    assert slices >= users // SLICE
    assert (flow.partition.meta.rebuilt, flow.partition.meta.rebuild) == (1, "")


async def test_a_user_who_was_never_told_of_gets_no_hash_that_stays() -> None:
    """Neither a segment nor an exposed feature: what is wrongly there is replaced by a tombstone, which expires."""
    world, flow = await shop(0)
    await feed(flow, [record(0, START, track("visitor", "Page Viewed", START))])
    await finish(flow, None)
    assert world.read_model.answer("visitor") == {}
    world.server.value("segments:user:visitor", _Answer).fields = {
        "v": "0:1",
        "s:silent": "{}",
        "f:orders": "9",
    }
    await rebuild(world, flow)
    assert not any(name.startswith(("s:", "f:")) for name in world.read_model.answer("visitor"))
    world.server.now = lambda: TOMBSTONE + 1
    assert world.read_model.answer("visitor") == {}


async def test_who_is_listed_in_another_partition_leaves_only_the_list() -> None:
    """Its answer is another partition's business."""
    world = World([(0, SHOP)], {"partitions": 2})
    flow = await world.owner(0)
    own, other = "u0", next(name for name in map(str, range(99)) if _partition(world, name) == 1)
    own = next(name for name in map(str, range(99)) if _partition(world, name) == 0)
    world.server._values["segments:members:buyer:{0}"] = {own: 1, other: 1}
    await (await world.owner(1)).process(
        [record(0, START, track(other, "Order Completed", START), partition=1)]
    )
    theirs = world.flow(1)
    await theirs.take_over()
    await finish(theirs, None)
    answer = world.read_model.answer(other)
    assert "s:buyer" in answer
    await rebuild(world, flow)
    assert world.read_model.members("buyer", 0) == {}
    assert world.read_model.answer(other) == answer
    assert not any(name.startswith("s:") for name in world.read_model.answer(own))


def _partition(world: World, user: str) -> int:
    return world.settings.partitioner(user.encode(), 2)


async def test_what_is_decided_meanwhile_is_what_stays() -> None:
    """Events between the slices, published late: a rebuild's answer never overtakes a later one."""
    world, flow = await shop(SLICE + 20)
    rebuilder = rebuilder_of(world, flow, lambda: 1)
    offset, more = flow.partition.meta.offsets["events"] + 1, True
    chance = Random(5)
    damage(world, chance)
    while more:
        names = [f"u{chance.randrange(SLICE + 20):04d}" for _ in range(40)] + [f"new{offset}"]
        batch = [
            record(
                offset + place,
                START + 10_000 + offset + place,
                track(name, "Order Completed", START + 10_000),
            )
            for place, name in enumerate(names)
        ]
        await feed(flow, batch)
        offset += len(batch)
        more = await rebuilder.step()
        if chance.random() < 0.5:
            await flow.publish()
    await finish(flow, None)
    told: dict[str, list[str]] = {}
    for change in world.changes():
        told[change["user_id"]] = change["segments"]
    members = {segment: world.read_model.members(segment, 0) for segment in ("buyer", "loyal")}
    memberships = world.memberships()
    for user, segments in told.items():
        answer = world.read_model.answer(user)
        assert sorted(name[2:] for name in answer if name.startswith("s:")) == segments
        assert sorted(memberships[user]["segments"]) == segments
        assert [name for name, listed in members.items() if user in listed] == segments
    assert set(members["buyer"]) == set(told)


@pytest.mark.parametrize("seed", range(6))
async def test_died_anywhere_it_is_finished_by_the_next_owner(seed: int) -> None:
    """From the place that the meta names; what everybody sees is the same in the end."""
    world, flow = await shop(SLICE + 5)
    before = seen(world)
    chance = Random(seed)
    damage(world, chance)
    for _ in range(6):
        world.fuse.steps = chance.randrange(1, 25)
        try:
            flow = await world.owner()
            await rebuild(world, flow)
        except Crash:
            continue
    world.fuse.steps = None
    flow = await world.owner()
    await rebuild(world, flow)
    await finish(flow, None)
    assert seen(world) == before
    assert partition_of(world.server, "segstream", 0).meta.rebuilt == 1


async def test_a_request_is_fulfilled_once() -> None:
    """By whoever owns the partition; another request begins anew."""
    world, flow = await shop(3)
    await rebuild(world, flow, request=4)
    revision = flow.partition.meta.revision
    assert not rebuilder_of(world, flow, lambda: 4).due
    assert not await rebuilder_of(world, flow, lambda: 4).step()
    assert flow.partition.meta.revision == revision
    following = await world.owner()
    assert not rebuilder_of(world, following, lambda: 4).due
    assert rebuilder_of(world, following, lambda: 5).due


async def test_a_rebuild_before_the_sweep_tells_what_the_sweep_would_have_told() -> None:
    """Users are brought up to date as of the moment the version came into force, in whatever order."""
    stories = []
    for first in ("sweep", "rebuild"):
        world, flow = await shop(30, [(0, SHOP), (START + 10_000, NO_LOYAL)])
        await feed(flow, [record(99, START + 20_000, track("u0000", "Order Completed", START + 20_000))])
        if first == "sweep":
            while await sweep(flow.partition):
                pass
        await rebuild(world, flow)
        await finish(flow, None)
        for change in (changes := world.changes()):
            del change["processed_at"]
        stories.append((sorted(changes, key=lambda c: (c["user_id"], c["sequence"])), seen(world)))
    assert stories[0][0] == stories[1][0]
    assert stories[0][1]["members"] == stories[1][1]["members"]


async def test_a_segment_entered_in_the_outbox_and_left_by_the_rebuild_is_left_in_the_lists() -> None:
    """The lists do not name the user yet when the rebuild looks at them."""
    world = World([(0, SHOP), (START + 10_000, NO_LOYAL)])
    flow = await world.owner()
    orders = [("u", START), ("u", START + 1), ("other", START + 20_000)]
    await feed(
        flow,
        [record(place, at, track(name, "Order Completed", at)) for place, (name, at) in enumerate(orders)],
    )
    assert world.read_model.members("loyal", 0) == {}
    await rebuild(world, flow)
    assert "loyal" in [change["segment"] for change in world.changes() if change["change"] == "entered"]
    assert world.read_model.members("loyal", 0) == {}
    await finish(flow, None)
    assert world.read_model.members("loyal", 0) == {}


async def test_the_answer_of_a_segment_that_a_model_found_is_made_anew_too() -> None:
    """Also where an earlier cluster's list names somebody."""
    text = SHOP + "discovered: {behaviour: {model: kmeans, clusters: 2, features: [orders]}}\n"
    world, flow = await shop(4, [(0, text)])
    world.library.add_snapshot(
        Snapshot("behaviour", 1, ("orders",), ("linear",), (0.0,), (1.0,), ((1.0,), (2.0,)), ("c1", "c2"))
    )
    await feed(flow, [record(50, START + 50, track("u0001", "Order Completed", START + 50))])
    world.server._values["segments:members:behaviour.c0:{0}"] = {"u0001": 3, "ghost": 4}
    await rebuild(world, flow)
    assert world.read_model.members("behaviour.c0", 0) == {}


async def test_a_server_that_changes_asks_for_a_rebuild_by_itself() -> None:
    """Once, whoever looks."""
    world, flow = await shop(5)
    rebuilds = MemoryRebuilds(world.server)
    known = (await rebuilds.watch()).requested
    await rebuild(world, flow, known)
    before = seen(world)
    damage(world, Random(1))
    world.server.replication_id = "another"
    assert [(await MemoryRebuilds(world.server).watch()).changed for _ in range(2)] == [1, 0]
    latest = (await rebuilds.watch()).requested
    assert latest > known
    await rebuild(world, flow, latest)
    assert seen(world) == before
    (standing,) = await rebuilds.progress(1)
    assert (standing.rebuilt, standing.users) == (latest, 5)


def test_a_library_names_all_segments_that_anybody_can_be_in() -> None:
    """Those of every version, and every cluster that a model can have named."""
    library = Library()
    library.add_version(Version(1, 0, read_definitions(SHOP)))
    library.add_version(Version(2, 0, read_definitions(NO_LOYAL)))
    library.add_snapshot(
        Snapshot("behaviour", 3, ("orders",), ("linear",), (0.0,), (1.0,), ((1.0,), (2.0,)), ("c1", "c3"))
    )
    clusters = [f"behaviour.c{number}" for number in range(4)]
    assert library.segments() == [*clusters, "buyer", "keen", "loyal", "silent"]


def test_a_version_that_is_not_there_is_told_with_what_to_do() -> None:
    """Redis has lost what a basis names."""
    library = Library()
    library.add_version(Version(1, 0, read_definitions(SHOP)))
    with pytest.raises(ServerError) as caught:
        library.definitions(3)
    assert str(caught.value) == (
        "definitions version 3 decides here, and Redis has lost it: it holds versions up to 1. Bring Redis' data back, "
        "or begin anew with `segstream reset --to earliest`"
    )


async def test_a_library_in_doubt_lets_no_partition_go_on() -> None:
    """Until it is known again what holds."""
    world, flow = await shop(1)
    world.library.doubt(ServerError("lost"))
    with pytest.raises(ServerError, match="lost"):
        await flow.process([record(9, START + 9, track("u0000", "Order Completed", START + 9))])
    world.library.doubt(None)
    flow = await world.owner()
    assert await flow.process([record(9, START + 9, track("u0000", "Order Completed", START + 9))]) == 1
