"""What is told of each construct of the language: values, truths, moments, and what would turn it."""

from __future__ import annotations

from typing import Any

import pytest

from segstream.core.definitions import Definitions, read_definitions
from segstream.core.explanations import Part, explain
from segstream.core.time import DAY, HOUR, NEVER, format_time, parse_time

MONDAY = parse_time("1997-06-02T00:00:00Z")
NOW = MONDAY + 10 * DAY

SHOP = """\
version: 1
traits: {country: text, vip: boolean}
features:
  orders:      {op: count, event: Order Completed}
  coupons:     {op: count, event: Order Completed, of: properties.coupon}
  lines:       {op: count, event: Order Completed, of: "properties.products[].sku"}
  spent:       {op: sum, of: properties.revenue, event: Order Completed}
  visits:      {op: count, type: page, window: 7d, resolution: 1d}
  paid:        {op: sum, of: properties.revenue, event: Order Completed, window: 30d, resolution: 1d}
  shoes:       {op: count, event: Order Completed, where: properties.category == 'shoes'}
  basket:      {op: mean, of: properties.revenue, event: Order Completed}
  pace:        {op: rate, event: Order Completed, half_life: 10d, per: 10d}
  first_order: {op: first_time, event: Order Completed}
  last_order:  {op: last_time, event: Order Completed}
  last_touch:  {op: last_time}
segments:
  other: {when: orders > 100}
"""


def shop(condition: str) -> Definitions:
    """Return the shop with a segment of this condition."""
    return read_definitions(f'{SHOP}  it: {{when: "{condition}"}}\n', "shop.yaml")


def explained(condition: str, *events: tuple[str, Any], at: int = NOW, inside: bool = False) -> Part:
    """Explain a condition to a user whose features took in (feature, value) on Monday; ``inside``: is in *other*."""
    definitions = shop(condition)
    states = [feature.accumulator.zero() for feature in definitions.features]
    for number, (name, value) in enumerate(events):
        feature = next(each for each in definitions.features if each.name == name)
        state = states[feature.index]
        states[feature.index] = feature.accumulator.add(state, MONDAY, value, f"m{number}")
    states += [inside] * len(definitions.memberships)
    return explain(definitions.segments[-1].when.node, definitions, states, at)


def told(part: Part) -> list[tuple[str, bool | None]]:
    """Return what would turn a comparison, and what it becomes."""
    return [(way.text, way.becomes) for way in part.ways]


ORDER = ("orders", None)
LAST = ("last_order", None)


