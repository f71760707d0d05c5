"""What conditions mean: truth, values, kinds, normal form, and the bounds of the language."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.expressions import ExpressionError, compile_condition, compile_number
from segstream.core.features import FeatureSpec, build
from segstream.core.time import DAY, HOUR
from segstream.core.types import ValueKind

NOW = 865987200000
SPECS = {
    "orders": FeatureSpec("count"),
    "smallest": FeatureSpec("min", has_of=True),
    "last_order": FeatureSpec("last_time"),
    "first_order": FeatureSpec("first_time"),
    "plan": FeatureSpec("last", has_of=True),
    "old_plan": FeatureSpec("first", has_of=True),
    "traits.a": FeatureSpec("last", has_of=True, kind=ValueKind.BOOLEAN),
    "traits.b": FeatureSpec("last", has_of=True, kind=ValueKind.BOOLEAN),
    "traits.country": FeatureSpec("last", has_of=True, kind=ValueKind.TEXT),
    "traits.age": FeatureSpec("last", has_of=True, kind=ValueKind.NUMBER),
}
SCOPE = {name: (index, build(spec)) for index, (name, spec) in enumerate(SPECS.items())}
VALUES = [True, False, None]


def states(**told: Any) -> list[Any]:
    """Return states in which the features named (``traits_a`` for ``traits.a``) were told one value at NOW."""
    result = [accumulator.zero() for _, accumulator in SCOPE.values()]
    for name, value in told.items():
        index, accumulator = SCOPE[name.replace("traits_", "traits.")]
        if value is not None:
            result[index] = accumulator.add(result[index], NOW, value, "m")
    return result


def truth(text: str, at: int = NOW, **told: Any) -> bool | None:
    """Return the truth of a condition for a user who was told these values."""
    return compile_condition(text, SCOPE).truth(states(**told), at)


def number(text: str, at: int = NOW, **told: Any) -> Any:
    """Return a number for a user who was told these values."""
    return compile_number(text, SCOPE).read(states(**told), at)


@pytest.mark.parametrize(("a", "b"), list(product(VALUES, VALUES)))
def test_and_or_not_follow_kleene(a: bool | None, b: bool | None) -> None:  # noqa: FBT001 (a truth value)
    """``and`` is the least of its parts and ``or`` the greatest, unknown lying between false and true."""
    rank = {False: 0, None: 1, True: 2}
    known = {0: False, 1: None, 2: True}
    told: dict[str, Any] = {"traits_a": a, "traits_b": b}
    assert truth("traits.a and traits.b", **told) is known[min(rank[a], rank[b])]
    assert truth("traits.a or traits.b", **told) is known[max(rank[a], rank[b])]
    assert truth("not traits.a", **told) is known[2 - rank[a]]
    for text in ("traits.a and traits.b", "traits.a or traits.b", "not traits.a"):
        condition = compile_condition(text, SCOPE)
        assert condition.hold(states(**told), NOW)[0] is condition.truth(states(**told), NOW)


@pytest.mark.parametrize("comparator", ["==", "!=", "<", "<=", ">", ">="])
def test_a_comparison_with_an_unknown_is_unknown(comparator: str) -> None:
    """Neither ``x == 3`` nor ``x != 3`` is true of an x never told."""
    assert truth(f"traits.age {comparator} 3") is None
    assert truth(f"3 {comparator} traits.age") is None
    assert truth(f"traits.age {comparator} smallest", traits_age=3) is None


def test_membership_of_an_unknown_is_unknown() -> None:
    """An unknown country is neither in the list nor not in it."""
    assert truth("traits.country in ['NO', 'SE']", traits_country="NO") is True
    assert truth("traits.country not in ['NO', 'SE']", traits_country="NO") is False
    assert truth("traits.country in ['NO', 'SE']") is None
    assert truth("traits.country not in ['NO', 'SE']") is None


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ("traits.country contains 'orwa'", "Norway", True),
        ("traits.country contains 'ORWA'", "Norway", False),
        ("traits.country starts_with 'Nor'", "Norway", True),
        ("traits.country starts_with 'way'", "Norway", False),
        ("traits.country matches 'w.y$'", "Norway", True),
        ("traits.country matches '^way'", "Norway", False),
        ("traits.country matches '(?i)^NORWAY$'", "Norway", True),
        ("traits.country matches '^.$'", "Ø", True),
        ("not traits.country contains 'x'", "Norway", True),
        ("traits.country contains traits.country", "Norway", True),
        ("traits.country contains ''", "", True),
        ("plan contains 'pro'", None, None),
        ("traits.country contains 'x'", None, None),
        ("traits.country starts_with 'x'", None, None),
        ("traits.country matches 'x'", None, None),
    ],
)
def test_texts_are_looked_into(text: str, told: str | None, expected: bool | None) -> None:  # noqa: FBT001 (a truth value)
    """Capitals count, a pattern may be found anywhere, and of an unknown text nothing is known."""
    assert truth(text, traits_country=told) is expected


def test_a_value_of_any_kind_is_looked_into_only_as_a_text() -> None:
    """Whether 3 contains '3' is unknown: it is a number."""
    assert truth("plan contains '3'", plan=3) is None
    assert truth("plan starts_with 'p'", plan="pro") is True
    assert truth("plan matches 'p'", plan=True) is None


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    """What takes a backtracking engine years, and the longest text and pattern, are nothing."""
    began = time.process_time()
    for _ in range(100):
        assert truth("traits.country matches '^(a+)+$'", traits_country="a" * 999 + "b") is False
        assert truth(f"traits.country matches '{'(a|aa)*' * 28}c'", traits_country="a" * 1000) is False
    assert time.process_time() - began < 10


def test_exists_is_never_unknown() -> None:
    """Known or not; what is told in another kind than declared is not known."""
    assert truth("exists(traits.age)") is False
    assert truth("exists(traits.age)", traits_age=0) is True
    assert truth("not exists(plan)", plan=False) is False
    assert truth("exists(last_order) and since(last_order) > 1d", last_order=0) is False
    assert truth("not exists(last_order) or since(last_order) > 1d") is True


def test_coalesce_stands_in_for_the_unknown_only() -> None:
    """Zero and false are known; a value of another kind than the stand-in is not."""
    assert number("coalesce(traits.age, 18)") == 18
    assert number("coalesce(traits.age, 18)", traits_age=0) == 0
    assert number("coalesce(traits.age / orders, 0) + 1", traits_age=3) == 1
    assert number("coalesce(plan, 1)", plan="pro") == 1
    assert truth("coalesce(traits.a, true)") is True
    assert truth("coalesce(traits.a, true)", traits_a=False) is False
    assert truth("coalesce(traits.country, 'NO') == 'NO'") is True
    assert truth("coalesce(last_order, '1997-06-11') >= '1997-06-11'") is True
    assert number("since(coalesce(last_order, first_order))", at=NOW + DAY, first_order=0) == DAY
    assert number("coalesce(coalesce(smallest, traits.age), 7)") == 7


def test_words_of_the_language_may_begin_a_name() -> None:
    """``order``, ``android`` and ``in_stock`` are names, although or, and, in are words."""
    names = ("order", "android", "in_stock", "nothing", "true_fans", "contains_all", "exists")
    scope = {name: (index, build(FeatureSpec("count"))) for index, name in enumerate(names)}
    for name in names:
        assert (
            compile_condition(f"1 < {name} and {name} > 2 or not {name} in [1]", scope).inputs[0].text == name
        )


@pytest.mark.parametrize(
    "text",
    ["orders > 1 andorders > 2", "orders > 1 or3 > 2", "notraits.a", "plan contains'x' and truetraits.a"],
)
def test_words_do_not_run_together(text: str) -> None:
    """A word ends where its letters end."""
    with pytest.raises(ExpressionError):
        compile_condition(text, SCOPE)


def test_arithmetic_binds_as_in_school() -> None:
    """Products before sums, from left to right, minus and parentheses first."""
    assert number("2 + 3 * 4 - 10 / 5 / 2") == 13
    assert number("-(2 + 3) * -2") == 10
    assert number("traits.age - 2 - 3", traits_age=10) == 5
    assert number("traits.age - (2 - 3)", traits_age=10) == 11


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    """``a or b and not c`` is ``a or (b and (not c))``."""
    assert truth("true or true and not true") is True
    assert truth("(true or true) and not true") is False


def test_dividing_by_zero_is_unknown() -> None:
    """No order yet: revenue per order is unknown, and so is what is compared with it."""
    assert number("traits.age / orders", traits_age=3) is None
    assert truth("traits.age / orders > 1", traits_age=3) is None


def test_a_result_too_large_for_a_number_is_unknown() -> None:
    """Overflow is no error at run time and no infinity either."""
    assert number(" * ".join(["traits.age"] * 20), traits_age=1e18) is None


def test_times_and_durations_add_up() -> None:
    """Time minus time is a duration; durations divide to numbers and multiply by them."""
    assert number("since(last_order) / 1d", at=NOW + 36 * HOUR, last_order=0) == 1.5
    assert number("last_order - first_order", last_order=0, first_order=0) == 0
    assert number("since(last_order - 1d) - since(last_order)", last_order=0) == DAY
    assert truth("last_order < first_order + 0.5 * 2d", last_order=0, first_order=0) is True


def test_a_time_is_compared_with_a_written_date() -> None:
    """A text beside a time is read as a time."""
    assert truth("last_order >= '1997-06-11'", last_order=0) is True
    assert truth("last_order < '1997-06-11T00:00:00Z'", last_order=0) is False


def test_a_value_of_any_kind_counts_as_what_it_is_compared_with() -> None:
    """A plan told as a number is not a text; compared with one it is unknown."""
    assert truth("plan == 'pro'", plan="pro") is True
    assert truth("plan == 'pro'", plan=3) is None
    assert truth("plan > 2", plan=3) is True
    assert truth("plan == 1", plan=True) is None
    assert truth("plan * 1s >= 90s", plan=90) is True


def test_two_values_of_any_kind_differ_when_their_kinds_do() -> None:
    """True is not 1, and 1 is 1.0."""
    assert truth("plan != old_plan", plan="pro", old_plan="free") is True
    assert truth("plan == old_plan", plan=1, old_plan=True) is False
    assert truth("plan == old_plan", plan=1, old_plan=1.0) is True
    assert truth("plan == old_plan", plan=1) is None


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("since( last_order )>8w", "since(last_order) > 56d"),
        ("""traits.country=="NO" """, "traits.country == 'NO'"),
        ("(orders>3)and((traits.a)or not traits.b)", "orders > 3 and (traits.a or not traits.b)"),
        ("orders - (3 - orders) > 2 * 3", "orders - (3 - orders) > 6"),
        ("orders - 3 - orders > 500.0", "orders - 3 - orders > 500"),
        ("-(orders + 1) < 0", "-(orders + 1) < 0"),
        ("orders not in [1,  2]", "orders not in [1, 2]"),
        ("not (traits.a and traits.b)", "not (traits.a and traits.b)"),
        ("last_order > '1997-06-11'", "last_order > '1997-06-11T00:00:00.000Z'"),
        ("since(last_order) > 1d * 1.5", "since(last_order) > 1d12h"),
        ("since(last_order) / (1ms * 1.5) > 1", "since(last_order) / (1.5 * 1ms) > 1"),
        ("plan  contains \"a\" and (plan) starts_with 'b'", "plan contains 'a' and plan starts_with 'b'"),
        ("not(exists(plan)) or(plan matches '^a')", "not exists(plan) or plan matches '^a'"),
        ("coalesce( orders/smallest,(1 + 1) ) > 3", "coalesce(orders / smallest, 2) > 3"),
    ],
)
def test_two_spellings_of_one_meaning_have_one_normal_form(text: str, normal: str) -> None:
    """The normal form reads back to itself."""
    assert compile_condition(text, SCOPE).text == normal
    assert compile_condition(normal, SCOPE).text == normal


def test_inputs_are_named_once_in_the_order_written() -> None:
    """What a reason shows: each feature, and an age as an age."""
    condition = compile_condition(
        "orders > 2 and since( last_order ) > 3d and (traits.country == 'NO' or orders < 9)", SCOPE
    )
    assert [item.text for item in condition.inputs] == ["orders", "since(last_order)", "traits.country"]
    told = states(orders=0, last_order=0, traits_country="NO")
    assert [item.read(told, NOW + DAY) for item in condition.inputs] == [1, DAY, "NO"]
    assert [item.kind for item in condition.inputs] == [ValueKind.NUMBER, ValueKind.DURATION, ValueKind.TEXT]
    assert condition.reads == {SCOPE[name][0] for name in ("orders", "last_order", "traits.country")}


def test_a_condition_knows_whether_time_alone_can_turn_it() -> None:
    """Only ages, windows and rates move by themselves."""
    assert compile_condition("since(last_order) > 3d or orders > 1", SCOPE).moves
    assert not compile_condition("last_order > first_order and orders > 1", SCOPE).moves


@pytest.mark.parametrize("text", ["(" * 1990 + "1 > 0" + ")" * 1990, " and ".join(["orders > 1"] * 260)])
def test_a_wide_or_bracketed_condition_is_no_deeper_for_it(text: str) -> None:
    """Parentheses around one thing and parts side by side do not add levels."""
    assert compile_condition(text, SCOPE).truth(states(), NOW) is not None


@pytest.mark.parametrize(
    "text",
    [
        "not " * 60 + "traits.a",
        "- " * 1500 + "1 > 0",
        " + ".join(["orders"] * 60) + " > 1",
        "since(" * 500 + ")" * 500,
    ],
)
def test_a_deep_condition_is_refused_and_not_a_crash(text: str) -> None:
    """Depth is bounded before anything recurses."""
    with pytest.raises(ExpressionError, match=r"nested more than 50 levels|was not expected here"):
        compile_condition(text, SCOPE)


def test_a_long_condition_is_refused() -> None:
    """Length is bounded."""
    with pytest.raises(ExpressionError, match=r"has 8000 characters; at most 4000"):
        compile_condition("1 > 0 or" * 1000, SCOPE)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *"()[],.'+-*/<>=!&%",
                " ",
                "\n",
                "orders",
                "since",
                "and",
                "or",
                "not",
                "in",
                "contains",
                "starts_with",
                "matches",
                "exists",
                "coalesce",
                "in_segment",
                "plan",
                "'(a'",
                "2024-01-31",
                "\u200b",
                "AND",
                "days",
                "_000",
                "1",
                "60d",
                "ä",
                "\0",
            ]
        ),
        max_size=25,
    ).map(" ".join)
    | st.text(max_size=30)
)
def test_whatever_is_written_is_compiled_or_refused_at_a_place(text: str) -> None:
    """No text crashes the compiler, and an error's place lies in the text."""
    refused = None
    try:
        compile_condition(text, SCOPE)
    except ExpressionError as error:
        refused = error
    assert refused is None or (refused.message and 0 <= refused.offset <= len(text))


def test_the_parser_is_not_built_by_importing_the_language() -> None:
    """Importing stays cheap: lark comes in with the first condition."""
    script = "import sys, segstream.core.expressions; sys.exit('lark' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", script], check=False, env={"PYTHONPATH": ":".join(sys.path)}
        ).returncode
        == 0
    )
