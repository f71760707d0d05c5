"""What a plan foretells is what a version then does; and nobody notices the plan."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from segstream.adapters.memory.look import MemoryLook
from segstream.adapters.memory.models import MemoryModels
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.flow import Flow
from segstream.library import Library, Version
from segstream.preview import Effect, Preview, preview
from segstream.upkeep import adopt_definitions, adopt_models, sweep
from tests.unit.flow.comparing import examples, seconds
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.worlds import START, World, clock_record, feed, finish, play_singly, record, track

EXAMPLES = 150

FIRST = """
version: 1
features:
  orders: {op: count, event: Order Completed}
  visits: {op: count, type: page}
segments:
  buyer:   {when: orders >= 1}
  regular: {when: orders >= 3}
  busy:    {when: visits >= 1}
"""
SECOND = """
version: 1
features:
  orders: {op: count, event: Order Completed}
  spent:  {op: sum, of: properties.revenue}
segments:
  customer: {when: orders >= 1, renamed_from: buyer}
  regular:  {when: orders >= 2}
  big:      {when: spent >= 1}
"""
THIRD = SECOND.replace("orders >= 2", "orders >= 4")


async def foretold(world: World, text: str, at: int, **options: Any) -> Preview:
    """Return what one more version would change, making sure that nothing changes by that."""
    library = Library()
    for number, (moment, told) in enumerate([*world.texts, (at, text)], 1):
        library.add_version(Version(number, moment, read_definitions(told)))
    before = world.server.snapshot()
    reader, models = MemoryLook(world.server), MemoryModels(world.server)
    found = await preview(reader, models, library, grace=world.settings.timer_grace, **options)
    after = world.server.snapshot()
    assert {key: after[key] for key in before} == before
    return found


def publish(world: World, text: str, at: int) -> int:
    """Let the workers know of one more version; return its number."""
    number = len(world.texts) + 1
    world.texts = [*world.texts, (at, text)]
    world.library.add_version(Version(number, at, read_definitions(text)))
    return number


def told_by(world: World, version: int) -> dict[str, Counter[str]]:
    """Return how often each kind of change was published of each segment for a version's sake."""
    cause = {"type": "definition", "version": version}
    found: dict[str, Counter[str]] = {}
    for number in range(world.settings.partitions):
        for change in world.changes(number):
            if change["cause"] == cause:
                found.setdefault(change["segment"], Counter())[change["change"]] += 1
    return found


def counted(found: Preview) -> dict[str, Counter[str]]:
    """Return the same of what was foretold."""
    kinds: dict[str, Callable[[Effect], int]] = {
        "entered": lambda effect: effect.entering,
        "exited": lambda effect: effect.leaving,
        "renamed": lambda effect: effect.renamed,
    }
    counts = {
        name: Counter({kind: read(effect) for kind, read in kinds.items() if read(effect)})
        for name, effect in found.effects.items()
    }
    return {name: count for name, count in counts.items() if count}


def sizes(world: World) -> dict[str, int]:
    """Return how many users are in each segment."""
    users = [user for number in range(world.settings.partitions) for user in world.users(number).values()]
    return dict(Counter(name for user in users for name in user.segments()))


async def played(case: Case, world: World) -> list[Flow]:
    """Play a whole history in each partition."""
    flows = []
    for number in range(case.partitions):
        records = case.records(number)
        if case.replay:
            records.append(clock_record(len(records), case.end, partition=number))
        flows.append(await play_singly(world, records, None if case.replay else case.end, number))
    return flows


async def compare(case: Case) -> None:
    """Preview the last version of a case at the end of its history, then adopt it."""
    *former, (_, text) = case.versions
    options = {"partitions": case.partitions, "replay": case.replay, "timer_grace": case.grace}
    world = World(former, options)
    flows = await played(case, world)
    at = 0 if case.replay else case.end + 7
    found = await foretold(world, text, at)
    version = publish(world, text, at)
    for flow in flows:
        clock = flow.partition.meta.clock if case.replay else at + case.grace
        while await adopt_definitions(flow.partition, clock):
            pass
        while await sweep(flow.partition):
            pass
    assert {name: effect.after for name, effect in found.effects.items() if effect.after} == sizes(world)
    assert found.users == sum(len(world.users(number)) for number in range(case.partitions))
    for flow in flows:
        await finish(flow, None)
    assert counted(found) == told_by(world, version)


@given(case=cases(several=True))
@examples(EXAMPLES)
@pytest.mark.timeout(seconds(EXAMPLES))
def test_what_is_foretold_is_what_is_published(case: Case) -> None:
    """Counts of entries, exits and renamed members, and sizes afterwards, are exact at any history."""
    asyncio.run(compare(case))


