"""What a worker counts over all its partitions: it never goes down, and never has more names than it may."""

from __future__ import annotations

from collections import Counter

from segstream.errors import Fenced, ServerError
from segstream.partition import Counts, Partition
from segstream.tally import MOST_SEGMENTS, Tally
from tests.unit.flow.worlds import START, World, feed, record, track

BUYERS = """
version: 1
features: {orders: {op: count, event: Order Completed}}
segments: {buyer: {when: orders == 1}, loyal: {when: orders >= 2}}
"""


async def worked(offset: int) -> Partition:
    """Return a partition to which two orders, one of them twice, and rubbish have been applied."""
    world = World([(0, BUYERS)])
    flow = await world.owner()
    orders = [track("7", "Order Completed", START, message) for message in ("a", "b", "b")]
    records = [record(offset + n, START, each) for n, each in enumerate(orders)]
    await feed(flow, [*records, record(offset + len(orders), START, b"{")])
    return flow.partition


async def test_counts_stay_when_a_partition_is_given_up() -> None:
    """The sum is the same before and after, and the next owner's counts come on top."""
    tally, first = Tally(), await worked(0)
    before = tally.counts([first]), tally.changed([first]), tally.rejected([first])
    tally.retire(first)
    assert (tally.counts([]), tally.changed([]), tally.rejected([])) == before
    counts = before[0]
    assert (counts.events, counts.repeats, counts.dead_letters, counts.changes) == (2, 1, 1, 3)
    assert (counts.cache_hits, counts.cache_misses) == (0, 1)
    assert before[1] == {("buyer", "entered"): 1, ("buyer", "exited"): 1, ("loyal", "entered"): 1}
    assert before[2] == {"not_json": 1}
    assert tally.counts([await worked(4)]).events == 4


async def test_what_was_not_committed_is_not_counted() -> None:
    """A batch whose commit fails is applied again, and counted then."""
    world = World([(0, BUYERS)])
    flow = await world.owner()
    draft = flow.partition.draft()
    draft.changed["entered"]["buyer"] += 1
    draft.rejected["not_json"] += 1
    assert (flow.partition.changed, flow.partition.rejected) == ({}, Counter())
    await flow.partition.commit(draft)
    assert Tally().changed([flow.partition]) == {("buyer", "entered"): 1}


async def test_suppressed_flips_are_counted_by_segment_and_reason() -> None:
    """Those of what was committed, and they stay when a partition is given up."""
    world = World([(0, BUYERS.replace("orders == 1", "orders == 1, confirm_for: 1h"))])
    flow = await world.owner()
    orders = [track("7", "Order Completed", START + at, f"m{at}") for at in range(3)]
    await feed(flow, [record(at, START + at, order) for at, order in enumerate(orders)])
    tally = Tally()
    assert tally.suppressed([flow.partition]) == {("buyer", "confirm"): 1}
    tally.retire(flow.partition)
    assert tally.suppressed([]) == {("buyer", "confirm"): 1}


async def test_only_so_many_discovered_segments_have_a_name() -> None:
    """Their ids are never used again, so there is no end to them: the later ones are counted together."""
    partition, tally = await worked(0), Tally()
    rules = tally.changed([partition])
    for number in range(MOST_SEGMENTS):
        partition.changed["entered"][f"behaviour.c{number}"] += 1
    named = tally.changed([partition])
    for number in range(MOST_SEGMENTS + 50):
        partition.changed["entered"][f"behaviour.c{number}"] += 1
    partition.changed["restated"][None] += 2
    partition.changed["entered"]["lately"] += 1
    found = tally.changed([partition])
    assert found["other", "entered"] == 50
    assert (found["none", "restated"], found["lately", "entered"]) == (2, 1)
    assert all(found[name] >= count for name, count in named.items())
    assert len(found) == MOST_SEGMENTS + len(rules) + 3


def test_a_loss_is_counted_by_its_kind() -> None:
    """Fencings apart from servers that fail."""
    tally = Tally()
    for error in (Fenced("gone"), ServerError("away"), ServerError("still away")):
        tally.interrupted(error)
    tally.taken_over(forgotten=True)
    tally.taken_over(forgotten=False)
    assert tally.interruptions == {"Fenced": 1, "ServerError": 2}
    assert (tally.take_overs, tally.incarnations) == (2, 1)
    assert tally.counts([]) == Counts()
