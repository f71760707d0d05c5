"""Features with filters: what an event costs them that does not pass."""

from __future__ import annotations

from typing import Any

from segstream.core.basis import Basis
from segstream.core.decider import Decider, Route
from segstream.core.definitions import read_definitions
from segstream.core.filtered import MOST_WAYS

SHOP = """\
version: 1
features:
  orders:  {op: count, event: Order}
  shoes:   {op: count, event: Order, where: properties.category == 'shoes', expose: true}
  spent:   {op: sum, event: Order, of: properties.revenue, where: "properties.category == 'shoes'"}
  dear:    {op: count, event: Order, where: properties.revenue > 20}
  pages:   {op: count, type: page}
"""


def decider(text: str = SHOP) -> Decider:
    """Return what decides by these definitions."""
    return Decider(Basis(1, 0, 1, 1, {}), read_definitions(text), {})


def reached(route: Route, decider: Decider) -> set[str]:
    """Return the names of the features on a route."""
    names = [feature.name for feature in decider.definitions.features]
    return {names[index] for index, *_ in route.steps}


def taken(decider: Decider, properties: dict[str, Any]) -> Route:
    """Return the route of an order."""
    route = decider.route("track", "Order", "events")
    assert route.filtered is not None
    return route.filtered({"type": "track", "event": "Order", "properties": properties})


def test_an_event_takes_only_the_features_whose_filter_passes() -> None:
    """A feature whose filter does not pass is not on the event's way, nor is what it would have read."""
    shop = decider()
    assert reached(taken(shop, {"category": "shoes", "revenue": 50}), shop) == {
        "orders",
        "shoes",
        "spent",
        "dear",
    }
    assert reached(taken(shop, {"category": "hats", "revenue": 50}), shop) == {"orders", "dear"}
    nothing = taken(shop, {"category": "hats", "revenue": "50"})
    assert reached(nothing, shop) == {"orders"}
    assert nothing.readers == ()
    assert not nothing.exposed
    assert taken(shop, {"category": "shoes"}).exposed


def test_the_same_filters_passed_are_the_same_way() -> None:
    """A way is laid out once."""
    shop = decider()
    assert taken(shop, {"category": "shoes", "revenue": 50}) is taken(
        shop, {"category": "shoes", "revenue": 90}
    )


def test_events_that_no_filter_asks_about_are_not_asked() -> None:
    """A kind of event whose features have no filters goes its way without any."""
    assert decider().route("page", None, "events").filtered is None


def test_ways_do_not_fill_the_memory() -> None:
    """Of many filters every combination is right, and a bounded number of them is kept."""
    features = "".join(f"  f{bit}: {{op: count, where: properties.b{bit} == 1}}\n" for bit in range(10))
    many = decider(f"version: 1\nfeatures:\n{features}")
    route = many.route("track", "Order", "events")
    assert route.filtered is not None
    for number in range(1 << 10):
        properties = {f"b{bit}": number >> bit & 1 for bit in range(10)}
        assert reached(taken(many, properties), many) == {f"f{bit}" for bit in range(10) if number >> bit & 1}
    assert len(route.filtered._ways) == MOST_WAYS  # type: ignore[attr-defined]  # what is kept shows nowhere else


def test_a_filter_belongs_to_what_a_feature_means() -> None:
    """Another filter is another feature, another spelling is not; without one the fingerprint is what it was."""
    prints = {feature.name: feature.fingerprint for feature in decider().definitions.features}
    again = SHOP.replace("where: properties.category == 'shoes'", "where: (properties.category=='shoes')")
    other = SHOP.replace("where: properties.category == 'shoes'", "where: properties.category == 'hats'")
    without = SHOP.replace(", where: properties.category == 'shoes'", "")
    assert {item.name: item.fingerprint for item in decider(again).definitions.features} == prints
    assert decider(other).definitions.features[-2].name == "shoes"
    assert decider(other).definitions.features[-2].fingerprint != prints["shoes"]
    found = {item.name: item.fingerprint for item in decider(without).definitions.features}
    assert found["shoes"] == prints["orders"]
    assert decider(again).definitions.content_hash == decider().definitions.content_hash
    assert decider(other).definitions.content_hash != decider().definitions.content_hash
