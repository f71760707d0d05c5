"""Features as a definitions file has them: what each op needs, tells and reads."""

from __future__ import annotations

from typing import Any

import pytest

from segstream.core.basis import Basis
from segstream.core.decider import Decider
from segstream.core.definitions import Definitions, find_mistakes, read_definitions
from segstream.core.definitions.model import reader
from segstream.core.features import REGISTRY
from segstream.core.types import Motion, Value, ValueKind
from segstream_schemas.definitions import OPTIONS

NUMBER, TIME, ANY = ValueKind.NUMBER, ValueKind.TIME, ValueKind.ANY
STILL, STEPS, DECAY = Motion.STATIC, Motion.STEPS, Motion.DECAY

# (feature, kind, motion, value before the first event)
TABLE = [
    ("op: count", NUMBER, STILL, 0),
    ("op: count, window: 7d", NUMBER, STEPS, 0),
    ("op: sum, of: a", NUMBER, STILL, 0),
    ("op: sum, of: a, window: 7d", NUMBER, STEPS, 0),
    ("op: mean, of: a", NUMBER, STILL, None),
    ("op: mean, of: a, window: 7d", NUMBER, STEPS, None),
    ("op: min, of: a", NUMBER, STILL, None),
    ("op: min, of: a, window: 7d", NUMBER, STEPS, None),
    ("op: max, of: a", NUMBER, STILL, None),
    ("op: max, of: a, window: 7d", NUMBER, STEPS, None),
    ("op: first, of: a", ANY, STILL, None),
    ("op: last, of: a", ANY, STILL, None),
    ("op: first_time", TIME, STILL, None),
    ("op: last_time", TIME, STILL, None),
    ("op: distinct, of: a", NUMBER, STILL, 0),
    ("op: distinct, of: a, window: 7d", NUMBER, STEPS, 0),
    ("op: top, of: a", ANY, STILL, None),
    ("op: share, of: a, equals: x", NUMBER, STILL, None),
    ("op: share, of: a, equals: x, window: 7d", NUMBER, STEPS, None),
    ("op: days_active", NUMBER, STILL, 0),
    ("op: days_active, window: 7d", NUMBER, STEPS, 0),
    ("op: rate, half_life: 7d", NUMBER, DECAY, 0),
]


def defined(*features: str, segments: str = "") -> Definitions:
    """Return definitions with features f0, f1 and so on."""
    lines = [f"  f{number}: {{{told}}}" for number, told in enumerate(features)]
    return read_definitions("\n".join(["version: 1", "features:", *lines, segments]))


def fingerprints(*features: str) -> list[str]:
    """Return what each of some features means."""
    return [feature.fingerprint for feature in defined(*features).features]


@pytest.mark.parametrize(("told", "kind", "motion", "before"), TABLE, ids=[row[0] for row in TABLE])
def test_each_op_has_a_kind_a_motion_and_a_value_before_the_first_event(
    told: str, kind: ValueKind, motion: Motion, before: Value
) -> None:
    """The table in deploy/definitions/reference.md, row by row."""
    (feature,) = defined(told).features
    accumulator = feature.accumulator
    assert (accumulator.kind, accumulator.motion) == (kind, motion)
    assert accumulator.value(accumulator.zero(), 0) == before


def test_the_schema_and_the_program_know_the_same_ops_and_options() -> None:
    """What an editor offers is what the worker takes, `kind` apart, which only traits have."""
    program = {op: ({*item.needs}, {*item.takes} - {"kind"}) for op, item in REGISTRY.items()}
    assert program == {op: ({*needs}, {*takes}) for op, (needs, takes) in OPTIONS.items()}
    assert {row[0].split(",")[0].removeprefix("op: ") for row in TABLE} == {*OPTIONS}


@pytest.mark.parametrize(
    ("path", "document", "found"),
    [
        ("products[].price", {"products": [{"price": 5}, {"price": 2.5}]}, [5, 2.5]),
        ("tags[]", {"tags": ["x", 1, None, {"a": 1}, [2], True]}, ["x", 1, None, None, None, True]),
        ("a[].b[].c", {"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": []}, {"b": [{"c": 3}]}]}, [1, 2, 3]),
        ("a.b[].c.d", {"a": {"b": [{"c": {"d": 1}}, {"c": 2}]}}, [1, None]),
        ("a[].b", {"a": {"b": 1}}, []),
        ("a[].b", {"a": "text"}, []),
        ("a[].b", {}, []),
        ("a[][]", None, None),
    ],
)
def test_brackets_read_each_entry_of_a_list(path: str, document: dict[str, Any] | None, found: Any) -> None:
    """Lists of objects, of plain values and within each other; an entry without a value is unknown."""
    if document is None:
        (mistake,) = find_mistakes(f"version: 1\nfeatures: {{f: {{op: sum, of: '{path}'}}}}")
        assert f"of: {path!r} is not a path" in str(mistake)
    else:
        assert reader(tuple(path.split(".")))(document) == found


