"""Arrivals that producers name (``CreateTime``): one wrong clock must not move everybody's."""

from __future__ import annotations

from segstream.core.partitioning import partitioner
from segstream.core.time import DAY, MINUTE
from segstream.verify.partition import Events, Terms
from segstream_schemas.times import LATEST
from tests.unit.flow.worlds import START, World, feed, finish, record, track

ACTIVE = """
version: 1
features: {last: {op: last_time, event: Order Completed}}
segments: {active: {when: since(last) <= 30d}}
"""
NOW = START + DAY
SKEW = 5 * MINUTE


def order(user: str, at: int) -> dict[str, object]:
    """Return an order of a moment."""
    return track(user, "Order Completed", at)


async def test_a_record_from_the_future_is_a_dead_letter_and_leaves_the_clock_alone() -> None:
    """Microseconds in place of milliseconds: nobody leaves anything for that, then or later."""
    world = World([(0, ACTIVE)])
    flow = await world.owner()
    flow.partition.latest_arrival = lambda: NOW + SKEW
    wrong = START * 1_000
    await feed(
        flow,
        [
            record(0, START, order("u1", START)),
            record(1, wrong, order("u2", min(wrong, LATEST))),
            record(2, NOW + SKEW, order("u3", NOW)),
            record(3, NOW + SKEW + 1, order("u4", NOW)),
        ],
    )
    await finish(flow, None)
    assert [(change["user_id"], change["change"]) for change in world.changes()] == [
        ("u1", "entered"),
        ("u3", "entered"),
    ]
    letters = [(letter["offset"], letter["reason"]) for letter in world.letters()]
    assert letters == [(1, "future_timestamp"), (3, "future_timestamp")]
    assert flow.partition.meta.clock == NOW + SKEW


async def test_without_a_time_to_hold_it_against_every_arrival_is_believed() -> None:
    """As before the first answer of Redis; and as it was said, the calendar has an end."""
    world = World([(0, ACTIVE)])
    flow = await world.owner()
    await feed(flow, [record(0, LATEST, order("u1", START))])
    assert flow.partition.meta.clock == LATEST


def test_a_recount_leaves_such_a_record_out_too() -> None:
    """Or it would find everybody else's time-dependent segments wrong."""
    terms = Terms(
        0, 1, partitioner("murmur2"), replay=False, timer_grace=0, max_clock_skew=SKEW, latest=NOW + SKEW
    )
    events = Events(terms, ())
    for each in (
        record(0, START, order("u1", START)),
        record(1, START * 1_000, order("u2", START)),
        record(2, NOW, order("u3", NOW)),
    ):
        events.add(each)
    assert (events.users(), events.applied, events.unusable) == (["u1", "u3"], 2, 1)