@pytest.mark.parametrize(
    ("condition", "events", "truth", "ways"),
    [
        ("orders >= 3", [ORDER], False, [("2 more Order Completed", True)]),
        ("orders > 3", [ORDER], False, [("3 more Order Completed", True)]),
        ("3 <= orders", [ORDER], False, [("2 more Order Completed", True)]),
        ("orders >= 0.5", [], False, [("1 more Order Completed", True)]),
        ("orders >= 1", [ORDER], True, []),
        ("orders < 3", [ORDER], True, [("2 more Order Completed", False)]),
        ("orders == 2", [ORDER], False, [("1 more Order Completed", True)]),
        ("orders == 1", [ORDER], True, [("1 more Order Completed", False)]),
        ("orders == 0", [ORDER], False, []),
        ("orders != 1", [ORDER], False, [("1 more Order Completed", True)]),
        ("coupons > 0", [], False, [("1 more Order Completed with properties.coupon", True)]),
        ("lines > 0", [], False, []),
        ("shoes > 0", [], False, [("1 more Order Completed where properties.category == 'shoes'", True)]),
        ("spent >= 50", [("spent", 29.5)], False, [("20.5 more in properties.revenue of Order Completed", True)]),
        ("spent > 50", [("spent", 29.5)], False, [("over 20.5 more in properties.revenue of Order Completed", True)]),
        ("spent < 50", [("spent", 29.5)], True, [("20.5 more in properties.revenue of Order Completed", False)]),
        ("spent <= 50", [("spent", 50)], True, [("over 0 more in properties.revenue of Order Completed", False)]),
        ("spent >= 50", [("spent", 60)], True, []),
        ("spent == 50", [("spent", 40)], False, []),
        ("basket >= 50", [("basket", 40)], False, []),
        ("basket >= 50", [], None, []),
        ("visits >= 3", [], False, [("3 more page events, now", True)]),
        ("paid >= 30", [], False, [("30 more in properties.revenue of Order Completed, now", True)]),
        ("traits.country == 'DE'", [], None, [("traits.country told as 'DE'", True)]),
        ("traits.country == 'DE'", [("traits.country", "NO")], False, [("traits.country told as 'DE'", True)]),
        ("traits.country in ['DE', 'SE']", [("traits.country", "NO")], False, [("traits.country told as 'DE' or 'SE'", True)]),
        ("traits.country not in ['DE']", [("traits.country", "NO")], True, []),
        ("traits.country starts_with 'N'", [("traits.country", "NO")], True, []),
        ("traits.vip", [], None, [("traits.vip told as true", True)]),
        ("traits.vip", [("traits.vip", True)], True, [("traits.vip told as false", False)]),
        ("exists(traits.country)", [], False, [("traits.country told", True)]),
        ("exists(last_order)", [], False, [("an Order Completed", True)]),
        ("exists(last_order)", [LAST], True, []),
        ("in_segment('other')", [], False, [("entering other", True)]),
        ("coalesce(basket, 0) > 10", [], False, []),
    ],
)  # fmt: skip
def test_what_would_turn_a_comparison_by_events(
    *, condition: str, events: list[tuple[str, Any]], truth: bool | None, ways: list[tuple[str, bool]]
) -> None:
    """So many events, so much more, a trait told: where it follows exactly, and else nothing."""
    part = explained(condition, *events)
    assert (part.truth, told(part)) == (truth, ways)
    assert (part.word, part.since, part.until) == ("comparison", None, NEVER)


@pytest.mark.parametrize(
    ("condition", "truth", "since", "until", "ways"),
    [
        ("since(last_order) > 60d", False, None, MONDAY + 60 * DAY + 1, [("50d1ms without an Order Completed", True)]),
        ("since(last_order) >= 60d", False, None, MONDAY + 60 * DAY, [("50d without an Order Completed", True)]),
        ("since(last_order) <= 60d", True, None, MONDAY + 60 * DAY + 1, [("50d1ms without an Order Completed", False)]),
        ("since(last_order) > 4d", True, MONDAY + 4 * DAY + 1, NEVER, [("an Order Completed", False)]),
        ("since(last_order) < 4d", False, MONDAY + 4 * DAY, NEVER, [("an Order Completed", True)]),
        ("4d > since(last_order)", False, MONDAY + 4 * DAY, NEVER, [("an Order Completed", True)]),
        ("since(last_touch) > 4d", True, MONDAY + 4 * DAY + 1, NEVER, [("an event", False)]),
        ("since(first_order) > 60d", False, None, MONDAY + 60 * DAY + 1, [("50d1ms going by", True)]),
        ("since(first_order) > 4d", True, MONDAY + 4 * DAY + 1, NEVER, []),
        ("since(first_order) + since(last_order) > 30d", False, None, MONDAY + 15 * DAY + 1, [("5d1ms going by", True)]),
    ],
)  # fmt: skip
def test_times_passed_tell_since_when_and_until_when(
    *, condition: str, truth: bool, since: int | None, until: int, ways: list[tuple[str, bool]]
) -> None:
    """A bound that was passed tells when; one that will be, when; an event sets the time passed to nought."""
    part = explained(condition, ("first_order", None), LAST, ("last_touch", None))
    assert (part.truth, part.since, part.until, told(part)) == (truth, since, until, ways)


