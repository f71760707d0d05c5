"""The same changes however records are cut into batches, and the same as a plain recount finds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.errors import DefinitionError
from segstream.flow import Flow
from tests.unit.flow.comparing import check, examples, recount, seconds
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.worlds import World, clock_record, compiled, play_at_once, play_at_random, play_singly

Play: TypeAlias = Callable[..., Awaitable[Flow]]

EXAMPLES = 250


async def compare(case: Case, seed: int) -> None:
    """Play a case in every way and compare."""
    options = {"partitions": case.partitions, "replay": case.replay, "timer_grace": case.grace}
    for number in range(case.partitions):
        records = case.records(number)
        if case.replay:
            records.append(clock_record(len(records), case.end, partition=number))
        end = None if case.replay else case.end
        singly = World(case.versions, options, case.snapshots)
        flow = await play_singly(singly, records, end, number)
        expected, counts = singly.everything(number), flow.partition.counts

        plain = recount(case, number)
        check(case, plain, expected)
        assert counts.wake_ups - counts.idle_wake_ups == sum(
            person.timers for person in plain.people.values()
        )
        suppressed = Counter(each for person in plain.people.values() for each in person.suppressed)
        assert flow.partition.suppressed == suppressed

        others: dict[str, tuple[World, Play, dict[str, Any]]] = {
            "at once": (World(case.versions, options, case.snapshots), play_at_once, {}),
            "at random": (
                World(case.versions, {**options, "cache_bytes": 1}, case.snapshots),
                play_at_random,
                {"chance": Random(seed)},
            ),
            "crashing": (
                World(case.versions, options, case.snapshots),
                play_at_random,
                {"chance": Random(seed), "crashes": 4},
            ),
        }
        for how, (world, play, more) in others.items():
            other = await play(world, records, end, number, **more)
            for part, value in world.everything(number).items():
                assert (how, part, value) == (how, part, expected[part])
            if how != "crashing":
                again = other.partition.counts
                assert other.partition.suppressed == suppressed
                assert (again.events, again.repeats, again.changes, again.wake_ups, again.idle_wake_ups) == (
                    (counts.events, counts.repeats, counts.changes, counts.wake_ups, counts.idle_wake_ups)
                )


@given(case=cases(models=True), seed=st.integers(0, 1 << 32))
@examples(EXAMPLES)
@pytest.mark.timeout(seconds(EXAMPLES))
def test_batches_timers_and_crashes_change_no_result(case: Case, seed: int) -> None:
    """Promises 1, 2, 3, 6: one at a time, all at once, at random with crashes, and recounted: all tell the same."""
    try:
        for _, text in case.versions:
            compiled(text)
    except DefinitionError as error:
        pytest.fail(f"the examples should be valid: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segstream.upkeep.SLICE", 1 + seed % 3)  # so that few users make several slices
        asyncio.run(compare(case, seed))
