"""The definitions document: which features are counted, which segments follow from them.

This describes the shape of the YAML file; the worker checks the conditions in it as well (``segstream validate``).

Examples
--------
>>> document = DefinitionsDocument.model_validate(
...     {
...         "version": 1,
...         "features": {"orders": {"op": "count", "event": "Order Completed"}},
...         "segments": {"loyal": {"when": "orders >= 3"}},
...     }
... )
>>> document.segments["loyal"].when
'orders >= 3'
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

MOST: Final = 1_000
"""Features, traits, segments and groups a document may have, of each."""

MOST_INPUTS: Final = 16
"""Features a discovered segmentation may look at."""

NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
TRAIT: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
DURATION: Final = r"^([0-9]{1,12}(ms|s|m|h|d|w)){1,6}$"
PATH: Final = r"^[^.\s\[\]]+(\.[^.\s\[\]]+){0,15}$"
PATH_OF_EACH: Final = r"^[^.\s\[\]]+(\[\])?(\.[^.\s\[\]]+(\[\])?){0,15}$"

Name: TypeAlias = Annotated[str, Field(pattern=NAME, examples=["high_value"])]
"""Small letters, digits and underscores, beginning with a letter."""

TraitName: TypeAlias = Annotated[str, Field(pattern=TRAIT, examples=["country", "signedUpAt"])]
"""The trait's name as ``identify`` events have it."""

Duration: TypeAlias = Annotated[str, Field(pattern=DURATION, examples=["90s", "15m", "12h", "30d", "8w"])]
"""A whole number and a unit: ms, s, m, h, d or w."""

Path: TypeAlias = (
    Annotated[str, Field(pattern=PATH_OF_EACH, examples=["properties.products[].price"])]
    | Annotated[str, Field(pattern=PATH, examples=["properties.revenue", "context.device.type"])]
)
"""Where in the event's document, keys joined by dots; ``[]`` after a key is each entry of its list."""

Text: TypeAlias = Annotated[str, Field(max_length=2_000)]
Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=512)]
OneOrMore: TypeAlias = Words | Annotated[tuple[Words, ...], Field(min_length=1, max_length=100, strict=False)]
Scalar: TypeAlias = (
    Annotated[str, Field(max_length=1_000)] | int | Annotated[float, Field(allow_inf_nan=False)] | bool
)
Op: TypeAlias = Literal[
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "first",
    "last",
    "first_time",
    "last_time",
    "distinct",
    "top",
    "share",
    "days_active",
    "rate",
]
EventType: TypeAlias = Literal["identify", "track", "page", "screen", "group", "alias"]
TraitType: TypeAlias = Literal["text", "number", "boolean", "time"]

RESERVED: Final = (
    *("and", "or", "not", "in", "true", "false", "contains", "starts_with", "matches"),
    *("since", "exists", "coalesce", "in_segment", "traits"),
)
"""Words of the condition language, which no feature may be called."""

OPTIONS: Final[dict[Op, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "count": ((), ("of", "window", "resolution")),
    "sum": (("of",), ("window", "resolution")),
    "mean": (("of",), ("window", "resolution")),
    "min": (("of",), ("window", "resolution")),
    "max": (("of",), ("window", "resolution")),
    "first": (("of",), ()),
    "last": (("of",), ()),
    "first_time": ((), ("of",)),
    "last_time": ((), ("of",)),
    "distinct": (("of",), ("window", "resolution")),
    "top": (("of",), ()),
    "share": (("of", "equals"), ("window", "resolution")),
    "days_active": ((), ("of", "window")),
    "rate": (("half_life",), ("of", "per")),
}
"""Which options each op needs, and which it takes as well."""


def _features_schema(schema: dict[str, Any]) -> None:
    """Add to a feature's JSON Schema what holds between its fields, so that editors tell it while one writes."""
    optional = sorted({option for needs, takes in OPTIONS.values() for option in (*needs, *takes)})
    rules: list[dict[str, Any]] = []
    for op, (needs, takes) in OPTIONS.items():
        others = {option: False for option in optional if option not in (*needs, *takes)}
        given = {option: {"not": {"type": "null"}} for option in needs}
        then: dict[str, Any] = {"properties": {**given, **others}}
        if needs:
            then["required"] = [*needs]
        rules.append({"if": {"required": ["op"], "properties": {"op": {"const": op}}}, "then": then})
    named = {"required": ["name"], "properties": {"name": {"type": ["string", "array"]}}}
    told = {"required": ["event"], "properties": {"event": {"type": ["string", "array"]}}}
    of_pages = {"required": ["type"], "properties": {"type": {"enum": ["page", "screen"]}}}
    of_tracks = {"properties": {"type": {"enum": ["track", None]}, "name": {"type": "null"}}}
    rules += [{"if": named, "then": of_pages}, {"if": told, "then": of_tracks}]
    schema["allOf"] = rules
    schema["dependencies"] = {"resolution": ["window"]}


def _section(**extra: Any) -> dict[str, Any]:
    """Return that a section may be there with nothing in it yet."""
    return {"type": ["object", "null"], **extra}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FeatureDefinition(_Part):
    """A number, time or text kept per user, from the events that are selected.

    Examples
    --------
    >>> FeatureDefinition(op="sum", of="properties.revenue", event="Order Completed", window="365d").window
    '365d'
    """

    model_config = ConfigDict(json_schema_extra=_features_schema)

    op: Op = Field(description="What is kept of the selected events.", examples=["count"])
    event: OneOrMore | None = Field(
        None, description="Only track events of this name, or of one of these.", examples=["Order Completed"]
    )
    type: EventType | None = Field(None, description="Only events of this type.", examples=["page"])
    name: OneOrMore | None = Field(
        None, description="Only pages or screens of this name.", examples=["Pricing"]
    )
    topic: OneOrMore | None = Field(None, description="Only events from this topic.", examples=["events"])
    of: Path | None = Field(
        None, description="Where in the event the value is.", examples=["properties.revenue"]
    )
    equals: (
        Scalar | Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=100, strict=False)] | None
    ) = Field(
        None, description="The value, or the values, that a share is the share of.", examples=["mobile"]
    )
    window: Duration | None = Field(None, description="Look only at the last so long.", examples=["30d"])
    resolution: Duration | None = Field(
        None,
        description="How finely the window slides; by default about a three-hundredth of it.",
        examples=["1h"],
    )
    half_life: Duration | None = Field(
        None, description="After how long an event counts half in a rate.", examples=["7d"]
    )
    per: Duration | None = Field(
        None, description="The unit of time of a rate; by default a day.", examples=["1d"]
    )
    where: Text | None = Field(
        None,
        description="Only events of which this is true: a condition over the event's fields.",
        examples=["properties.category == 'shoes' and properties.revenue > 20"],
    )
    expose: bool = Field(default=False, description="Whether others may read it with the user's segments.")
    description: Text | None = Field(None, description="For people.")


