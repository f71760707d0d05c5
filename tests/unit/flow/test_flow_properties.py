"""The same changes however records are cut into batches, and the same as a plain recount finds."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segstream.core.definitions import read_definitions
from segstream.core.time import format_time, parse_time
from segstream.errors import DefinitionError
from segstream.flow import Flow
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.plain import Plain, Told
from tests.unit.flow.worlds import World, clock_record, play_at_once, play_at_random, play_singly

Play: TypeAlias = Callable[..., Awaitable[Flow]]

LONG = "SEGSTREAM_FLOW_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("SEGSTREAM_FLOW_EXAMPLES", "80"))
"""Examples per run, a fifth of a second each; 5000 make a long run. A failure prints what reproduces it."""

PHASES = [phase for phase in Phase if LONG or phase not in {Phase.shrink, Phase.explain}]
"""Finding a smaller example takes minutes, so only a long run does it: to have it, set the number of examples."""


def recount(case: Case, number: int) -> Plain:
    """Return what the plain way makes of a partition."""
    versions = [(at, read_definitions(text).document) for at, text in case.versions]
    plain = Plain(versions, replay=case.replay, grace=case.grace)
    for each in case.happenings:
        if isinstance(each, int):
            plain.pass_time(each, inclusive=True)
        elif each.partition == number:
            plain.happen(each)
    if case.replay:
        plain.pass_time(case.end, inclusive=True)
    else:
        plain.pass_time(case.end)
    for person in plain.people.values():
        plain.interrupt(person, plain.clock - case.grace + (1 if case.replay else 0))
    return plain


def worded(told: Told) -> dict[str, Any]:
    """Return a plain change in the words of the contract."""
    cause = dict(told.cause)
    if "due" in cause:
        cause["due"] = format_time(cause["due"])
    return {
        "user_id": told.user,
        "incarnation": 1,
        "sequence": told.sequence,
        "segment": told.segment,
        "kind": "rule",
        "group": told.group,
        "change": told.change,
        "previous": told.previous,
        "at": format_time(told.at),
        "cause": cause,
        "segments": told.segments,
        "definitions_version": told.version,
        "model_version": {},
        "reasons": told.reasons,
    }


def essence(change: dict[str, Any]) -> dict[str, Any]:
    """Return a published change without what the plain way does not work out."""
    left_out = {"schema_version", "id", "processed_at", "expires_at"}
    reasons = [
        (
            why["condition"]
            if why["inputs"] or not why["condition"].endswith(" is over")
            else why["condition"].split()[0],
            why["before"],
            why["after"],
        )
        for why in change["reasons"]
    ]
    return {**{key: value for key, value in change.items() if key not in left_out}, "reasons": reasons}


async def compare(case: Case, seed: int) -> None:
    """Play a case in every way and compare."""
    options = {"partitions": case.partitions, "replay": case.replay, "timer_grace": case.grace}
    for number in range(case.partitions):
        records = case.records(number)
        if case.replay:
            records.append(clock_record(len(records), case.end, partition=number))
        end = None if case.replay else case.end
        singly = World(case.versions, options)
        flow = await play_singly(singly, records, end, number)
        expected, counts = singly.everything(number), flow.partition.counts

        plain = recount(case, number)
        assert {user: [essence(change) for change in told] for user, told in expected["changes"].items()} == {
            name: [worded(told) for told in person.changes]
            for name, person in plain.people.items()
            if person.changes
        }
        assert counts.wake_ups - counts.idle_wake_ups == sum(
            person.timers for person in plain.people.values()
        )
        suppressed = Counter(each for person in plain.people.values() for each in person.suppressed)
        assert flow.partition.suppressed == suppressed
        check_ends(plain, expected["changes"])
        check_answers(plain, expected)

        others: dict[str, tuple[World, Play, dict[str, Any]]] = {
            "at once": (World(case.versions, options), play_at_once, {}),
            "at random": (
                World(case.versions, {**options, "cache_bytes": 1}),
                play_at_random,
                {"chance": Random(seed)},
            ),
            "crashing": (
                World(case.versions, options),
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


def check_ends(plain: Plain, changes: dict[str, list[dict[str, Any]]]) -> None:
    """Check that a membership that is left alone ends when it said it would."""
    for name, person in plain.people.items():
        published = changes.get(name, [])
        for index, (told, change) in enumerate(zip(person.changes, published, strict=True)):
            if change["expires_at"] is None or told.change != "entered":
                assert change["expires_at"] is None
                continue
            ends = parse_time(change["expires_at"])
            later = person.changes[index + 1 :]
            left = next((each for each in later if each.segment == told.segment), None)
            if left is not None and left.cause["type"] == "timer" and left.until == told.until:
                assert left.at == ends
            else:
                assert ends >= told.until, "it should have ended before anything else happened"


def check_answers(plain: Plain, expected: dict[str, Any]) -> None:
    """Check sequences, running answers, the read model and the compacted topic."""
    everyone: dict[str, dict[str, int]] = {}
    for name, person in plain.people.items():
        told = expected["changes"].get(name, [])
        assert [change["sequence"] for change in told] == list(range(1, len(told) + 1))
        running: set[str] = set()
        for change in told:
            if change["change"] == "renamed":
                running.remove(change["previous"])
            (running.remove if change["change"] == "exited" else running.add)(change["segment"])
            assert change["segments"] == sorted(running)
        held = {
            field[2:]: _since(value)
            for field, value in expected["answers"][name].items()
            if field[:2] == "s:"
        }
        assert held == person.held
        topic = expected["memberships"].get(name, {}).get("segments", {})
        assert {segment: parse_time(stay["since"]) for segment, stay in topic.items()} == person.held
        for segment, since in person.held.items():
            everyone.setdefault(segment, {})[name] = since
    assert expected["members"] == everyone
    assert expected["users"].keys() == plain.people.keys()


def _since(value: str) -> int:
    return parse_time(json.loads(value)["since"])


@given(case=cases(), seed=st.integers(0, 1 << 32))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=PHASES,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@pytest.mark.timeout(600 + EXAMPLES if LONG else 120)
def test_batches_timers_and_crashes_change_no_result(case: Case, seed: int) -> None:
    """Promises 1, 2, 3, 6: one at a time, all at once, at random with crashes, and recounted: all tell the same."""
    try:
        for _, text in case.versions:
            read_definitions(text)
    except DefinitionError as error:
        pytest.fail(f"the examples should be valid: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segstream.upkeep.SLICE", 1 + seed % 3)  # so that few users make several slices
        asyncio.run(compare(case, seed))
