"""Records in another partition than their user's: each is applied once, there, whatever dies on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.adapters.memory.listings import MemoryMemberLists
from segstream.adapters.memory.state import partition_of
from segstream.core.origin import Origin
from segstream.core.partitioning import murmur2
from segstream.core.records import LogRecord
from segstream.core.time import format_time
from segstream.core.user import User
from segstream.flow import Flow
from segstream.resetting import Resetter
from segstream.verify.partition import Events, Terms
from segstream.verify.rules import Rules
from tests.unit.flow.worlds import SKEW, START, Crash, World, compiled, feed, finish

REROUTED: Final = "segstream-rerouted"
N: Final = 3

VISITS: Final = """
version: 1
sources:
  visits: {keyed: false, type: page, user: who.id, timestamp: at, properties: {spent: spent, colour: colour}}
features:
  visits: {op: count, type: page}
  spent: {op: sum, of: properties.spent, topic: visits}
  colours: {op: distinct, of: properties.colour}
  largest: {op: max, of: properties.spent}
segments:
  frequent: {when: visits >= 3}
  spender: {when: spent > 500, leave_when: spent < 100}
"""
KEYED: Final = VISITS.replace("keyed: false, ", "")


def visit(number: int, user: str) -> dict[str, Any]:
    """Return the so-many-th visit, as its source tells it."""
    at = format_time(START + 1_000 * number)
    return {"who": {"id": user}, "at": at, "spent": 7 * (number % 50), "colour": f"c{number % 5}"}


def visits(users: Sequence[str], places: Sequence[int]) -> dict[int, list[LogRecord]]:
    """Return what lies in each partition: a visit for each of ``users``, at these places."""
    logs: dict[int, list[LogRecord]] = {number: [] for number in range(N)}
    for number, (user, place) in enumerate(zip(users, places, strict=True)):
        value, arrival = orjson.dumps(visit(number, user)), START + 1_000 * number
        logs[place].append(LogRecord("visits", place, len(logs[place]), arrival, None, value))
    return logs


def forwarded(world: World, number: int) -> list[LogRecord]:
    """Return what consumers see of the forwarded records of a partition."""
    return [
        LogRecord(REROUTED, number, each.offset, START + 5_000_000, each.key, each.value, tuple(each.headers))
        for each in world.log.consumers_view(REROUTED, number)
    ]


def rest(flow: Flow, records: Sequence[LogRecord]) -> list[LogRecord]:
    """Return the records that a flow has not applied yet."""
    applied = flow.partition.meta.offsets
    return [each for each in records if each.offset > applied.get(each.topic, -1)]


def resetter_of(world: World, number: int) -> Resetter:
    """Return what resets a partition."""
    flow = world.flow(number)

    async def nobody() -> AsyncIterator[Sequence[str]]:
        yield ["somebody"]

    return Resetter(
        number,
        flow.partition.store,
        flow.publisher,
        world.read_model,
        MemoryMemberLists(world.server),
        told_users=nobody,
        segments=[],
        topics=world.settings.topics,
        now=lambda: START,
    )


async def begin_anew(world: World) -> None:
    """Reset all partitions as the command does: forwarded records go on behind those there are once all is settled."""
    for number in range(N):
        resetter = resetter_of(world, number)
        await resetter.take_over()
        await resetter.mark("segstream reset --to earliest")
    for number in range(N):
        resetter = resetter_of(world, number)
        highest = await resetter.take_over()
        await resetter.drop(highest + 1, lambda _: None)
        behind = 1 + max((each.offset for each in forwarded(world, number)), default=-1)
        await resetter.begin(highest + 2, {"visits": 0, REROUTED: behind}, N)


async def settle(world: World, logs: dict[int, list[LogRecord]]) -> None:
    """Apply and publish everything that is left, without disturbance."""
    world.fuse.steps = None
    flows = {number: await world.owner(number) for number in range(N)}
    for _ in range(2):
        for number, flow in flows.items():
            await feed(flow, rest(flow, logs[number]))
            await feed(flow, rest(flow, forwarded(world, number)))
            await finish(flow, None)


async def play(world: World, logs: dict[int, list[LogRecord]], chance: Random) -> None:
    """Let owners of all partitions work by turns in batches of any size, die, and lose the tail of their state."""
    flows: dict[int, Flow] = {}
    kept = {number: world.server.snapshot() for number in range(N)}
    for _ in range(120):
        number = chance.randrange(N)
        world.fuse.steps = chance.choice([None, None, None, chance.randrange(12)])
        try:
            flow = flows.get(number) or await world.owner(number)
            flows[number] = flow
            some = chance.choice([logs[number], forwarded(world, number)])
            await feed(flow, rest(flow, some)[: chance.randrange(1, 9)])
            if chance.random() < 0.6:
                await flow.publish(chance.randrange(1, 4))
        except Crash:
            flows.pop(number, None)
        if chance.random() < 0.1:
            kept[number] = world.server.snapshot()
        if chance.random() < 0.06:  # Redis has forgotten what it acknowledged since, of one partition
            key, now = f"segstream:{{{number}}}", world.server.snapshot()
            now[key] = kept[number].get(key, now.get(key))
            if now[key] is not None:
                world.server.restore(now)
                flows.pop(number, None)


def outcome(world: World) -> dict[str, Any]:
    """Return what has become of each user, by the partition it is in."""
    found: dict[str, Any] = {}
    for number in range(N):
        for name, user in world.users(number).items():
            assert murmur2(name.encode(), N) == number
            found[name] = (user.features, sorted(user.held))
    return found


async def keyed_properly(users: Sequence[str]) -> dict[str, Any]:
    """Return the same of a topic that is keyed as it should be."""
    world = World([(0, KEYED)], {"partitions": N})
    await settle(world, visits(users, [murmur2(user.encode(), N) for user in users]))
    return outcome(world)


USERS: Final = st.lists(st.sampled_from(["ada", "bob", "cleo", "dan"]), min_size=1, max_size=120)


@given(users=USERS, seed=st.integers(0, 1 << 32), is_known=st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_is_applied_once_whatever_dies_and_is_forgotten(
    users: list[str],
    seed: int,
    is_known: bool,  # noqa: FBT001 - drawn
) -> None:
    """Shuffled over partitions, users become what they are of a topic that is keyed: also where nobody says it is not.

    Not because a user's last messages are remembered: here they are not.
    """

    async def check() -> None:
        chance = Random(seed)
        logs = visits(users, [chance.randrange(N) for _ in users])
        world = World([(0, VISITS if is_known else KEYED)], {"partitions": N})
        await play(world, logs, chance)
        await settle(world, logs)
        assert outcome(world) == await keyed_properly(users)
        assert [letter for number in range(N) for letter in world.letters(number)] == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(User, "remember", lambda _user, _message: None)
        asyncio.run(check())


async def test_what_is_forwarded_says_where_it_lay_and_counts_as_what_it_was() -> None:
    """The value as it was, its user's key, its own headers; the change names the place in the source, and its time."""
    (user,) = (name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    world = World([(0, VISITS)], {"partitions": N})
    value = orjson.dumps(visit(0, user))
    lines = [
        LogRecord("visits", 0, 4 + number, START + number, b"?", value, (("trace", b"7"), ("none", b"")))
        for number in range(3)
    ]
    source = await world.owner(0)
    await feed(source, lines)
    await finish(source, None)
    first, *_ = forwarded(world, home)
    assert (first.key, first.value) == (user.encode(), value)
    assert dict(first.headers) == {
        "trace": b"7",
        "none": b"",
        "segstream-source-topic": b"visits",
        "segstream-source-partition": b"0",
        "segstream-source-offset": b"4",
        "segstream-source-timestamp": str(START).encode(),
    }
    assert source.partition.counts.forwarded == 3
    assert (world.users(0), world.letters(0)) == ({}, [])
    target = await world.owner(home)
    await feed(target, forwarded(world, home))
    await finish(target, None)
    (change,) = world.changes(home)
    assert change["cause"] == {
        "type": "event",
        "message_id": "visits-0-6",
        "topic": "visits",
        "partition": 0,
        "offset": 6,
    }
    assert target.partition.meta.forwarded == {"visits-0": 6}
    assert target.partition.meta.offsets == {REROUTED: 2}


async def test_an_event_without_a_time_happened_when_it_arrived_where_it_was_sent() -> None:
    """However long it was on its way; the clock follows its arrival here."""
    world = World([(0, VISITS.replace("timestamp: at, ", ""))], {"partitions": N})
    user = next(name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    source, target = await world.owner(0), await world.owner(home)
    for offset in range(3):
        value = orjson.dumps(visit(offset, user))
        await feed(source, [LogRecord("visits", 0, offset, START + offset, None, value)])
    await finish(source, None)
    await feed(target, forwarded(world, home))
    await finish(target, None)
    (change,) = world.changes(home)
    assert change["at"] == format_time(START + 2)
    assert target.partition.meta.clock == START + 5_000_000


async def test_a_repeat_is_dropped_long_after_its_message_is_forgotten() -> None:
    """By its source's offset: a user's last messages alone are not enough."""
    world = World([(0, VISITS)], {"partitions": N})
    user = next(name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    source, target = await world.owner(0), await world.owner(home)
    logs = visits([user] * 100, [0] * 100)[0]
    await feed(source, logs)
    await finish(source, None)
    once = forwarded(world, home)
    await feed(target, once)
    again = [each._replace(offset=each.offset + len(once)) for each in once]
    await feed(target, again)
    await finish(target, None)
    assert (target.partition.counts.events, target.partition.counts.repeats) == (100, 100)
    assert target.partition.meta.forwarded == {"visits-0": 99}
    assert target.partition.meta.offsets == {REROUTED: 199}


async def test_nothing_is_forwarded_twice_in_a_row() -> None:
    """What lies wrong where it was forwarded to is a dead letter that names the original: no record goes in circles."""
    world = World([(0, VISITS)], {"partitions": N})
    user = next(name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    source = await world.owner(0)
    await feed(source, visits([user], [0])[0])
    await finish(source, None)
    astray = [each._replace(partition=0) for each in forwarded(world, home)]
    await feed(source, astray)
    await finish(source, None)
    (letter,) = world.letters(0)
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("visits", 0, 0)
    assert letter["reason"] == "misplaced"
    assert f"forwarded to partition 0, but its user belongs to {home}" in letter["message"]
    assert source.partition.meta.forwarded == {"visits-0": 0}
    assert len(forwarded(world, home)) == 1


async def test_a_record_that_was_never_forwarded_is_a_dead_letter() -> None:
    """Only workers write there: what does not say where it lay is refused, whatever it holds."""
    world = World([(0, VISITS)], {"partitions": N})
    good: tuple[tuple[str, bytes], ...] = (
        ("segstream-source-topic", b"visits"),
        ("segstream-source-partition", b"0"),
        ("segstream-source-offset", b"0"),
        ("segstream-source-timestamp", str(START).encode()),
    )
    wrong = [good[:3], good[1:], (), (("segstream-source-topic", b"a b"), *good[1:])]
    wrong += [(*good[:2], ("segstream-source-offset", b"one"), good[3])]
    value = orjson.dumps(visit(0, "ada"))
    flow = await world.owner(0)
    lines = [
        LogRecord(REROUTED, 0, offset, START, b"ada", value, headers) for offset, headers in enumerate(wrong)
    ]
    await feed(flow, lines)
    await finish(flow, None)
    assert {letter["reason"] for letter in world.letters(0)} == {"not_forwarded"}
    assert [letter["offset"] for letter in world.letters(0)] == [0, 1, 2, 3, 4]
    assert flow.partition.meta.forwarded == {}


async def test_what_is_owed_is_forwarded_by_the_next_incarnation_too() -> None:
    """Committed and not published when Redis turns out to have forgotten a take-over: nothing is left out, nor applied twice."""
    world = World([(0, VISITS)], {"partitions": N})
    user = next(name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    records = visits([user] * 4, [0] * 4)[0]
    flow = await world.owner(0)
    await feed(flow, records[:1])
    await feed(flow, records[1:])
    before = world.server.snapshot()
    assert await (await world.owner(0)).publish(1) == 1
    world.server.restore(before)
    flow = await world.owner(0)
    assert flow.forgotten
    await finish(flow, None)
    # Under its number Redis might have held something else by then, so the first is sent again, and the target drops it.
    assert [each.value for each in forwarded(world, home)] == [each.value for each in (records[0], *records)]
    target = await world.owner(home)
    await feed(target, forwarded(world, home))
    assert (target.partition.counts.events, target.partition.counts.repeats) == (4, 1)


async def test_a_reset_forwards_what_is_owed_first() -> None:
    """What was decided and not told yet is told before the users go; the new state knows of no forwarded record."""
    world = World([(0, VISITS)], {"partitions": N})
    user = next(name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    flow = await world.owner(0)
    await feed(flow, visits([user], [0])[0])

    resetter = resetter_of(world, 0)
    incarnation = await resetter.take_over()
    await resetter.mark("segstream reset --to earliest")
    await resetter.drop(incarnation + 1, lambda _: None)
    await resetter.begin(incarnation + 2, {"visits": 0, REROUTED: 0}, N)
    assert len(forwarded(world, home)) == 1
    assert partition_of(world.server, "segstream", 0).meta.forwarded == {}


async def test_what_was_left_out_before_is_applied_when_all_partitions_begin_anew() -> None:
    """Too far off for the old settings; forwarded again it would look like a repeat if what is there was read again."""
    user = next(name for name in ("ada", "bob") if murmur2(name.encode(), N) != 0)
    home = murmur2(user.encode(), N)
    world = World([(0, VISITS)], {"partitions": N, "max_clock_skew": 1_000})
    logs = visits([user] * 10, [0] * 10)
    logs[0] = [
        each._replace(timestamp=each.timestamp - 50_000) if each.offset in {2, 3, 4} else each
        for each in logs[0]
    ]
    await settle(world, logs)
    assert len(world.letters(0)) == 3
    assert partition_of(world.server, "segstream", home).meta.forwarded == {"visits-0": 9}
    world.settings = replace(world.settings, max_clock_skew=SKEW)
    await feed(await world.owner(0), [logs[0][-1]._replace(offset=10, value=orjson.dumps(visit(10, user)))])
    await begin_anew(world)
    await settle(world, logs)
    assert outcome(world) == await keyed_properly([user] * 10)
    assert (len(world.letters(0)), len(world.letters(home))) == (3, 0)


async def test_the_plain_recount_reads_forwarded_records_as_the_stream_does() -> None:
    """Repeats dropped, strangers left to where they belong, and what was never forwarded counted as unusable."""
    chance = Random(7)
    users = [chance.choice(["ada", "bob", "cleo", "dan"]) for _ in range(200)]
    logs = visits(users, [chance.randrange(N) for _ in users])
    world = World([(0, VISITS)], {"partitions": N})
    await play(world, logs, chance)
    await settle(world, logs)
    seen = 0
    for number in range(N):
        meta = partition_of(world.server, "segstream", number).meta
        adoptions = Origin.load(meta.origin).adoptions
        events = Events(
            Terms(number, N, murmur2, replay=False, timer_grace=0, max_clock_skew=SKEW), adoptions
        )
        rules = [Rules(each.version, each.at, compiled(VISITS)) for each in adoptions]
        events.mappings = [each.mappings for each in rules]
        more = [LogRecord(REROUTED, number, 10_000, START, b"ada", b"{}")]
        for record in (*logs[number], *forwarded(world, number), *more):
            events.add(record)
        users_here = world.users(number)
        assert sorted(events.users()) == sorted(users_here)
        assert events.unusable == 1
        seen += events.applied
        for name, user in users_here.items():
            person = events.person(name, rules, len(rules) - 1, meta.clock)
            assert person is not None
            assert sorted(person.held) == sorted(user.held)
    assert seen == len(users)
