"""``hold`` against brute force: every moment that could matter, tried."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from segstream.core.expressions import Condition, ExpressionError, compile_condition
from segstream.core.features import FeatureSpec, build
from segstream.core.features.base import MOST_STEPS
from segstream.core.time import DAY, HOUR, MINUTE, NEVER
from segstream.core.types import ValueKind

SPECS = {
    "orders": FeatureSpec("count"),
    "revenue": FeatureSpec("sum", has_of=True),
    "last_order": FeatureSpec("last_time"),
    "first_order": FeatureSpec("first_time"),
    "visits_1h": FeatureSpec("count", window=HOUR, resolution=10 * MINUTE),
    "spent_3h": FeatureSpec("sum", window=3 * HOUR, resolution=HOUR, has_of=True),
    "visit_rate": FeatureSpec("rate", half_life=HOUR, per=HOUR),
    "traits.country": FeatureSpec("last", has_of=True, kind=ValueKind.TEXT),
    "traits.seen": FeatureSpec("last", has_of=True, kind=ValueKind.TIME),
    "plan": FeatureSpec("last", has_of=True),
    "last_visit": FeatureSpec("last_time"),
    "smallest": FeatureSpec("min", has_of=True),
    "traits.vip": FeatureSpec("last", has_of=True, kind=ValueKind.BOOLEAN),
}
SCOPE = {name: (index, build(spec)) for index, (name, spec) in enumerate(SPECS.items())}
NOON = 865987200000
LISTED = ("traits.country", "plan", "traits.vip")


def states_after(events: list[tuple[str, int, Any]]) -> list[Any]:
    """Return a user's states after ``(feature, minutes before NOON, value)`` events."""
    states = [accumulator.zero() for _, accumulator in SCOPE.values()]
    for number, (name, minutes, value) in enumerate(events):
        index, accumulator = SCOPE[name]
        states[index] = accumulator.add(states[index], NOON - minutes * MINUTE, value, f"m{number}")
    return states