def orders(counts: dict[str, int]) -> list[Any]:
    """Return records of so many orders of each user."""
    pairs = [(user, turn) for user, count in counts.items() for turn in range(count)]
    return [
        record(offset, START + offset, track(user, "Order Completed", START + offset, revenue=5))
        for offset, (user, _) in enumerate(pairs)
    ]


PEOPLE = {"ada": 1, "bob": 2, "cem": 3, "dan": 4, "eve": 2}


async def test_a_plan_shows_who_and_why() -> None:
    """The first few of each segment and direction, with the change as it would be published."""
    world = World([(0, FIRST)])
    flow = await world.owner()
    await feed(flow, orders(PEOPLE))
    await finish(flow, START + 100)
    found = await foretold(world, SECOND, START + 200, samples=1)
    assert (found.users, found.changed, found.as_of, found.partitions) == (5, 5, START + 200, 1)
    regular = found.effects["regular"]
    assert (regular.before, regular.entering, regular.leaving, regular.after) == (2, 2, 0, 4)
    (why,) = regular.entries
    assert (why["user_id"], why["reasons"]) == (
        "bob",
        [
            {
                "condition": "orders >= 2",
                "before": False,
                "after": True,
                "inputs": {"orders": {"before": 2, "after": 2}},
            }
        ],
    )
    customer = found.effects["customer"]
    assert (customer.before, customer.renamed, customer.entering, customer.after) == (5, 5, 0, 5)
    assert "big" not in found.effects, "what is new counts from then on"
    assert "buyer" not in found.effects, "it has another name"


async def test_a_plan_in_the_middle_of_a_sweep_sees_what_the_sweep_has_not_reached() -> None:
    """Users rest on two versions then; what the one under way still changes is no part of the plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segstream.upkeep.SLICE", 2)
        patch.setattr("segstream.preview.SLICE", 2)
        world = World([(0, FIRST)])
        flow = await world.owner()
        await feed(flow, orders(PEOPLE))
        await finish(flow, START + 100)
        publish(world, SECOND, START + 200)
        await adopt_definitions(flow.partition, START + 200)
        await sweep(flow.partition)
        assert {user.basis for user in world.users().values()} == {1, 2}
        found = await foretold(world, THIRD, START + 300)
        version = publish(world, THIRD, START + 300)
        await finish(flow, START + 400)
    assert counted(found) == told_by(world, version) == {"regular": Counter(exited=3)}


async def test_a_plan_reckons_with_versions_that_are_published_and_not_in_force_yet() -> None:
    """It comes after them."""
    world = World([(0, FIRST)])
    flow = await world.owner()
    await feed(flow, orders(PEOPLE))
    await finish(flow, START + 100)
    publish(world, SECOND, START + 5_000)
    found = await foretold(world, THIRD, START + 300)
    version = publish(world, THIRD, START + 300)
    await finish(flow, START + 6_000)
    assert found.as_of == START + 5_000
    assert counted(found) == told_by(world, version) == {"regular": Counter(exited=3)}


async def test_a_plan_leaves_discovered_segments_where_they_are() -> None:
    """It knows the snapshot in force, and says who would lose a segment that is discovered no more."""
    text = FIRST + "discovered: {behaviour: {model: kmeans, clusters: 2, features: [orders]}}\n"
    world = World([(0, text)])
    snapshot = Snapshot(
        "behaviour", 1, ("orders",), ("linear",), (0.0,), (1.0,), ((1.0,), (4.0,)), ("c0", "c1")
    )
    world.library.add_snapshot(snapshot)
    models = MemoryModels(world.server)
    training = await models.take_over("behaviour")
    await models.offer("behaviour", training.epoch, 1, json.dumps(snapshot.to_json()), "{}")
    flow = await world.owner()
    await feed(flow, orders(PEOPLE))
    await finish(flow, START + 100)
    await adopt_models(flow.partition)
    await finish(flow, None)
    kept = await foretold(world, text.replace("orders >= 3", "orders >= 2"), START + 200)
    assert counted(kept) == {"regular": Counter(entered=2)}
    gone = await foretold(world, FIRST, START + 200)
    assert counted(gone) == {"behaviour.c0": Counter(exited=3), "behaviour.c1": Counter(exited=2)}


async def test_without_any_state_there_is_nothing_to_foretell() -> None:
    """No partition has been begun."""
    world = World([(0, FIRST)])
    found = await foretold(world, SECOND, START)
    assert found == Preview()
