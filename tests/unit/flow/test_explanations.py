"""What is explained of random users under random definitions is what the engine holds, part by part."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.definitions import Definitions, Segment
from segstream.core.explanations import Explainer, Part, Rule
from segstream.core.explanations.changing import Way
from segstream.core.expressions import Condition
from segstream.core.expressions.tree import Node, children, write
from segstream.core.expressions.truths import truth
from segstream.core.time import NEVER
from segstream.upkeep import adopt_definitions
from segstream_schemas.times import LATEST
from tests.unit.flow.comparing import examples, seconds
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.worlds import World, clock_record, feed, finish

EXAMPLES = 200
EXHAUSTIVE = 300
"""Milliseconds up to which every single one is tried."""
SMALLEST = 1e-6
"""The smallest amount that a sum tells from nought."""


async def stopped(case: Case, chance: Random, number: int) -> tuple[World, Any, dict[str, Explainer], int]:
    """Stop a history somewhere, with timers and sweeps undone, and explain everybody at some later moment."""
    options = {"partitions": case.partitions, "replay": case.replay, "timer_grace": case.grace}
    world = World(case.versions, options)
    flow = await world.owner(number)
    records = case.records(number)
    await feed(flow, records[: chance.randint(0, len(records))])
    partition = flow.partition
    following = partition.library.following(partition.bases[-1].definitions) if partition.bases else None
    if following is not None and chance.random() < 0.5:
        # Nobody is taken to the new version yet.
        moment = max(partition.meta.clock, following.effective_at + 1 + case.grace)
        while await adopt_definitions(partition, moment):
            pass
    users = world.users(number)
    deciders = [partition.library.decider(basis) for basis in partition.bases]
    if not deciders:
        return world, flow, {}, 0
    earliest = max(
        partition.meta.clock, deciders[-1].basis.at, *(user.decided_at for user in users.values()), 0
    )
    at = earliest + chance.choice([0, 0, 1, 5, 50, chance.randrange(1, 100_000_000)])
    following = partition.library.following(deciders[-1].basis.definitions)
    if following is not None:
        # What is published for later is not known to whoever explains.
        at = min(at, following.effective_at - 2 - case.grace)
        users = users if at >= earliest else {}
    explained = {
        name: Explainer(user, [each for each in deciders if each.basis.number >= user.basis], at)
        for name, user in users.items()
    }
    return world, flow, explained, at


async def check_decisions(case: Case, seed: int) -> None:
    """Check what is told to be held against what the worker holds once its clock has passed the moment."""
    for number in range(case.partitions):
        world, flow, explained, at = await stopped(case, Random(seed), number)
        told = {name: each.user.held for name, each in explained.items()}
        if case.replay:
            offset = flow.partition.meta.offsets.get("events", -1) + 1
            # A control record fires what is due at its moment, too; a live clock what is due before.
            await feed(flow, [clock_record(offset, at + case.grace, partition=number)])
            await finish(flow, None)
        else:
            await finish(flow, at + 1 + case.grace)
        held = {name: user.held for name, user in world.users(number).items() if name in told}
        assert told == held
        assert {name: each.user.segments() for name, each in explained.items()} == {
            name: user.segments() for name, user in world.users(number).items() if name in told
        }


@given(case=cases(), seed=st.integers(0, 1 << 32))
@examples(EXAMPLES)
@pytest.mark.timeout(seconds(EXAMPLES))
def test_what_is_told_to_be_held_is_what_the_worker_holds(case: Case, seed: int) -> None:
    """Since when and until when included; from states whose timers and versions are still to be caught up with."""
    asyncio.run(check_decisions(case, seed))


@given(case=cases(), seed=st.integers(0, 1 << 32))
@examples(EXAMPLES)
@pytest.mark.timeout(seconds(EXAMPLES))
def test_every_part_of_an_explanation_agrees_with_what_decides(case: Case, seed: int) -> None:
    """Truths, three-valued logic, moments, reasons, and what is said to turn a comparison does turn it."""

    async def explained() -> list[Explainer]:
        stops = [await stopped(case, Random(seed + number), number) for number in range(case.partitions)]
        return [each for _, _, users, _ in stops for each in users.values()]

    for explainer in asyncio.run(explained()):
        for segment in explainer.definitions.segments:
            rule = explainer.rule(segment.name)
            check_condition(explainer, segment.when, rule.when)
            assert (segment.leave_when is None) is (rule.leave_when is None)
            if segment.leave_when is not None and rule.leave_when is not None:
                check_condition(explainer, segment.leave_when, rule.leave_when)
            check_reason(explainer, segment, rule)
            check_turn(explainer, rule)
            assert rule.document()["member"] is rule.member


def check_condition(explainer: Explainer, condition: Condition, whole: Part) -> None:
    """Check a condition's explanation against the condition."""
    states, at = explainer.states, explainer.at
    known, until = condition.hold(states, at)
    assert whole.text == condition.text
    assert whole.truth is condition.truth(states, at) is known
    assert whole.until >= until or until > LATEST
    if until <= LATEST and condition.truth(states, until) is not known:
        assert whole.until == until
    for node, part in pairs(condition.node, whole):
        check_part(explainer.definitions, states, at, node, part)