def brute_moments(events: list[tuple[str, int, Any]]) -> list[int]:
    """Return moments from NOON on at which anything could turn, and 1 ms to either side."""
    ends: set[int] = {NOON, NOON + 1}
    for name, minutes, _ in events:
        at = NOON - minutes * MINUTE
        spec = SPECS[name]
        if spec.window and spec.resolution:
            ends.add((at // spec.resolution + 1) * spec.resolution + spec.window)
        ends.update(at + length for length in LENGTHS)
    grid = (NOON + step * 7 * MINUTE + step for step in range(200))
    return sorted({m + d for m in (*ends, *grid) for d in (-1, 0, 1) if m + d >= NOON})


LENGTHS = [0, MINUTE, 30 * MINUTE, 90 * MINUTE, 2 * HOUR, 5 * HOUR, DAY]
durations = st.sampled_from(["0s", "1m", "30m", "90m", "2h", "5h", "1d", "1500ms"])
numbers = st.sampled_from(["0", "1", "2", "3", "0.5", "7.25", "-1"])
comparators = st.sampled_from(["<", "<=", ">", ">="])
any_comparator = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
still_numbers = st.sampled_from(["orders", "revenue", "coalesce(smallest, 2)", "coalesce(plan, 1.5)"])
windows = st.sampled_from(["visits_1h", "spent_3h"])
numeric = st.recursive(
    numbers | still_numbers | windows,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner)
        | st.builds("coalesce({} / {}, {})".format, inner, inner, inner)
    ),
    max_leaves=4,
)
still_duration = durations | st.sampled_from(
    [
        "(last_order - first_order)",
        "(traits.seen - first_order)",
        "(orders * 10m)",
        "coalesce(last_visit - first_order, 90m)",
    ]
)
ages = st.sampled_from(
    [
        "since(last_order)",
        "since(first_order)",
        "since(traits.seen)",
        "since(first_order + 20m)",
        "since(coalesce(last_order, last_visit))",
        "since(coalesce(traits.seen, '1997-06-10T23:20:00Z'))",
    ]
)
either_age = st.builds("coalesce(since(last_visit), {})".format, durations | ages)
flowing = st.recursive(
    ages | either_age,
    lambda inner: st.one_of(
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from("+-"),
            inner | still_duration | st.builds("visits_1h * {}".format, durations),
        ),
        st.builds(
            "({} * {})".format, st.sampled_from(["2", "0.1", "1.5", "orders", "visits_1h", "(-1)"]), inner
        ),
        st.builds("({} / {})".format, inner, st.sampled_from(["2", "0.3", "orders", "spent_3h"])),
    ),
    max_leaves=3,
)
single = st.one_of(
    st.builds("{} {} {}".format, ages, comparators, still_duration),
    st.builds("{} {} {}".format, durations, comparators, ages),
    st.builds("{} {} {}".format, windows, any_comparator, numbers),
    st.builds("visits_1h {} [1, 3]".format, st.sampled_from(["in", "not in"])),
    st.builds(
        "visit_rate {} {}".format,
        comparators,
        st.sampled_from(["0.5", "0.01", "1", "0", "orders / 10", "revenue"]),
    ),
    st.builds(
        "visit_rate * {} {} {}".format, st.sampled_from(["3", "orders", "(-0.7)"]), comparators, numbers
    ),
    st.builds("1.3 {} visit_rate / {}".format, comparators, st.sampled_from(["3", "0.1", "(0 - orders)"])),
    st.builds("{} {} {}".format, flowing, comparators, flowing | still_duration),
    st.builds("{} / 1m {} {}".format, ages, comparators, numeric),
    st.builds("{} {} {}".format, numeric, any_comparator, numeric),
    st.builds("{} {} {}".format, either_age, comparators, still_duration),
    st.builds(
        "exists({})".format, st.sampled_from(["last_visit", "smallest", "visits_1h", "traits.vip", "plan"])
    ),
    st.builds(
        "{} {}".format,
        st.sampled_from(["traits.country", "plan", "coalesce(traits.country, 'FR')"]),
        st.sampled_from(
            [
                "contains 'E'",
                "starts_with 'F'",
                "matches '^(DE|FR)$'",
                "matches 'X'",
                "contains traits.country",
            ]
        ),
    ),
    st.sampled_from(
        ["traits.vip", "coalesce(traits.vip, true)", "traits.vip != coalesce(traits.vip, false)"]
    ),
    st.just("traits.country == 'DE'"),
    st.just("plan != 3"),
    st.builds("last_order {} traits.seen".format, any_comparator),
)
conditions = st.recursive(
    single,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("({} and {} or {})".format, inner, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)
events = st.lists(
    st.tuples(
        st.sampled_from([name for name in SPECS if name not in LISTED]),
        st.integers(0, 300),
        st.sampled_from([1, 2, 0.1, -1.5, NOON - 40 * MINUTE]),
    )
    | st.tuples(st.sampled_from(LISTED), st.integers(0, 300), st.sampled_from(["DE", "FR", 3, True])),
    max_size=14,
)


REFUSED = ("divides by zero", "always known", "cancel", "speeds that", "instant", "nested", "both move")


def compiled(text: str) -> Condition:
    """Compile, setting aside what is refused because it cannot be waited for; any other refusal is a failure."""
    try:
        return compile_condition(text, SCOPE)
    except ExpressionError as error:
        assume(not any(word in error.message for word in REFUSED))
        raise


@settings(max_examples=600, deadline=None)
@given(conditions, events)
@example("since(last_order) / 1m > spent_3h", [("last_order", 5, 1), ("spent_3h", 100, 120)])
def test_until_is_never_late(text: str, happened: list[tuple[str, int, Any]]) -> None:
    """No moment before ``until`` has another truth than now, whatever the condition."""
    condition = compiled(text)
    states = states_after(happened)
    now, until = condition.hold(states, NOON)
    assert until > NOON
    assert now is condition.truth(states, NOON)
    for moment in brute_moments(happened):
        if moment >= until:
            break
        assert condition.truth(states, moment) is now, (text, moment - NOON, until - NOON)


@settings(max_examples=600, deadline=None)
@given(single, events)
@example("since(last_order) > 90m", [("last_order", 5, 1)])
@example("since(last_order) >= 90m", [("last_order", 90, 1)])
@example("visit_rate * orders > 1", [("visit_rate", 1, 1)] * 6 + [("orders", 1, 1)] * 3)
def test_a_single_comparison_turns_exactly_at_until(text: str, happened: list[tuple[str, int, Any]]) -> None:
    """One comparison has its old truth 1 ms before ``until`` and another one at it; if never, it never turns."""
    condition = compiled(text)
    states = states_after(happened)
    now, until = condition.hold(states, NOON)
    if until == NEVER:
        late = [*brute_moments(happened), NOON + 400 * DAY, NOON + 40_000 * DAY]
        assert all(condition.truth(states, moment) is now for moment in late)
    else:
        assert condition.truth(states, until - 1) is now
        assert condition.truth(states, until) is not now


@settings(max_examples=300, deadline=None)
@given(conditions, events)
def test_following_until_from_moment_to_moment_finds_every_turn(
    text: str, happened: list[tuple[str, int, Any]]
) -> None:
    """Whoever asks again at each ``until`` knows the truth at every moment."""
    condition = compiled(text)
    states = states_after(happened)
    told: list[tuple[int, bool | None]] = []
    at = NOON
    while at < NOON + 3 * DAY and len(told) < 500:
        now, until = condition.hold(states, at)
        told.append((at, now))
        at = until
    told.append((at, None))
    moments = brute_moments(happened)
    for (start, now), (end, _) in pairwise(told):
        assert all(condition.truth(states, moment) is now for moment in moments if start <= moment < end)


@pytest.mark.parametrize(
    ("comparator", "turns"), [(">", HOUR + 1), (">=", HOUR), ("<=", HOUR + 1), ("<", HOUR)]
)
def test_an_age_turns_at_the_stated_millisecond(comparator: str, turns: int) -> None:
    """``since(x) > c`` turns at x + c + 1 ms, ``>=`` at x + c, and their opposites with them."""
    condition = compile_condition(f"since(last_order) {comparator} 1h", SCOPE)
    states = states_after([("last_order", 0, None)])
    before = comparator in {"<", "<="}
    assert condition.hold(states, NOON) == (before, NOON + turns)
    assert condition.hold(states, NOON + turns) == (not before, NEVER)


def test_a_false_part_keeps_an_and_asleep_until_it_turns_itself() -> None:
    """An ``and`` with a false part that only an event can change needs no wake-up at all."""
    condition = compile_condition("orders >= 2 and since(last_order) > 1h", SCOPE)
    assert condition.hold(states_after([("orders", 0, None), ("last_order", 0, None)]), NOON) == (
        False,
        NEVER,
    )


def test_two_false_parts_are_waited_for_until_the_later_one() -> None:
    """An ``and`` stays false until the last of its false parts turns."""
    condition = compile_condition("since(last_order) > 1h and since(first_order) > 3h", SCOPE)
    states = states_after([("last_order", 0, None), ("first_order", 0, None)])
    assert condition.hold(states, NOON) == (False, NOON + 3 * HOUR + 1)


def test_two_true_parts_keep_an_or_true_until_the_later_one() -> None:
    """An ``or`` stays true until the last of its true parts turns."""
    condition = compile_condition("since(last_order) < 1h or since(first_order) < 3h", SCOPE)
    states = states_after([("last_order", 0, None), ("first_order", 0, None)])
    assert condition.hold(states, NOON) == (True, NOON + 3 * HOUR)


def test_an_unknown_age_waits_for_an_event() -> None:
    """Time alone never makes an unknown time known."""
    condition = compile_condition("since(last_order) > 1h", SCOPE)
    assert condition.hold(states_after([]), NOON) == (None, NEVER)


def test_an_age_that_grows_beyond_any_number_turns_unknown_in_time() -> None:
    """Even where a product overflows one day, the moment it turns is found."""
    huge = " * ".join(["1e15"] * 19)
    condition = compile_condition(f"since(last_order) * {huge} * 1e9 > 1d", SCOPE)
    states = states_after([("last_order", 0, None)])
    assert condition.hold(states, NOON) == (False, NOON + 1)
    assert condition.hold(states, NOON + 1)[0] is True


def test_many_steps_of_several_windows_are_looked_at_a_piece_at_a_time() -> None:
    """A comparison of two windows says when to ask again at the latest, so that one look stays short."""
    spec = FeatureSpec("count", window=DAY, resolution=MINUTE)
    scope = {"a": (0, build(spec)), "b": (1, build(spec))}
    condition = compile_condition("a + b > -1", scope)
    states = [accumulator.zero() for _, accumulator in scope.values()]
    for minute in range(200):
        states[0] = scope["a"][1].add(states[0], NOON - minute * MINUTE, None, f"{minute}")
    now, until = condition.hold(states, NOON)
    assert now is True
    assert NOON < until < NEVER


def test_many_steps_of_a_window_with_negative_amounts_are_looked_at_a_piece_at_a_time() -> None:
    """One refund in a full window of ten thousand buckets does not make each event look at all of them."""
    balance = build(FeatureSpec("sum", window=10_000 * MINUTE, resolution=MINUTE, has_of=True))
    condition = compile_condition("balance >= 1", {"balance": (0, balance)})
    amounts = {minute: -5 if minute == 0 else 10 for minute in range(10_000)}
    leaves = [(minute + 10_001) * MINUTE for minute in amounts]
    buckets = {minute: amount * 1_000_000 for minute, amount in amounts.items()}
    states: list[Any] = [(sum(buckets.values()), leaves[0], buckets)]
    at, asked = 9_999 * MINUTE, list[int]()
    while condition.truth(states, at):
        now, at = condition.hold(states, at)
        assert now is True
        asked.append(at)
    assert asked == [*leaves[MOST_STEPS - 1 :: MOST_STEPS], leaves[-1]]
    assert condition.hold(states, at) == (False, NEVER)


def test_a_stand_in_ages_as_what_it_stands_in_for() -> None:
    """``since(coalesce(a, b))`` turns by ``a`` when that is known, else by ``b``, to the millisecond."""
    condition = compile_condition("since(coalesce(last_visit, last_order)) > 1h", SCOPE)
    ordered, visited = ("last_order", 30, None), ("last_visit", 10, None)
    assert condition.hold(states_after([ordered]), NOON) == (False, NOON + 30 * MINUTE + 1)
    assert condition.hold(states_after([ordered, visited]), NOON) == (False, NOON + 50 * MINUTE + 1)
    assert condition.hold(states_after([]), NOON) == (None, NEVER)


def test_an_age_with_a_fixed_stand_in_turns_only_where_it_is_known() -> None:
    """Who never came counts as away for two hours, now and for ever."""
    condition = compile_condition("coalesce(since(last_visit), 2h) > 1h", SCOPE)
    assert condition.hold(states_after([]), NOON) == (True, NEVER)
    assert condition.hold(states_after([("last_visit", 0, None)]), NOON) == (False, NOON + HOUR + 1)


def test_a_quotient_that_becomes_unknown_gives_way_to_its_stand_in_at_that_moment() -> None:
    """When the last visit leaves the window, revenue per visit divides by zero and the stand-in counts."""
    condition = compile_condition("coalesce(spent_3h / visits_1h, 0) > 1", SCOPE)
    states = states_after([("spent_3h", 5, 9), ("visits_1h", 5, None)])
    leaves = (NOON - 5 * MINUTE) // (10 * MINUTE) * 10 * MINUTE + 10 * MINUTE + HOUR
    assert condition.hold(states, NOON) == (True, leaves)
    assert condition.hold(states, leaves) == (False, NEVER)


@settings(max_examples=300, deadline=None)
@given(conditions, events)
def test_the_normal_form_reads_back_to_itself(text: str, happened: list[tuple[str, int, Any]]) -> None:
    """Written out and read again, a condition is written the same and says the same at every moment."""
    condition = compiled(text)
    again = compile_condition(condition.text, SCOPE)
    assert again.text == condition.text
    states = states_after(happened)
    for moment in brute_moments(happened)[::17]:
        assert again.truth(states, moment) is condition.truth(states, moment)
