"""What every accumulator promises, checked against plain recounts of the raw events."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.features import Accumulator
from segstream.core.time import DAY, NEVER
from segstream.core.types import Motion, State, Value
from tests.unit.core.features.recounts import CASES, Case, Event, is_number

SPAN = 1_000
"""Random events lie between -SPAN and SPAN ms; the cases' windows and half-lives are shorter than that."""

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
moving = [case for case in CASES if case.accumulator().motion is Motion.STEPS]
decaying = [case for case in CASES if case.accumulator().motion is Motion.DECAY]
examples = settings(max_examples=20, deadline=None, derandomize=True)

moments = st.integers(-SPAN, SPAN)
amounts = st.one_of(
    st.integers(-5, 5),
    st.integers(-500, 500).map(lambda cents: cents / 100),
    st.integers(-(10**9), 10**9).map(lambda millionths: millionths / 10**6),
)
values = st.one_of(
    amounts,
    amounts,
    st.sampled_from(["", "a", "ü", "1997-06-11", "1997-06-11T02:00:00+02:00", "12"]),
    st.sampled_from([None, True, False, math.nan, math.inf, -math.inf, 1e300, 2**63, -(2**70)]),
    st.sampled_from([2**63 - 1, -(2**63) + 1, 10**15]),
)


@st.composite
def histories(draw: st.DrawFn, of: st.SearchStrategy[Value] = values) -> list[Event]:
    """Draw events of one user; no two have the same message id."""
    some = draw(st.lists(st.tuples(moments, of), max_size=25))
    ties = draw(st.permutations([f"m{number}" for number in range(len(some))]))
    return [(at, value, tie) for (at, value), tie in zip(some, ties, strict=True)]


def stretch(case: Case, events: list[Event]) -> list[Event]:
    """Let the moments of events count in the case's unit."""
    return [(at * case.unit, value, tie) for at, value, tie in events]


def fold(accumulator: Accumulator, events: list[Event], state: State = ...) -> State:
    """Add events in the order given."""
    state = accumulator.zero() if state is ... else state
    for at, value, tie in events:
        state = accumulator.add(state, at, value, tie)
    return state


def same(a: State, b: State) -> bool:
    """Compare strictly: 1, 1.0 and True differ, and so do buckets in another order."""
    return repr(a) == repr(b)


def entries(state: State) -> int:
    """Count the leaves of a state, at least 1."""
    if isinstance(state, dict):
        return sum(map(entries, state.values()))
    if isinstance(state, bytes):
        return len(state) // 8
    return sum(map(entries, state)) if isinstance(state, tuple) else 1


def latest(events: list[Event]) -> int:
    """Return the earliest moment at which a decision may be made after these events."""
    return max((at for at, *_ in events), default=-SPAN)


def around(candidates: set[int], after: int) -> Iterator[int]:
    """Yield the candidates and their neighbours later than a moment, in order."""
    yield from sorted({moment + off for moment in candidates for off in (-1, 0, 1) if moment + off > after})


@every
@given(a=histories(), b=histories(), c=histories())
@examples
def test_states_merge_in_any_order_and_grouping_as_if_added_as_one_stream(
    case: Case, a: list[Event], b: list[Event], c: list[Event]
) -> None:
    """Merge is associative, commutative, has `zero` as its neutral element and equals adding both streams."""
    accumulator = case.accumulator()
    a, b, c = (stretch(case, events) for events in (a, b, c))
    b = [(at, value, f"b{tie}") for at, value, tie in b]
    c = [(at, value, f"c{tie}") for at, value, tie in c]
    merge = accumulator.merge
    left, middle, right = (fold(accumulator, events) for events in (a, b, c))
    assert same(merge(left, middle), merge(middle, left))
    assert same(merge(merge(left, middle), right), merge(left, merge(middle, right)))
    assert same(merge(left, middle), fold(accumulator, a + b))
    assert same(merge(left, accumulator.zero()), left)
    assert same(merge(accumulator.zero(), left), left)


