"""A worker that is away now and then tells what one tells that never is: on random definitions and histories."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.events import Record
from segstream.core.partitioning import murmur2
from tests.unit.flow.comparing import check, examples, recount, seconds
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.values import Happening
from tests.unit.flow.worlds import Outages, World, play_singly

EXAMPLES = 250


async def compare(case: Case, seed: int) -> None:
    """Play a case with and without outages, and compare both with the recount."""
    options = {"partitions": case.partitions, "timer_grace": case.grace}
    for number in range(case.partitions):
        sent = case.sent(number)
        if not sent:
            continue
        world = World(case.versions, options, case.snapshots)
        outages = Outages(world, [record for record, _ in sent], case.topics, case.end, Random(seed))
        flow = await outages.play(number)
        told, counts = world.everything(number), flow.partition.counts

        holds = {(record.topic, record.offset): each for record, each in sent}
        order = [holds[each.topic, each.offset] for each in outages.applied]
        assert sorted(holds) == sorted((each.topic, each.offset) for each in outages.applied)
        assert_legal(outages.applied)
        check(case, recount(case, number, order), told)
        assert counts.dead_letters == 0

        steady = World(case.versions, options, case.snapshots)
        usual = case.applied(number)
        await play_singly(steady, [record for record, _ in usual], case.end, number)
        if by_user(order) == by_user([each for _, each in usual]):
            # Nobody's records of one moment were taken in another order: then nothing at all differs.
            for part, value in steady.everything(number).items():
                assert (part, told[part]) == (part, value)
        else:
            assert len(case.topics) == 2


def assert_legal(applied: Sequence[Record]) -> None:
    """Check that records took effect in the order of their log, and those of all topics by arrival."""
    offsets = defaultdict[str, list[int]](list)
    for each in applied:
        offsets[each.topic].append(each.offset)
    assert all(found == list(range(len(found))) for found in offsets.values())
    arrivals = [each.timestamp for each in applied]
    assert arrivals == sorted(arrivals)


def by_user(order: Sequence[Happening | int]) -> dict[str, list[tuple[str, int]]]:
    """Return where each user's records stand, in an order."""
    found = defaultdict[str, list[tuple[str, int]]](list)
    for each in order:
        assert isinstance(each, Happening)
        found[each.user].append((each.topic, each.offset))
    return found


@given(case=cases(models=True, live=True), seed=st.integers(0, 1 << 32))
@examples(EXAMPLES)
@pytest.mark.timeout(seconds(EXAMPLES))
def test_outages_change_no_result(case: Case, seed: int) -> None:
    """Promise 7: stopped or killed for any spans while events arrive and timers fall due, on one topic or two.

    The same changes in the same order per user with the same `at`; but two records of one user that arrive on two topics
    at one moment may be applied in either order, and then the result is that of the order they were applied in.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segstream.upkeep.SLICE", 1 + seed % 3)  # so that few users make several slices
        asyncio.run(compare(case, seed))


async def test_records_of_one_moment_on_two_topics_may_change_places() -> None:
    """The allowance is one that a worker makes use of: among many runs of one history both orders are found."""
    text = "version: 1\nfeatures: {n: {op: count}}\nsegments: {some: {when: n >= 1}}\n"
    start = 1_600_000_000_000
    happenings = tuple(
        Happening(
            "ada", start, start + 5, f"{topic}-0-0", "track", "A",
            {"type": "track", "event": "A", "userId": "ada", "timestamp": "2020-09-13T12:26:40.000Z"},
            topic, 0, 0,
        )
        for topic in ("crm", "events")
    )  # fmt: skip
    case = Case(
        ((0, text),),
        happenings,
        partitions=1,
        replay=False,
        grace=0,
        end=start + 50,
        topics=("events", "crm"),
    )
    found = Counter[tuple[str, ...]]()
    for seed in range(60):
        sent = [record for record, _ in case.sent(0)]
        world = World(case.versions, {"partitions": 1, "partitioner": murmur2})
        outages = Outages(world, sent, case.topics, case.end, Random(seed))
        await outages.play()
        found[tuple(each.topic for each in outages.applied)] += 1
        (change,) = world.changes()
        assert change["cause"]["topic"] == outages.applied[0].topic
    assert set(found) == {("events", "crm"), ("crm", "events")}