class SegmentDefinition(_Part):
    """A set of users described by a condition.

    Examples
    --------
    >>> SegmentDefinition(when="revenue_365d >= 500", leave_when="revenue_365d < 400").min_dwell is None
    True
    """

    when: Text = Field(description="Who enters.", examples=["orders >= 2 and since(last_order) > 60d"])
    leave_when: Text | None = Field(
        None,
        description="Who leaves; by default whoever `when` is not true for.",
        examples=["revenue_365d < 400"],
    )
    min_dwell: Duration | None = Field(None, description="How long one stays at least.", examples=["1d"])
    cooldown: Duration | None = Field(
        None, description="How long one cannot enter again after leaving.", examples=["7d"]
    )
    confirm_for: Duration | None = Field(
        None,
        description="How long the condition must hold without a break before one enters.",
        examples=["2h"],
    )
    renamed_from: Name | None = Field(
        None,
        description="What the segment was called in the version before; its members stay.",
        examples=["valuable"],
    )
    label: Text | None = Field(None, description="Its name for people.", examples=["High value"])
    description: Text | None = Field(None, description="What it means and is for.")
    owner: Words | None = Field(None, description="Who answers for it.", examples=["crm"])
    tags: Annotated[tuple[Words, ...], Field(max_length=100)] = Field(
        (), description="For finding it.", strict=False
    )


class GroupDefinition(_Part):
    """Segments of which a user holds at most one: the first that applies."""

    first_of: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST)] = Field(
        description="The segments, by precedence.",
        examples=[["first_time", "active", "lapsed"]],
        strict=False,
    )


class DiscoveredDefinition(_Part):
    """Segments that a model finds by itself."""

    model: Literal["kmeans"] = Field(description="How they are found.")
    clusters: Annotated[int, Field(ge=2, le=64)] = Field(description="How many at most.", examples=[6])
    features: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_INPUTS)] = Field(
        description="Numbers and durations by which users are alike.",
        examples=[["orders", "since(last_order)"]],
        strict=False,
    )


class DefinitionsDocument(_Part):
    """A whole definitions file.

    Examples
    --------
    >>> DefinitionsDocument.model_validate({"version": 1}).groups
    {}
    """

    version: Literal[1] = Field(description="Of this format.")
    features: Annotated[dict[Name, FeatureDefinition], Field(max_length=MOST)] = Field(
        default={},
        description="What is kept of the events.",
        json_schema_extra=_section(propertyNames={"not": {"enum": [*RESERVED]}}),
    )
    traits: Annotated[dict[TraitName, TraitType], Field(max_length=MOST)] = Field(
        default={},
        description="What identify events tell of the user, by type; read as traits.<name>.",
        examples=[{"country": "text", "age": "number"}],
        json_schema_extra=_section(),
    )
    segments: Annotated[dict[Name, SegmentDefinition], Field(max_length=MOST)] = Field(
        default={}, description="Segments by condition.", json_schema_extra=_section()
    )
    groups: Annotated[dict[Name, GroupDefinition], Field(max_length=MOST)] = Field(
        default={},
        description="Segments that exclude each other; each segment in one group at most.",
        json_schema_extra=_section(),
    )
    discovered: Annotated[dict[Name, DiscoveredDefinition], Field(max_length=MOST)] = Field(
        default={},
        description="Segments found by a model, called <name>.<id>.",
        json_schema_extra=_section(),
    )