def test_a_time_that_is_unknown_begins_with_an_event() -> None:
    """What the comparison becomes then is told: true for a short time, false for a long one."""
    assert told(explained("since(last_order) > 60d")) == [("an Order Completed", False)]
    assert told(explained("since(first_order) <= 60d")) == [("an Order Completed", True)]


def test_a_window_empties_at_the_end_of_its_bucket() -> None:
    """Until when is told to the millisecond, and how long nothing may come for that."""
    part = explained("visits >= 2", ("visits", None), ("visits", None), at=MONDAY + HOUR)
    assert (part.truth, part.value, part.until) == (True, 2, MONDAY + 8 * DAY)
    assert told(part) == [("7d23h without a page event", False)]


def test_a_decaying_rate_tells_when_it_falls_below() -> None:
    """Its value is told; how many events would raise it is not, since they need not come at once."""
    part = explained("pace >= 0.01", ("pace", None))
    assert (part.truth, part.threshold) == (True, 0.01)
    assert NOW < part.until < NEVER
    assert [way.silence for way in part.ways] == [part.until - NOW]


def test_both_sides_are_told_as_people_read_them() -> None:
    """Durations as durations, computed sides with the values that they are made of."""
    part = explained("since(last_order) * 2 > 60d", LAST)
    assert (part.value, part.threshold, part.inputs) == ("20d", "60d", {"since(last_order)": "10d"})
    part = explained("spent / orders > visits + 1", ("spent", 30), ORDER, ("visits", None))
    assert (part.value, part.threshold) == (30.0, 1)
    assert part.inputs == {"spent": 30.0, "orders": 1, "visits": 0}
    part = explained("traits.country in ['DE', 'NO']", ("traits.country", "NO"))
    assert (part.value, part.threshold) == ("NO", ["DE", "NO"])


def test_parts_are_told_below_the_whole() -> None:
    """``and``, ``or`` and ``not`` as a tree, in three-valued logic; a negation tells since when as well."""
    whole = explained("orders >= 3 or not (since(last_order) > 4d and traits.vip)", ORDER, LAST)
    assert (whole.word, whole.truth) == ("or", None)
    first, negation = whole.parts
    assert (first.word, first.truth) == ("comparison", False)
    assert (negation.word, negation.truth, negation.parts[0].word) == ("not", None, "and")
    assert [part.truth for part in negation.parts[0].parts] == [True, None]
    assert explained("not since(last_order) > 4d", LAST).since == MONDAY + 4 * DAY + 1


def test_a_whole_turns_when_it_turns_not_when_a_part_does() -> None:
    """Of two that are true the one that ends first does not end an ``or``."""
    whole = explained("since(last_order) <= 20d or since(first_order) <= 30d", LAST, ("first_order", None))
    assert (whole.truth, whole.until) == (True, MONDAY + 30 * DAY + 1)


def test_being_in_another_segment_is_a_part() -> None:
    """It turns by leaving it."""
    part = explained("in_segment('other')", inside=True)
    assert (part.truth, part.value, part.inputs) == (True, True, {"in_segment('other')": True})
    assert told(part) == [("leaving other", False)]


def test_as_json_it_says_what_is_exact() -> None:
    """Counts, amounts and milliseconds as numbers; moments in RFC 3339; null for what does not come."""
    document = explained("orders >= 3 and since(last_order) <= 60d", ORDER, LAST).document()
    assert (document["kind"], document["truth"], document["since"], document["until"]) == (
        "and",
        False,
        None,
        None,
    )
    count, age = document["parts"]
    assert count["would_change"] == [
        {"text": "2 more Order Completed", "becomes": True, "feature": "orders", "events": 2}
    ]
    assert (age["value"], age["threshold"]) == ("10d", "60d")
    assert age["until"] == format_time(MONDAY + 60 * DAY + 1)
    assert age["would_change"][0]["silence_ms"] == 50 * DAY + 1
