"""Mistakes in a definitions file, each with what its author is told."""

from __future__ import annotations

import time
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.errors import DefinitionError

FEATURES = """\
version: 1
features:
  orders: {op: count}
  revenue: {op: sum, of: properties.revenue}
  last_order: {op: last_time}
  first_order: {op: first_time}
  visits_7d: {op: count, window: 7d}
  visit_rate: {op: rate, half_life: 7d}
  plan: {op: last, of: properties.plan}
traits: {country: text, age: number, newsletter: boolean, born: time}
segments:
  big: {when: orders > 30}
"""

# (the condition of a segment as written in YAML, column in it that the caret shows, message)
CONDITIONS = [
    ("orderz >= 3", 1, "unknown name 'orderz'; did you mean 'orders'?"),
    ("country == 'NO'", 1, "unknown name 'country'; did you mean 'traits.country'?"),
    ("traits.country == NO", 19, "unknown name 'NO'; a text needs quotes: 'NO'"),
    ("x > 1", 1, "unknown name 'x'; known are first_order, last_order, orders, plan, revenue, traits.age, …"),
    ("big or orders > 3", 1, "'big' is a segment; conditions read features and traits"),
    ("orders = 3", 8, "'=' was not expected here; to compare, write =="),
    ("orders <> 3", 9, "'>' was not expected here; to compare, write !="),
    ("orders is 3", 8, "'is' was not expected here; to compare, write =="),
    ("orders ≥ 3", 8, "'≥' was not expected here; write >="),
    ("orders > 3 && revenue > 3", 12, "'&' was not expected here; write and"),
    ("orders > 3 AND revenue > 5", 12, "'AND' was not expected here; write and in small letters"),
    ("'orders >= 1,000'", 13, "',' was not expected here; write numbers without commas: 1000"),
    ("revenue > $500", 11, "'$' was not expected here; amounts are plain numbers: 500"),
    ("orders >= .5", 11, "'.' was not expected here; write 0.5, not .5"),
    ("orders > 3 3", 12, "'3' was not expected here"),
    ("orders between 1 and 3", 8, "'between' was not expected here; write x >= 1 and x <= 5"),
    ("traits.country == “NO”", 19, "'“' was not expected here; use straight quotes: 'text'"),
    ("traits.country == 'NO", 19, "this text has no closing quote"),
    ("orders >= 3 and", 16, "the condition ends too early: something is missing after 'and'"),
    ("(orders >= 3", 13, "the condition ends too early: a closing ) is missing"),
    ("3 < orders < 5", 12, "comparisons cannot be chained; write 3 < orders and orders < 5"),
    ("orders", 1, "orders is a number, not a condition; compare it, for instance orders > 3"),
    ("plan", 1, "plan is a value of any kind, not a condition; compare it, for instance plan == true"),
    (
        "since(last_order)",
        1,
        "since(last_order) is a duration, not a condition; compare it, for instance since(last_order) > 30d",
    ),
    (
        "since(last_order) > 60",
        21,
        "since(last_order) is a duration and 60 is a number; write a unit, for instance 60d",
    ),
    ("60d < orders", 1, "60d is a duration and orders is a number; write a unit, for instance orders * 1d"),
    ("last_order > 60d", 14, "last_order is a time and 60d is a duration; write since(last_order)"),
    (
        "since(orders) > 3d",
        7,
        "since() needs a time and orders is a number; use a feature with op last_time or first_time",
    ),
    (
        "since(last_order) > 2 months",
        21,
        "months is not a unit, its length varies; write days, for instance 30d or 365d",
    ),
    ("since(last_order) > 60 days", 21, "write 60d, without a space and with one letter for the unit"),
    ("since(last_order) > 60days", 21, "write 60d, without a space and with one letter for the unit"),
    ("since(last_order) > 1.5d", 21, "a duration is made of whole numbers: write 36h, not 1.5d"),
    ("since(last_order) > 99999d", 21, "99999d is too long; at most 36500d"),
    (
        "since(last_order) == 60d",
        1,
        "since(last_order) moves all the time and equals a value only for an instant; use <, <=, > or >=",
    ),
    (
        "'visit_rate in [1]'",
        2,
        "visit_rate moves all the time and equals a value only for an instant; use <, <=, > or >=",
    ),
    (
        "visit_rate > visits_7d",
        1,
        "visit_rate > visits_7d compares a decaying rate with a value that moves too; compare each with a number that stands still",
    ),
    (
        "visit_rate + 1 > 3",
        1,
        "visit_rate + 1 adds to a decaying rate; put the rate alone on one side: rate > b - a, not rate + a > b",
    ),
    (
        "3 > revenue / visit_rate",
        15,
        "cannot divide by visit_rate, which moves all the time; multiply instead: a > b * visit_rate, not a / visit_rate > b",
    ),
    (
        "since(last_order) / 1d * visit_rate > 1",
        1,
        "since(last_order) / 1d * visit_rate combines two values that both move all the time; compare them one by one, joined by and",
    ),
    (
        "since(last_order) - since(first_order) > 3d",
        1,
        "the times passed cancel each other out; write last_a - last_b in place of since(last_b) - since(last_a)",
    ),
    (
        "since(last_order) * orders > since(first_order)",
        1,
        "since(last_order) * orders > since(first_order) lets two times pass at speeds that depend on other features; multiply by plain numbers only",
    ),
    (
        "since(last_order) * since(first_order) > 3",
        19,
        "cannot multiply since(last_order) (a duration) and since(first_order) (a duration)",
    ),
    (
        "orders + 7d > 3",
        8,
        "cannot add orders (a number) and 7d (a duration); give the number a unit, for instance 7d",
    ),
    ("orders / 0 > 1", 10, "this divides by zero"),
    ("orders > '3'", 10, "orders is a number and '3' is a text; without quotes it is a number"),
    (
        "traits.newsletter > true",
        1,
        "traits.newsletter is true or false and has no order; compare it with == or !=",
    ),
    (
        "plan > 30d",
        8,
        "plan is a value of any kind and 30d is a duration; say in what unit it was told, for instance plan * 1s",
    ),
    (
        "traits.born > 'yesterday'",
        15,
        "'yesterday' is not a time; write for instance '1997-06-11' or '1997-06-11T12:00:00Z'",
    ),
    (
        "(orders > 3) == true",
        2,
        "(orders > 3) is true or false, not a value; combine conditions with and, or, not",
    ),
    ("'traits.country in []'", 20, "the list is empty; name at least one value"),
    ("'orders in [1, revenue]'", 16, "a list holds plain values only, such as 'DE', 3 or 30d"),
    ("count(orders) > 3", 1, "unknown function 'count'; there is since(x); counts and sums are features"),
    ("sinc(last_order) > 3d", 1, "unknown function 'sinc'; did you mean 'since'?"),
    ("''", 2, "the condition is empty; write for instance orders >= 3"),
]