def test_each_value_of_an_event_is_added() -> None:
    """An order of three lines: its total, its lines, their mean, the dearest, different products and first product."""
    definitions = defined(
        "op: sum, of: 'properties.products[].price'",
        "op: count, of: 'properties.products[].price'",
        "op: mean, of: 'properties.products[].price'",
        "op: max, of: 'properties.products[].price', window: 30d",
        "op: distinct, of: 'properties.products[].sku'",
        "op: top, of: 'properties.products[].sku'",
        "op: share, of: 'properties.products[].sku', equals: hat",
        "op: days_active, of: 'properties.products[].sku'",
    )
    lines = [
        {"sku": "hat", "price": 10},
        {"sku": "shoe", "price": 79.9},
        {"sku": "hat", "price": 12},
        {"sku": "bag"},
    ]
    document = {"properties": {"products": lines}}
    route = Decider(Basis(1, 0, 1, 1, {}), definitions, {}).route("track", "Order Completed", "events")
    values = [read(document) for read in route.readers]
    assert len(values) == 2
    states = [feature.accumulator.zero() for feature in definitions.features]
    for index, place, add, _ in route.steps:
        assert place is not None
        states[index] = add(states[index], 0, values[place], "m1")
    told = [
        feature.accumulator.value(state, 0)
        for feature, state in zip(definitions.features, states, strict=True)
    ]
    assert told == [101.9, 3, pytest.approx(101.9 / 3), 79.9, 3, "hat", 0.5, 1]


def test_what_a_share_is_the_share_of_belongs_to_its_meaning() -> None:
    """In any order and spelling; without it a feature means what it meant before there were shares."""
    one, same, other = fingerprints(
        "op: share, of: a, equals: [x, 3]",
        "op: share, of: a, equals: [3.0, x, x]",
        "op: share, of: a, equals: x",
    )
    assert one == same != other
    # As the first version of the program wrote it.
    assert fingerprints("op: count, event: Order Completed") == [
        "746df618055dbfb59f05871987492aaae2a48b3f80a48f686d64be3354a2c264"
    ]


def test_conditions_read_them_by_their_kind() -> None:
    """Numbers are compared with numbers, the most frequent value with anything, none is a time."""
    segments = """
segments:
  broad: {when: "f0 >= 5 and f2 / f1 > 0.5"}
  mobile: {when: "f3 > 0.5 and f4 == 'shoes'"}
  gone: {when: "f2 == 0"}
"""
    features: tuple[str, ...] = ("op: distinct, of: a", "op: days_active", "op: days_active, window: 7d")
    features += ("op: share, of: d, equals: mobile", "op: top, of: c")
    assert len(defined(*features, segments=segments).segments) == 3
    text = 'version: 1\nfeatures: {f0: {op: distinct, of: a}}\nsegments: {old: {when: "since(f0) > 3d"}}'
    assert "number" in str(find_mistakes(text)[0])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("op: share, of: a", "share needs equals: the value it is the share of, for instance equals: mobile"),
        ("op: share, equals: a", "share needs of: where the value is in the event"),
        (
            "op: share, of: a, equals: {b: 1}",
            "equals must be a text, a number, true or false, or a list of such",
        ),
        ("op: count, equals: a", "count takes no equals; share do"),
        ("op: top, of: a, window: 7d", "top takes no window"),
        ("op: days_active, window: 7d, resolution: 1d", "days_active takes no resolution"),
        ("op: days_active, window: 12h", "window of days_active must be from 1d to 10000d"),
        ("op: distinct", "distinct needs of: where the value is in the event"),
        ("op: unique, of: a", "unknown op 'unique'; did you mean 'distinct'?"),
    ],
)
def test_what_is_missing_or_does_not_go_together_is_told(told: str, message: str) -> None:
    """With the key that is meant and what to write."""
    (mistake,) = find_mistakes(f"version: 1\nfeatures: {{f: {{{told}}}}}")
    assert message in str(mistake)
