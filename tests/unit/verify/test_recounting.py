"""Turns that the recount once saw otherwise than the stream; random histories found them."""

from __future__ import annotations

from random import Random

from segstream.adapters.memory.state import partition_of
from segstream.core.origin import Origin
from segstream.core.partitioning import murmur2
from segstream.core.records import LogRecord
from segstream.core.time import DAY, parse_time
from segstream.verify.against import until
from segstream.verify.partition import Events, Terms
from segstream.verify.rules import Rules
from tests.unit.flow.worlds import START, World, clock_record, compiled, play_at_random, record, track


async def told_and_recounted(
    versions: list[tuple[int, str]], records: list[LogRecord], end: int | None
) -> tuple[list[tuple[int, str, str]], list[tuple[int, str, str]]]:
    """Return a user's turns as the stream tells them and as they are recounted; without an end it is a replay."""
    world, replay = World(versions, {"replay": end is None}), end is None
    await play_at_random(world, records, end, 0, chance=Random(1), crashes=0)
    meta = partition_of(world.server, "segstream", 0).meta
    adoptions = Origin.load(meta.origin).adoptions
    rules = [Rules(each.version, each.at, compiled(versions[each.version - 1][1])) for each in adoptions]
    events = Events(Terms(0, 1, murmur2, replay=replay, timer_grace=0, max_clock_skew=DAY), adoptions)
    for each in records:
        events.add(each)
    (user,) = world.users().values()
    close = until(user, meta, adoptions, 0)
    assert close is not None
    person = events.person(user.name, rules, close.step, close.before)
    assert person is not None
    told = [(change["at"], change["change"], change["segment"]) for change in world.changes()]
    return [(parse_time(at), *rest) for at, *rest in told], [
        (turn.at, turn.change, turn.segment) for turn in person.story
    ]


async def test_what_a_late_event_makes_due_does_not_fire_at_the_end_before_it() -> None:
    """A control record fires what is due by its moment then, not what an event behind it makes due at that moment."""
    text = """
    version: 1
    features: {last: {op: last_time}}
    segments: {silent: {when: since(last) > 5s, confirm_for: 3s}}
    """
    records = [
        clock_record(0, START + 8_001),
        record(1, START, track("ada", "Order", START)),  # due at the very moment of the record before it
        record(2, START, track("ada", "Order", START + 7_000)),
        clock_record(3, START + 20_000),
    ]
    told, recounted = await told_and_recounted([(0, text)], records, None)
    assert recounted == told == [(START + 15_001, "entered", "silent")]


async def test_a_segment_that_a_version_takes_away_cools_down() -> None:
    """Two segments held come into one group: the one that is left is not entered before its cooldown is over."""
    apart = """
    version: 1
    features: {orders: {op: count, event: Order}}
    segments:
      first:  {when: orders >= 1}
      second: {when: orders >= 1}
    """
    grouped = """
    version: 1
    features: {orders: {op: count, event: Order}}
    segments:
      first:  {when: orders == 1}
      second: {when: orders >= 1, cooldown: 1m}
    groups: {one: {first_of: [first, second]}}
    """
    records = [
        record(0, START, track("ada", "Order", START)),
        record(1, START + 20_000, track("ada", "Order", START + 20_000)),
    ]
    told, recounted = await told_and_recounted(
        [(0, apart), (START + 10_000, grouped)], records, START + 200_000
    )
    assert recounted == told
    assert told[2:] == [
        (START + 10_000, "exited", "second"),
        (START + 20_000, "exited", "first"),
        (START + 70_000, "entered", "second"),
    ]