# (whole file, its mistakes)
FILES = [
    ("", ["f.yaml: the file is empty; begin with version: 1"]),
    ("features: {}", ["f.yaml:1:1: the file needs 'version'"]),
    ("version: 2", ["f.yaml:1:10: version must be 1, not 2"]),
    ("- a", ["f.yaml:1:1: the file must be a mapping, key: value"]),
    ("version: 1\nsegmnts: {}", ["f.yaml:2:1: unknown key 'segmnts' in the file; did you mean 'segments'?"]),
    ("version: 1\nfeatures: [a]", ["f.yaml:2:11: features must be a mapping, key: value"]),
    (
        "version: 1\nfeatures: {a: {op: count}, a: {op: count}}",
        ["f.yaml:2:28: 'a' is already defined in line 2; give it another name or remove one"],
    ),
    (
        "version: 1\nfeatures: {a: {op: count",
        [
            "f.yaml:2:25: not valid YAML: expected ',' or '}', but got '<stream end>'; a condition with [ ] { } , or : needs quotes"
        ],
    ),
    ("version: *x", ["f.yaml:1:10: not valid YAML: found undefined alias 'x'"]),
    (
        "version: !!python/object:os.system 1",
        ["f.yaml:1:10: the tag tag:yaml.org,2002:python/object:os.system has no meaning here; remove it"],
    ),
    (
        "version: 1\nfeatures:\n  orders: {op: cuont, windw: 3d}\n  Orders: {op: count}\n  empty:\n",
        [
            "f.yaml:3:16: unknown op 'cuont'; did you mean 'count'?",
            "f.yaml:3:23: unknown key 'windw' in the feature 'orders'; did you mean 'window'?",
            "f.yaml:4:3: 'Orders' is not a name; use small letters, digits and _, beginning with a letter, at most 64",
            "f.yaml:5:3: the feature 'empty' is empty",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, window: 30}\n  b: {op: count, window: month}\n  c: {op: count, expose: yes}\n  d: {op: count, of: a..b}\n  e: {window: 3d}",
        [
            "f.yaml:3:26: window: 30 has no unit; write for instance 30d",
            "f.yaml:4:26: window: 'month' is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:5:26: expose must be true or false, not 'yes'",
            "f.yaml:6:22: of: 'a..b' is not a path; write keys joined by dots, for instance properties.revenue",
            "f.yaml:7:3: the feature 'e' needs 'op'",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: sum}\n  b: {op: rate}\n  c: {op: first, of: x, window: 3d}\n  d: {op: count, window: 99999d}\n  since: {op: count}",
        [
            "f.yaml:3:11: sum needs of: where the value is in the event, for instance of: properties.revenue",
            "f.yaml:4:11: rate needs half_life: after how long an event counts half, for instance half_life: 7d",
            "f.yaml:5:25: first takes no window; count, sum do",
            "f.yaml:6:26: window: 99999d is too long; at most 36500d",
            "f.yaml:7:3: 'since' is a word of the condition language; choose another name",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, event: A, type: page}\n  b: {op: count, name: A}\n  c: {op: count, name: A, event: B}\n  d: {op: count, event: [A, 3]}",
        ["f.yaml:6:25: event must be a text or a list of texts"],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, event: A, type: page}\n  b: {op: count, name: A}\n  c: {op: count, name: A, event: B}",
        [
            "f.yaml:3:18: event names track events; for type page write name",
            "f.yaml:4:18: name needs type: page or type: screen; for track events write event",
            "f.yaml:5:18: name is for pages and screens; an event has its name in event",
        ],
    ),
    ("version: 1\ntraits: {age: numbr}", ["f.yaml:2:15: unknown type 'numbr'; did you mean 'number'?"]),
    (
        "version: 1\nsegments:\n  a: {wen: x}\n  b: {when: true, label: 5, tags: x, min_dwell: 1}",
        [
            "f.yaml:3:3: the segment 'a' needs 'when'",
            "f.yaml:3:7: unknown key 'wen' in the segment 'a'; did you mean 'when'?",
            'f.yaml:4:13: when must be a text, not true; put it in quotes: "true"',
            'f.yaml:4:26: label must be a text, not 5; put it in quotes: "5"',
            "f.yaml:4:35: tags must be a list, for instance [money]",
            "f.yaml:4:49: min_dwell: 1 has no unit; write for instance 1d",
        ],
    ),
    (
        "version: 1\nsegments: {s: {when: 'true'}, t: {when: 'true'}}\ngroups:\n  s: {first_of: [s, u, s]}\n  g: {first_of: [s]}\ndiscovered: {t: {model: kmeans, clusters: 2, features: ['1']}}",
        [
            "f.yaml:4:3: 's' is the name of a segment already; choose another",
            "f.yaml:4:21: unknown segment 'u'",
            "f.yaml:4:24: the segment 's' is in the list twice; a segment has one place at most",
            "f.yaml:5:18: the segment 's' is in the group 's' already; a segment has one place at most",
            "f.yaml:6:14: 't' is the name of a segment already; choose another",
        ],
    ),
    (
        "version: 1\ngroups: {g: {first_of: s}, h: {first_of: []}}\ndiscovered:\n  d: {model: kmens, clusters: 99, features: a}",
        [
            "f.yaml:2:24: first_of must be a list, for instance [active, lapsed]",
            "f.yaml:2:42: first_of must not be empty",
            "f.yaml:4:14: unknown model 'kmens'; did you mean 'kmeans'?",
            "f.yaml:4:31: clusters must be a whole number between 2 and 64, not 99",
            "f.yaml:4:45: features must be a list, for instance [orders, since(last_order)]",
        ],
    ),
    (
        "version: 1\nfeatures: {a: {op: count}, t: {op: last_time}}\ndiscovered:\n  d: {model: kmeans, clusters: 3, features: [a, t, ' a', a > 3]}",
        [
            "f.yaml:4:49: t is a time, not a number or a duration; write since(t)",
            "f.yaml:4:52: a is in the list twice; remove one",
            "f.yaml:4:58: a > 3 is true or false, not a number or a duration",
        ],
    ),
]


