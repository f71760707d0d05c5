"""What happens to somebody of whom nothing is heard any more."""

from __future__ import annotations

from segstream.core.time import DAY, parse_time
from tests.unit.flow.worlds import START, World, clock_record, feed, finish, record, track

DEFINITIONS = """
version: 1
features:
  orders:     {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
segments:
  active:  {when: orders >= 2 and since(last_order) <= 60d}
  at_risk: {when: orders >= 2 and since(last_order) <= 180d}
  lapsed:  {when: since(last_order) > 60d}
groups:
  lifecycle: {first_of: [active, at_risk, lapsed]}
"""


async def test_silence_alone_moves_a_user_through_active_at_risk_and_lapsed() -> None:
    """Two orders, and then nothing for a year: each move comes at its very millisecond, by a timer, and after the last none."""
    world = World([(0, DEFINITIONS)])
    flow = await world.owner()
    orders = [
        record(number, START + number, track("ada", "Order Completed", START + number)) for number in (0, 1)
    ]
    await feed(flow, orders)
    await finish(flow, START + 365 * DAY)
    last = START + 1
    moves = [
        ("entered", "active", "event", START + 1),
        ("exited", "active", "timer", last + 60 * DAY + 1),
        ("entered", "at_risk", "timer", last + 60 * DAY + 1),
        ("exited", "at_risk", "timer", last + 180 * DAY + 1),
        ("entered", "lapsed", "timer", last + 180 * DAY + 1),
    ]
    assert [
        (change["change"], change["segment"], change["cause"]["type"], parse_time(change["at"]))
        for change in world.changes()
    ] == moves
    assert world.everything()["timers"] == {}
    counts = flow.partition.counts
    assert (counts.wake_ups, counts.idle_wake_ups) == (2, 0)


async def test_what_falls_due_at_the_very_moment_that_ends_a_replay_is_told_under_new_definitions_too() -> (
    None
):
    """Whoever has not been brought up to date yet has no timer for it: so that comes before the record that ends it."""
    before = "version: 1\nfeatures: {n: {op: count}}\nsegments: {some: {when: n >= 1}}\n"
    after = "version: 1\nfeatures: {n: {op: count}}\nsegments: {sure: {when: n >= 1, confirm_for: 10s}}\n"
    world = World([(0, before), (START + 5_000, after)], {"replay": True})
    flow = await world.owner()
    end = START + 15_000
    await feed(flow, [record(0, START, track("ada", "A", START)), clock_record(1, end)])
    await finish(flow, None)
    assert [
        (change["change"], change["segment"], parse_time(change["at"])) for change in world.changes()
    ] == [
        ("entered", "some", START),
        ("exited", "some", START + 5_000),
        ("entered", "sure", end),
    ]
