"""Segments that ask for segments, and the settings of anti-flap, as definitions have them."""

from __future__ import annotations

import pytest

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.core.definitions.references import circle, in_order
from segstream.core.time import DAY, HOUR

HEAD = "version: 1\nfeatures: {orders: {op: count}}\nsegments:\n"
FOUND = "discovered: {found: {model: kmeans, clusters: 2, features: [orders]}}\n"


def test_settings_of_anti_flap_are_durations() -> None:
    """In ms; 0 where they are not given. They belong to what the definitions mean."""
    text = f"{HEAD}  a: {{when: orders > 1, cooldown: 7d, confirm_for: 2h}}\n  b: {{when: orders > 2}}\n"
    definitions = read_definitions(text)
    assert [(each.cooldown, each.confirm_for) for each in definitions.segments] == [
        (7 * DAY, 2 * HOUR),
        (0, 0),
    ]
    hashes = {definitions.content_hash}
    for change in [("7d", "8d"), ("2h", "1h"), (", cooldown: 7d", ""), (", confirm_for: 2h", "")]:
        hashes.add(read_definitions(text.replace(*change)).content_hash)
    assert len(hashes) == 5
    assert read_definitions(text.replace("7d", "168h")).content_hash == definitions.content_hash


def test_segments_asked_for_stand_behind_the_features() -> None:
    """Rule segments and discovered ones, each once; what is not asked for costs no place."""
    definitions = read_definitions(
        f"{HEAD}  a: {{when: in_segment('b') and not in_segment(\"found.c3\")}}\n"
        f"  b: {{when: orders > 1}}\n  c: {{when: in_segment ( 'b' ), leave_when: orders > 9}}\n{FOUND}"
    )
    assert definitions.memberships == ("b", "found.c3")
    a, _, c = definitions.segments
    assert (a.when.reads, c.when.reads) == (frozenset({1, 2}), frozenset({1}))
    assert a.when.text == "in_segment('b') and not in_segment('found.c3')"
    assert [item.text for item in a.when.inputs] == ["in_segment('b')", "in_segment('found.c3')"]
    assert not a.when.moves


@pytest.mark.parametrize(
    ("segments", "place", "message"),
    [
        ("a: {when: in_segment('a')}", (4, 13), "a -> a"),
        ("a: {when: orders > 1 or in_segment('b')}\n  b: {when: in_segment('a')}", (4, 27), "a -> b -> a"),
        (
            (
                "a: {when: in_segment('b')}\n  b: {when: orders > 1, leave_when: in_segment('c')}\n"
                "  c: {when: not in_segment('b')}"
            ),
            (5, 37),
            "b -> c -> b",
        ),
        (
            (
                "a: {when: in_segment('c')}\n  b: {when: in_segment('a')}\n  c: {when: orders > 1}\n"
                "groups: {g: {first_of: [b, c]}}"
            ),
            (5, 13),
            "b -> a -> c (decided with b, its group)",
        ),
        (
            "a: {when: in_segment('b')}\n  b: {when: orders > 1}\ngroups: {g: {first_of: [a, b]}}",
            (4, 13),
            "a -> b (decided with a, its group)",
        ),
    ],
)
def test_a_circle_is_refused_and_named(segments: str, place: tuple[int, int], message: str) -> None:
    """At the first place in it that asks; a group is one."""
    [mistake] = find_mistakes(f"{HEAD}  {segments}\n", "f.yaml")
    told = f"in_segment() goes round in a circle: {message}; one of them must not ask"
    assert str(mistake) == f"f.yaml:{place[0]}:{place[1]}: {told}"


@pytest.mark.parametrize(
    ("condition", "column", "message"),
    [
        ("in_segment('lojal')", 12, "unknown segment 'lojal'; did you mean 'loyal'?"),
        ("in_segment('xyz')", 12, "unknown segment 'xyz'; known are found.c0, loyal, s"),
        ("in_segment('found')", 12, "unknown segment 'found'; did you mean 'found.c0'?"),
        ("in_segment(loyal)", 1, "a segment's name needs quotes: in_segment('loyal')"),
        ("in_segment(3)", 12, "in_segment() takes a segment's name in quotes"),
        ("in_segment()", 1, "in_segment() takes one segment's name in quotes, not 0 values"),
        ("in_segment('loyal') > 3", 23, None),
    ],
)
def test_asking_wrongly_is_told(condition: str, column: int, message: str | None) -> None:
    """With the place, and what to write."""
    text = f"{HEAD}  loyal: {{when: orders > 3}}\n  s: {{when: {condition}}}\n{FOUND}"
    [mistake] = find_mistakes(text, "f.yaml")
    assert (mistake.line, mistake.column) == (5, len("  s: {when: ") + column)
    if message is not None:
        assert str(mistake).endswith(f": {message}")


def test_what_a_model_reads_cannot_ask() -> None:
    """It compares numbers; and a model's segments are found before rules are decided."""
    wrong = FOUND.replace("[orders]", "[\"in_segment('a')\"]")
    [mistake] = find_mistakes(f"{HEAD}  a: {{when: orders > 3}}\n{wrong}", "f.yaml")
    assert str(mistake).endswith("in_segment() has no place here; it is for conditions of segments")


def test_units_keep_their_order_where_none_asks() -> None:
    """Else each comes after those it asks for, as early as the others allow."""
    units = [["a"], ["b", "c"], ["d"], ["e"]]
    assert in_order(units, {}) == [0, 1, 2, 3]
    asked = {"b": ["e"], "c": ["d", "e"], "e": ["a"]}
    assert circle(units, asked) == []
    assert in_order(units, asked) == [0, 3, 2, 1]