@pytest.mark.parametrize(("condition", "column", "message"), CONDITIONS, ids=[row[0] for row in CONDITIONS])
def test_a_mistake_in_a_condition_is_shown_with_its_place_and_a_way_out(
    condition: str, column: int, message: str
) -> None:
    """The error names file, line and column, shows the line with a caret, and says what to write."""
    with pytest.raises(DefinitionError) as caught:
        read_definitions(f"{FEATURES}  s: {{when: {condition}}}\n", "shop.yaml")
    error = caught.value
    before = "  s: {when: "
    assert str(error) == f"shop.yaml:13:{len(before) + column}: {message}"
    assert error.excerpt() == f"{before}{condition}}}\n{' ' * (len(before) + column - 1)}^"


@pytest.mark.parametrize(("text", "messages"), FILES, ids=range(len(FILES)))
def test_a_mistake_in_the_file_is_told_at_its_place(text: str, messages: list[str]) -> None:
    """All mistakes of a round are told at once, from top to bottom."""
    assert [str(mistake) for mistake in find_mistakes(text, "f.yaml")] == messages


@pytest.mark.parametrize(
    "written",
    [
        "orders > 1 and orderz > 1",
        "'traits.country == ''NO'' and orderz > 1'",
        '"traits.country == \\"NO\\" and orderz > 1"',
        '"traits.country == \\x22NO\\u0022 and orderz > 1"',
        "\n      orders > 1 and\n      orderz > 1",
        ">-\n      orders > 1 and\n\n      orderz > 1",
        "|\n      orders > 1\n      and orderz > 1",
        "|\n      orders > 1\n\n      # a text, not a comment\n      and orderz > 1",
        '"orders > 1 and \\\n      orderz > 1"',
        "'  orderz > 1'",
    ],
)
def test_the_caret_finds_the_word_however_the_text_is_quoted(written: str) -> None:
    """Quotes, escapes, folded and literal blocks: the place is that in the file."""
    (mistake,) = find_mistakes(f"{FEATURES}  s:\n    when: {written}\n    label: s\n")
    caught = "#" if "#" in written else "orderz"
    assert mistake.source[mistake.column - 1 :].startswith(caught)