def pairs(node: Node, part: Part) -> Iterator[tuple[Node, Part]]:
    """Yield each node with its part."""
    yield node, part
    if part.parts:
        for child, below in zip(children(node), part.parts, strict=True):
            yield from pairs(child, below)


def check_part(definitions: Definitions, states: Sequence[Any], at: int, node: Node, part: Part) -> None:
    """Check one part."""
    known = truth(node)
    assert part.text == write(node)
    assert part.truth is known(states, at) is combined(part)
    if part.until < NEVER:
        assert known(states, part.until) is not part.truth
    for moment in between(at, min(part.until, at + 10**9)):
        assert known(states, moment) is part.truth
    if part.since is not None:
        assert known(states, part.since - 1) is not part.truth
        for moment in between(part.since, at + 1):
            assert known(states, moment) is part.truth
    for way in part.ways:
        check_way(definitions, states, at, node, way)


def combined(part: Part) -> bool | None:
    """Return what the truths of a part's own parts come to in three-valued logic."""
    truths = [each.truth for each in part.parts]
    if part.word == "comparison":
        return part.truth
    if part.word == "not":
        return None if truths[0] is None else not truths[0]
    decisive = part.word == "or"
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive


def between(begin: int, end: int) -> list[int]:
    """Return moments from ``begin`` up to and without ``end``: all, or some with those at both ends."""
    if end - begin <= EXHAUSTIVE:
        return list(range(begin, end))
    step = (end - begin) // EXHAUSTIVE
    return [*range(begin, end, step), *range(end - 5, end)]


def check_way(definitions: Definitions, states: Sequence[Any], at: int, node: Node, way: Way) -> None:
    """Do what is said to turn a comparison, and a little less."""
    known = truth(node)
    now = known(states, at)
    assert way.becomes is not now
    if way.silence is not None:
        assert known(states, at + way.silence) is way.becomes
        assert known(states, at + way.silence - 1) is now
        return
    feature = next((each for each in definitions.features if each.name == way.feature), None)
    if feature is None or feature.name.startswith("traits."):
        return
    add = feature.accumulator.add

    def after(*values: float) -> bool | None:
        state = states[feature.index]
        for number, value in enumerate(values):
            state = add(state, at, value, f"more-{number}")
        return known([*states[: feature.index], state, *states[feature.index + 1 :]], at)

    if way.events is not None:
        assert after(*[1] * way.events) is way.becomes
        assert after(*[1] * (way.events - 1)) is now
    elif way.amount is not None:
        over = way.text.startswith("over ")
        assert after(way.amount + SMALLEST * over) is way.becomes
        assert after(way.amount - SMALLEST * (not over)) is now


def check_reason(explainer: Explainer, segment: Segment, rule: Rule) -> None:
    """Check that the reason given is one that can be."""
    user, code = explainer.user, rule.because.code
    assert rule.member is (segment.name in user.held)
    assert rule.since == (user.held[segment.name][0] if rule.member else None)
    applies = rule.when.truth is True and (rule.leave_when is None or rule.leave_when.truth is not True)
    if rule.member:
        stays = rule.when.truth is True if rule.leave_when is None else rule.leave_when.truth is not True
        beaten = any(rival.applies and rival.standing.phase.value == "out" for rival in rule.before)
        assert code == ("min_dwell" if rule.standing.held_back == "leaving" else code)
        assert code == "min_dwell" or (stays and not beaten)
    elif not applies:
        assert code == ("leave_when" if rule.when.truth is True else "when")
    elif code == "group":
        assert any(rival.held for rival in rule.before)
    elif code == "min_dwell":
        assert any(rival.held and rival.standing.held_back for rival in (*rule.before, *rule.after))
    else:
        assert code == {"cooling": "cooldown", "confirming": "confirm_for"}[rule.standing.phase.value]


def check_turn(explainer: Explainer, rule: Rule) -> None:
    """Check that the membership changes then, and not at any moment before that was tried."""
    if rule.turn is None:
        return
    name, user, deciders = rule.segment.name, explainer.user, [explainer.decider]
    assert rule.turn.at > explainer.at
    tried = {explainer.at + 1, (explainer.at + rule.turn.at) // 2, rule.turn.at - 1}
    for moment in (each for each in tried if explainer.at < each < rule.turn.at):
        assert (name in Explainer(user, deciders, moment).user.held) is rule.member
    later = Explainer(user, deciders, rule.turn.at).user
    assert (name in later.held) is not rule.member
    if rule.turn.then is not None:
        assert rule.turn.then in later.held
