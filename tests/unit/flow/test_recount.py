"""What `segstream verify` recounts is what the stream holds and the brute force finds, on random definitions and histories."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.adapters.memory.state import partition_of
from segstream.core.origin import Origin
from segstream.core.partitioning import murmur2
from segstream.ports import Meta
from segstream.verify.against import compare, until
from segstream.verify.partition import Events, Group, Terms
from segstream.verify.rules import Rules
from tests.unit.flow.comparing import examples, recount, seconds
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.worlds import SKEW, World, clock_record, compiled, play_at_random

EXAMPLES = 250


async def check(case: Case, seed: int) -> None:
    """Play a case with crashes, and recount it from what the partition's meta tells."""
    options: dict[str, Any] = {
        "partitions": case.partitions,
        "replay": case.replay,
        "timer_grace": case.grace,
    }
    for number in range(case.partitions):
        records = case.records(number)
        if case.replay:
            records.append(clock_record(len(records), case.end, partition=number))
        world, end = World(case.versions, options), None if case.replay else case.end
        await play_at_random(world, records, end, number, chance=Random(seed), crashes=2)
        meta = partition_of(world.server, "segstream", number).meta
        adoptions = Origin.load(meta.origin).adoptions
        rules = [
            Rules(each.version, each.at, compiled(case.versions[each.version - 1][1])) for each in adoptions
        ]
        terms = Terms(number, case.partitions, murmur2, case.replay, case.grace, SKEW)
        events = Events(terms, adoptions)
        for record in records:
            events.add(record)
        users, plain = world.users(number), recount(case, number)
        assert sorted(events.users()) == sorted(users) == sorted(plain.people)
        for name, user in users.items():
            end_of = until(user, meta, adoptions, case.grace)
            assert end_of is not None
            assert not end_of.waiting
            person = events.person(name, rules, end_of.step, end_of.before)
            assert person is not None
            held = {segment: since for segment, (since, _) in user.held.items()}
            assert compare(person, held, rules[end_of.step]) == ""
            assert person.held == held == plain.people[name].held
            # At one instant segments that do not ask for each other may be decided in any order.
            assert sorted((turn.at, turn.change, turn.segment) for turn in person.story) == sorted(
                (change.at, change.change, change.segment) for change in plain.people[name].changes
            )


@given(case=cases(), seed=st.integers(0, 1 << 32))
@examples(EXAMPLES)
@pytest.mark.timeout(seconds(EXAMPLES))
def test_the_recount_agrees_with_the_stream_and_the_brute_force(case: Case, seed: int) -> None:
    """Promise 6: each user's segments, since when, and every turn on the way, by three implementations."""
    asyncio.run(check(case, seed))


def test_what_a_user_rests_on_bounds_its_recount() -> None:
    """A state that no partition could have come to is told apart from one that only waits."""
    meta = Meta(clock=1_000, bases="[[2,500,1,2,{}]]")
    adoptions = Origin.load('[{"events":0},[[1,0,{}],[2,500,{"events":7}]],""]').adoptions
    unknown = until(None, meta, adoptions, 10)
    assert unknown is not None
    assert (unknown.step, unknown.before, unknown.waiting) == (1, 991, False)


def test_groups_share_users_out() -> None:
    """Halved again and again, groups have each user once."""
    waiting = [Group()]
    for _ in range(5):
        waiting = [half for group in waiting for half in group.halves()]
    found = [[group for group in waiting if group.has(name)] for name in map(str, range(200))]
    assert {len(groups) for groups in found} == {1}
    assert len({groups[0] for groups in found}) > 20