def test_a_billion_laughs_are_not_laughed() -> None:
    """Aliases that multiply are cut off after 100,000 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    began = time.process_time()
    (mistake,) = find_mistakes("\n".join(lines))
    assert mistake.message == "the file has more than 100000 values, aliases included"
    assert time.process_time() - began < 5


@pytest.mark.parametrize("text", ["a: &a {b: *a}", "[" * 1500, "a: " + "[" * 15 + "]" * 15])
def test_nesting_without_end_is_refused(text: str) -> None:
    """A value inside itself, or brackets without number, is told as too deep."""
    (mistake,) = find_mistakes(text)
    assert "nested too deeply" in mistake.message


def test_a_file_over_the_limit_is_refused_unread() -> None:
    """One MiB is the most."""
    (mistake,) = find_mistakes("# " + "x" * (1 << 20))
    assert mistake.message == "the file has 1048578 bytes; at most 1048576 are allowed"


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60)
    | st.sampled_from(dedent(FEATURES).splitlines()).flatmap(
        lambda line: st.text(max_size=8).map(lambda more: line + more)
    )
)
def test_whatever_is_in_the_file_is_read_or_refused(text: str) -> None:
    """No text makes reading fail in another way than with a DefinitionError."""
    for mistake in find_mistakes(text, "f.yaml"):
        assert str(mistake).startswith("f.yaml")
