"""`renamed_from` names what is gone, and one segment follows it."""

from __future__ import annotations

import pytest

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.core.difference import differences, fresh_features

FILE = """\
version: 1
features: {{orders: {{op: count}}}}
segments:
  customer: {{when: orders >= 1, renamed_from: {}}}
  loyal:    {{when: orders >= 3{}}}
"""


@pytest.mark.parametrize(
    ("former", "more", "told"),
    [
        ("loyal", "", "x:4:47: renamed_from: 'loyal' is a segment of this file still; it is for a name that is gone"),
        ("customer", "", "x:4:47: renamed_from: 'customer' is its own name; it is for a name that is gone"),
        ("Buyer", "", "x:4:47: 'Buyer' is not a name; use small letters, digits and _, beginning with a letter, at most 64"),
        ("buyer", ", renamed_from: buyer", "x:5:47: renamed_from: 'buyer' is 'customer' now already; one can follow it"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_the_former_one_is_told_at_its_place(former: str, more: str, told: str) -> None:
    """With what it is for."""
    assert [str(mistake) for mistake in find_mistakes(FILE.format(former, more), "x")] == [told]


def test_it_belongs_to_the_meaning() -> None:
    """A file that renames is not the same as one that does not, even after the fact."""
    with_it = read_definitions(FILE.format("buyer", ""))
    without = read_definitions(FILE.format("buyer", "").replace(", renamed_from: buyer", ""))
    assert with_it.content_hash != without.content_hash


def test_a_difference_names_what_was_renamed_removed_and_added() -> None:
    """By meaning: who renames a feature keeps what it has counted."""
    old = read_definitions(
        "{version: 1, features: {orders: {op: count}, seen: {op: last_time}}, traits: {age: number},"
        " segments: {buyer: {when: orders >= 1}, old: {when: orders >= 9}, young: {when: traits.age < 20}}}"
    )
    new = read_definitions(
        "{version: 1, features: {bought: {op: count}, pages: {op: count, type: page}}, traits: {age: number},"
        " segments: {young: {when: traits.age<20, min_dwell: 1d}, customer: {when: bought >= 1, renamed_from: buyer}},"
        " groups: {all: {first_of: [young, customer]}}}"
    )
    assert [(each.section, each.name, each.change, each.former) for each in differences(old, new)] == [
        ("feature", "bought", "renamed", "orders"),
        ("feature", "pages", "added", None),
        ("feature", "seen", "removed", None),
        ("segment", "young", "changed", None),
        ("segment", "customer", "renamed", "buyer"),
        ("segment", "old", "removed", None),
        ("group", "all", "added", None),
    ]
    assert fresh_features(old, new) == ["pages"]
    assert fresh_features(None, new) == ["bought", "pages", "traits.age"]