@every
@given(events=histories(), data=st.data())
@examples
def test_the_order_of_arrival_does_not_matter(case: Case, events: list[Event], data: st.DataObject) -> None:
    """Any permutation of the events, even of ones that share id and moment, ends in the same state."""
    accumulator = case.accumulator()
    events = stretch(case, events + [(at, data.draw(values), tie) for at, _, tie in events[:3]])
    shuffled = data.draw(st.permutations(events))
    assert same(fold(accumulator, events), fold(accumulator, shuffled))


@every
@given(events=histories(), later=st.one_of(st.integers(0, 50), st.integers(0, 4 * SPAN)))
@examples
def test_the_value_at_any_moment_equals_a_recount_of_the_raw_events(
    case: Case, events: list[Event], later: int
) -> None:
    """From the last event on, whenever one looks, the state tells what the events themselves tell."""
    accumulator, events = case.accumulator(), stretch(case, events)
    at = latest(events) + later * case.unit
    value = accumulator.value(fold(accumulator, events), at)
    expected = case.recount(events, at)
    assert value == expected
    assert (value is None) == (expected is None)


@every
@given(events=histories(), more=histories(), later=st.integers(0, SPAN), beyond=st.integers(0, SPAN))
@examples
def test_compacting_changes_no_value_then_or_later(
    case: Case, events: list[Event], more: list[Event], later: int, beyond: int
) -> None:
    """What `compact` drops cannot count any more, whatever comes afterwards, late or not."""
    accumulator, events, more = case.accumulator(), stretch(case, events), stretch(case, more)
    at = max(latest(events), latest(more)) + later * case.unit
    state = fold(accumulator, events)
    smaller = accumulator.compact(state, at)
    assert accumulator.value(smaller, at) == accumulator.value(state, at)
    assert accumulator.compact(smaller, at) is smaller
    after, smaller_after = (fold(accumulator, more, begun) for begun in (state, smaller))
    assert accumulator.value(smaller_after, at + beyond * case.unit) == accumulator.value(
        after, at + beyond * case.unit
    )
    assert list(accumulator.steps(smaller_after, at)) == list(accumulator.steps(after, at))


@every
@given(a=histories(), b=histories(), later=st.integers(0, SPAN))
@examples
def test_no_operation_changes_a_state_it_was_given(
    case: Case, a: list[Event], b: list[Event], later: int
) -> None:
    """States can be kept by reference: adding, merging, reading and compacting leave them as they were."""
    accumulator, a, b = case.accumulator(), stretch(case, a), stretch(case, b)
    at = max(latest(a), latest(b)) + later * case.unit
    left, right = fold(accumulator, a), fold(accumulator, b)
    before = copy.deepcopy((left, right))
    fold(accumulator, b, left)
    accumulator.merge(left, right)
    accumulator.value(left, at)
    accumulator.compact(left, at)
    list(accumulator.steps(left, at))
    accumulator.crosses(left, ">", 1.0, at)
    assert same((left, right), before)


@every
@given(events=histories())
@examples
def test_a_state_survives_msgpack_and_stays_small(case: Case, events: list[Event]) -> None:
    """A state read back from msgpack is the same and goes on the same way; its size has a fixed bound."""
    accumulator, events = case.accumulator(), stretch(case, events)
    state = fold(accumulator, events)
    back = msgpack.unpackb(msgpack.packb(state), strict_map_key=False, use_list=False)
    assert same(back, state)
    assert same(fold(accumulator, events[:5], back), fold(accumulator, events[:5], state))
    assert entries(state) <= case.bound


@every
def test_a_state_is_bounded_however_long_the_history(case: Case) -> None:
    """Ten thousand events over a long time take no more room than the bound, forwards and backwards."""
    accumulator = case.accumulator()
    events: list[Event] = [
        (moment * 3 * case.unit, moment % 1_700 + 0.25, f"m{moment}") for moment in range(10_000)
    ]
    assert entries(fold(accumulator, events)) <= case.bound
    assert same(fold(accumulator, events[:3000]), fold(accumulator, events[2999::-1]))


