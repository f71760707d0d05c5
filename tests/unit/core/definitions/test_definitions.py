"""A right definitions file: what is read from it, what its hashes see, which events reach what."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from segstream.core.definitions import Definitions, read_definitions
from segstream.core.time import DAY, NEVER
from segstream_schemas.definitions import DefinitionsDocument

SHOP = """\
version: 1
features:
  orders:        {op: count, event: Order Completed}
  revenue_365d:  {op: sum, of: properties.revenue, event: Order Completed, window: 365d, expose: true}
  last_order:    {op: last_time, event: Order Completed}
  pages:         {op: count, type: page}
  pricing:       {op: count, type: page, name: [Pricing, Plans]}
  crm_notes:     {op: count, topic: crm}
traits: {country: text, signedUpAt: time}
segments:
  high_value:    {when: "revenue_365d >= 500 and orders >= 3", leave_when: "revenue_365d < 400",
                  label: High value, description: Spent 500 in a year and came back, owner: crm, tags: [money]}
  at_risk:       {when: "orders >= 2 and since(last_order) > 60d", min_dwell: 1d}
  active:        {when: orders >= 1}
groups:
  lifecycle:     {first_of: [at_risk, active]}
discovered:
  behaviour:     {model: kmeans, clusters: 6, features: [orders, revenue_365d, since(last_order)]}
"""
JUNE = 865987200000


@pytest.fixture(scope="module")
def shop() -> Definitions:
    """Return the definitions of the design's example."""
    return read_definitions(SHOP, "shop.yaml")


def test_segments_keep_the_order_of_the_file(shop: Definitions) -> None:
    """Order decides nothing but the order of changes, which is that of the file."""
    assert [segment.name for segment in shop.segments] == ["high_value", "at_risk", "active"]
    assert [segment.group for segment in shop.segments] == [None, "lifecycle", "lifecycle"]
    assert shop.groups[0].segments == ("at_risk", "active")


def test_a_segment_has_what_the_file_says(shop: Definitions) -> None:
    """Labels, owners and dwell times arrive; a label left out is the name."""
    high_value, at_risk, _ = shop.segments
    assert (high_value.label, high_value.owner, high_value.tags) == ("High value", "crm", ("money",))
    assert high_value.leave_when is not None
    assert high_value.leave_when.text == "revenue_365d < 400"
    assert (at_risk.label, at_risk.min_dwell, at_risk.leave_when) == ("at_risk", DAY, None)


def test_features_stand_where_their_index_says(shop: Definitions) -> None:
    """A user's states are laid out by name, features before traits, whatever the order in the file."""
    assert [feature.index for feature in shop.features] == list(range(len(shop.features)))
    assert [feature.name for feature in shop.features] == [
        "crm_notes",
        "last_order",
        "orders",
        "pages",
        "pricing",
        "revenue_365d",
        "traits.country",
        "traits.signedUpAt",
    ]


@pytest.mark.parametrize(
    ("kind", "name", "topic", "reached"),
    [
        ("track", "Order Completed", "events", {"orders", "revenue_365d", "last_order"}),
        ("track", "Order Completed", "crm", {"orders", "revenue_365d", "last_order", "crm_notes"}),
        ("track", "Pricing", "events", set()),
        ("page", "Pricing", "events", {"pages", "pricing"}),
        ("page", None, "events", {"pages"}),
        ("screen", "Pricing", "events", set()),
        ("identify", None, "events", {"traits.country", "traits.signedUpAt"}),
        ("something", "else", "crm", {"crm_notes"}),
    ],
)
def test_an_event_reaches_the_features_that_select_it(
    shop: Definitions, kind: str, name: str | None, topic: str, reached: set[str]
) -> None:
    """By type, name and topic, all of those that a feature states."""
    for _ in range(2):
        assert {feature.name for feature in shop.routes(kind, name, topic)} == reached


def test_names_nobody_selects_do_not_fill_the_memory() -> None:
    """Routes are remembered per name the file has, not per name that comes along."""
    definitions = read_definitions(SHOP)
    found = {id(definitions.routes("track", f"Event {number}", f"topic {number}")) for number in range(1000)}
    assert len(found) == 1


def test_values_are_read_at_their_path(shop: Definitions) -> None:
    """A feature reads scalars at its path, and nothing where there is none."""
    revenue = next(feature for feature in shop.features if feature.name == "revenue_365d")
    assert revenue.path == ("properties", "revenue")
    assert revenue.read({"properties": {"revenue": 12.5}}) == 12.5
    for document in ({}, {"properties": None}, {"properties": 3}, {"properties": {"revenue": {"amount": 3}}}):
        assert revenue.read(document) is None


