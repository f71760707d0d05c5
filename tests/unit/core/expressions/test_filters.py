"""Filters: the language over one event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.expressions import compile_filter

ORDER = {
    "type": "track",
    "event": "Order Completed",
    "userId": "ada",
    "properties": {
        "category": "shoes",
        "revenue": 25,
        "gift": True,
        "coupon": None,
        "product": {"sku": "S-1"},
        "tags": ["new"],
        "note": "x" * 1001,
    },
    "context": {"device": {"type": "mobile"}},
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("properties.category == 'shoes' and properties.revenue > 20", True),
        ("properties.category == 'shoes' and properties.revenue > 25", False),
        ("properties.category in ['shoes', 'hats']", True),
        ("properties.category not in ['shoes', 'hats']", False),
        ("properties.category starts_with 'sh'", True),
        ("properties.category matches '^(shoes|hats)$'", True),
        ("properties.product.sku contains '-'", True),
        ("context.device.type == 'mobile' and event == 'Order Completed' and type != 'page'", True),
        ("properties.gift == true", True),
        ("properties.revenue / 2 + 1 >= 13.5", True),
        ("exists(properties.revenue)", True),
        ("exists(properties.coupon)", False),
        ("coalesce(properties.discount, 0) == 0", True),
        # Of another kind, missing, no scalar, or too long: unknown, and so not passed, however it is asked.
        ("properties.revenue == '25'", False),
        ("properties.revenue != '25'", False),
        ("properties.category > 3 or properties.category <= 3", False),
        ("properties.gift == 1", False),
        ("not properties.discount > 0", False),
        ("properties.product == 'S-1'", False),
        ("properties.tags contains 'new'", False),
        ("properties.revenue.amount > 1", False),
        ("properties.note contains 'x'", False),
        ("properties.revenue / (properties.revenue - 25) > 0", False),
    ],
)
def test_an_event_passes_when_the_filter_is_true_of_it(text: str, passes: bool) -> None:  # noqa: FBT001 (a truth value)
    """True lets it pass; false and unknown do not."""
    assert compile_filter(text).passes(ORDER) is passes


def test_a_filter_has_a_normal_form() -> None:
    """Two spellings of one filter read the same."""
    assert compile_filter(' properties.a=="x"  ').text == compile_filter("(properties.a == 'x')").text


documents = st.dictionaries(
    st.sampled_from(["event", "properties", "context", "type"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    documents,
    st.sampled_from(
        [
            "properties.a > 1 and properties.b.a == 'x'",
            "properties.a * properties.b / context.a > 1e9",
            "event matches 'x*' or properties.a contains event",
            "coalesce(properties.a, properties.b) != context.a",
            "not (exists(properties.a) or type in ['page', 'track'])",
        ]
    ),
)
def test_no_event_makes_a_filter_fail(document: dict[str, Any], text: str) -> None:
    """Whatever stands in an event, a filter says yes or no."""
    assert compile_filter(text).passes(document) in {True, False}