@pytest.mark.parametrize("case", moving, ids=lambda case: case.name)
@given(events=histories(), later=st.integers(0, 100))
@examples
def test_steps_are_exactly_the_moments_at_which_the_value_changes(
    case: Case, events: list[Event], later: int
) -> None:
    """Looking at every candidate moment and 1 ms either side finds the steps announced, and no other."""
    accumulator, events = case.accumulator(), stretch(case, events)
    at = latest(events) + later * case.unit
    state = fold(accumulator, events)
    width, window = case.spec.resolution or DAY, case.spec.window or 0
    candidates = {then - then % width + width + window for then, *_ in events}
    seen = [at, *around(candidates, at)]
    found = [
        (moment, accumulator.value(state, moment))
        for before, moment in pairwise(seen)
        if accumulator.value(state, moment) != accumulator.value(state, before)
    ]
    announced = list(accumulator.steps(state, at))
    # Amounts near 2^63 can hide a bucket's share below a float's last digit: announced, but nothing to see.
    big = any(is_number(value) and abs(value) > 10**9 for _, value, _ in events)  # type: ignore[arg-type]
    assert announced == found or (big and set(found) <= set(announced))
    assert accumulator.next_change(state, at) == next((moment for moment, _ in announced), NEVER)


@pytest.mark.parametrize("case", moving, ids=lambda case: case.name)
@given(
    events=histories(), later=st.integers(0, 100), op=st.sampled_from(["<", "<=", ">", ">="]), bound=amounts
)
@examples
def test_a_window_crosses_a_bound_when_the_step_over_it_comes(
    case: Case, events: list[Event], later: int, op: str, bound: float
) -> None:
    """The moment announced is the first of all candidates at which the comparison differs."""
    accumulator, events = case.accumulator(), stretch(case, events)
    at = latest(events) + later * case.unit
    state = fold(accumulator, events)
    width, window = case.spec.resolution or DAY, case.spec.window or 0
    candidates = {then - then % width + width + window for then, *_ in events}
    expected = first_turn(accumulator, state, op, bound, at, looked_at=list(around(candidates, at)))
    assert accumulator.crosses(state, op, bound, at) == expected


@pytest.mark.parametrize("case", decaying, ids=lambda case: case.name)
@given(
    events=histories(),
    later=st.integers(0, 100),
    op=st.sampled_from(["<", "<=", ">", ">="]),
    bound=st.one_of(amounts, st.floats(-3, 3), st.just(0.0)),
    share=st.one_of(st.none(), st.floats(0, 1.5)),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_decaying_value_crosses_a_bound_at_the_very_millisecond(
    case: Case, *, events: list[Event], later: int, op: str, bound: float, share: float | None
) -> None:
    """Stepping through time millisecond by millisecond finds no earlier moment and no other."""
    accumulator, events = case.accumulator(), stretch(case, events)
    at = latest(events) + later * case.unit
    state = fold(accumulator, events)
    if share is not None:
        bound = accumulator.value(state, at) * share  # type: ignore[operator]  # a rate is a number
    half_life = case.spec.half_life or 1
    forgotten = {(then // half_life + 65) * half_life for then, *_ in events}
    looked_at = sorted({*range(at + 1, at + 12 * half_life), *around(forgotten, at)})
    expected = first_turn(accumulator, state, op, bound, at, looked_at=looked_at)
    announced = accumulator.crosses(state, op, bound, at)
    if announced == NEVER or announced in looked_at:
        assert announced == expected
    else:  # between the last millisecond stepped through and the end of the memory
        assert at + 12 * half_life <= announced <= expected
        assert turned(accumulator, state, op, bound, announced) != turned(accumulator, state, op, bound, at)
        assert turned(accumulator, state, op, bound, announced - 1) == turned(
            accumulator, state, op, bound, at
        )


def turned(accumulator: Accumulator, state: State, op: str, bound: float, at: int) -> bool | None:
    """Compare the value at a moment with the bound; unknown if the value is."""
    value: Any = accumulator.value(state, at)
    if value is None:
        return None
    truths: dict[str, bool] = {
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
    }
    return truths[op]


def first_turn(
    accumulator: Accumulator, state: State, op: str, bound: float, at: int, *, looked_at: list[int]
) -> int:
    """Return the first of the moments with another truth than at the start."""
    before = turned(accumulator, state, op, bound, at)
    for moment in looked_at:
        if turned(accumulator, state, op, bound, moment) != before:
            return moment
    return NEVER