def test_the_example_decides_as_it_reads(shop: Definitions) -> None:
    """Two orders, then sixty days and a millisecond of silence: at risk."""
    states = [feature.accumulator.zero() for feature in shop.features]
    for number in range(2):
        for feature in shop.routes("track", "Order Completed", "events"):
            value = feature.read({"properties": {"revenue": 250}})
            states[feature.index] = feature.accumulator.add(states[feature.index], JUNE, value, f"m{number}")
    high_value, at_risk, active = shop.segments
    assert at_risk.when.hold(states, JUNE) == (False, JUNE + 60 * DAY + 1)
    assert high_value.when.hold(states, JUNE) == (False, NEVER)
    assert active.when.hold(states, JUNE) == (True, NEVER)
    assert [number.read(states, JUNE + DAY) for number in shop.discovered[0].inputs] == [2.0, 500.0, DAY]
    assert [number.text for number in shop.discovered[0].inputs] == [
        "orders",
        "revenue_365d",
        "since(last_order)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        SHOP.replace("version: 1\n", "# the shop\nversion: 1\n\n"),
        SHOP.replace("{op: count, type: page}", "{type: page, op: count}"),
        SHOP.replace("min_dwell: 1d", "min_dwell: 24h").replace("> 60d", ">  1440h"),
        SHOP.replace("[Pricing, Plans]", "[Plans, Pricing]"),
        SHOP.replace("window: 365d", "window: 365d, resolution: 1d"),
    ],
    ids=["comments", "order of keys", "spelling of durations", "order of names", "defaults"],
)
def test_the_content_hash_sees_the_meaning_only(shop: Definitions, text: str) -> None:
    """Comments, order of keys, blanks, spelling of durations and defaults spelt out change nothing."""
    assert text != SHOP
    assert read_definitions(text).content_hash == shop.content_hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("orders >= 3", "orders >= 4"),
        ("min_dwell: 1d", "min_dwell: 2d"),
        ("[at_risk, active]", "[active, at_risk]"),
        ("clusters: 6", "clusters: 7"),
        ("label: High value", "label: VIP"),
        (", expose: true", ""),
        ("country: text", "country: number"),
        ("topic: crm", "topic: sales"),
    ],
)
def test_the_content_hash_sees_every_change_of_meaning(shop: Definitions, old: str, new: str) -> None:
    """Anything that decides or is shown to others changes it."""
    text = SHOP.replace(old, new)
    assert text != SHOP
    assert read_definitions(text).content_hash != shop.content_hash


def test_a_feature_keeps_its_fingerprint_when_only_its_name_changes(shop: Definitions) -> None:
    """Name, description and exposure do not belong to what is counted; selector, path and options do."""
    prints = {feature.name: feature.fingerprint for feature in shop.features}
    renamed = SHOP.replace("revenue_365d", "spent").replace(", expose: true", ", description: a year's")
    after = {feature.name: feature.fingerprint for feature in read_definitions(renamed).features}
    assert after["spent"] == prints["revenue_365d"]
    changed = SHOP.replace("window: 365d", "window: 364d").replace(
        "of: properties.revenue", "of: properties.total"
    )
    assert {feature.name: feature.fingerprint for feature in read_definitions(changed).features}[
        "revenue_365d"
    ] not in prints.values()
    assert len(set(prints.values())) == len(prints)


def test_yaml_words_are_words() -> None:
    """YAML 1.2: NO is a country, on is a word, 08 is a number, a date is a text."""
    text = "version: 1\nfeatures: {a: {op: count, event: [NO, on, 2024-01-01]}}"
    (feature,) = read_definitions(text).features
    assert feature.selector.names == frozenset({"NO", "on", "2024-01-01"})


def test_aliases_share_what_is_written_once() -> None:
    """An anchor may be used again."""
    text = "version: 1\nfeatures: {a: &a {op: count, event: A}, b: *a}"
    first, second = read_definitions(text).features
    assert first.fingerprint == second.fingerprint


def test_sections_may_be_empty() -> None:
    """A file with headings only is a beginning."""
    assert read_definitions("version: 1\nfeatures:\nsegments:\n").segments == ()


def test_the_document_cannot_be_changed(shop: Definitions) -> None:
    """What was checked stays as it was checked."""
    with pytest.raises(ValidationError, match="frozen"):
        shop.document.segments["active"].when = "true"  # type: ignore[misc]  # that is the point


def test_the_schema_of_the_document_explains_itself() -> None:
    """Every field has a description, for editors that show the JSON Schema."""
    schema = DefinitionsDocument.model_json_schema()
    for definition in (schema, *schema["$defs"].values()):
        assert all(field.get("description") for field in definition["properties"].values())


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings_do_not_matter(shop: Definitions, ending: str, tmp_path: Path) -> None:
    """A file from another system, with a byte order mark, reads the same."""
    file = tmp_path / "shop.yaml"
    file.write_bytes(("\ufeff" + SHOP.replace("\n", ending)).encode())
    assert read_definitions(file.read_bytes().decode(), "shop.yaml").content_hash == shop.content_hash
