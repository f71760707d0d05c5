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

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

MOST: Final = 1_000
"""Features, traits, segments and groups a document may have, of each."""

MOST_INPUTS: Final = 16
"""Features a discovered segmentation may look at."""

MOST_FIELDS: Final = 100
"""Properties, or traits, that a source may have."""

NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
TRAIT: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
DURATION: Final = r"^([0-9]{1,12}(ms|s|m|h|d|w)){1,6}$"
PATH: Final = r"^[^.\s\[\]]+(\.[^.\s\[\]]+){0,15}$"
PATH_OF_EACH: Final = r"^[^.\s\[\]]+(\[\])?(\.[^.\s\[\]]+(\[\])?){0,15}$"
TOPIC: Final = r"^[A-Za-z0-9._-]{1,249}$"
FIELD: Final = r"^[^.\s\[\]]{1,64}$"

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

Topic: TypeAlias = Annotated[str, Field(pattern=TOPIC, examples=["crm-customers"])]
"""A Kafka topic: letters, digits, ``.``, ``_`` and ``-``."""

Found: TypeAlias = Annotated[str, Field(min_length=1, max_length=500, examples=["address.country"])]
"""Where in a source's document something is: a JMESPath expression, most often keys joined by dots."""

FieldName: TypeAlias = Annotated[str, Field(pattern=FIELD, examples=["score"])]
"""What a property or a trait is called in the event: no dots, blanks or brackets."""

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


MAPPED: Final = (
    *("user", "anonymous", "timestamp", "timestamp_unit", "message_id"),
    *("event", "event_from", "name", "name_from", "properties", "traits"),
)
"""What only a source with ``type`` has: it says how a document becomes an event."""

PATHS: Final = ("user", "anonymous", "timestamp", "message_id", "event_from", "name_from")
"""What a source says by a JMESPath expression, besides properties and traits."""

NAMED: Final[dict[EventType, str]] = {"track": "event", "page": "name", "screen": "name"}
"""Which types of events have a name, and what a source calls it."""


TOLD_IN_TRAITS: Final[tuple[EventType, ...]] = ("identify", "group")
"""Types of events whose values are traits; those of the others are properties."""


def _sources_schema(schema: dict[str, Any]) -> None:
    """Add to a source's JSON Schema what holds between its fields."""
    typed = {"required": ["type"], "properties": {"type": {"type": "string"}}}
    rules: list[dict[str, Any]] = [
        {
            "if": typed,
            "then": _one_of("user", "anonymous"),
            "else": {"properties": dict.fromkeys(MAPPED, False)},
        }
    ]
    for kind in get_args(EventType):
        own = NAMED.get(kind)
        foreign = [key for key in ("event", "name") if key != own]
        foreign += [*(f"{key}_from" for key in foreign), "properties" if kind in TOLD_IN_TRAITS else "traits"]
        is_it = {"required": ["type"], "properties": {"type": {"const": kind}}}
        rules.append({"if": is_it, "then": {"properties": dict.fromkeys(foreign, False)}})
    is_track = {"required": ["type"], "properties": {"type": {"const": "track"}}}
    rules.append({"if": is_track, "then": _one_of("event", "event_from")})
    schema["allOf"] = rules
    schema["dependencies"] = {"timestamp_unit": ["timestamp"]}


def _one_of(*keys: str) -> dict[str, Any]:
    """Return that one of these keys is needed."""
    return {"anyOf": [{"required": [key], "properties": {key: {"type": "string"}}} for key in keys]}


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


class SourceDefinition(_Part):
    """How the documents of a topic become events, and whether the topic is keyed by user.

    Without ``type`` its documents are events as they stand.

    Examples
    --------
    >>> survey = SourceDefinition(type="track", event="Survey Answered", user="respondent.id")
    >>> survey.keyed, survey.timestamp is None
    (True, True)
    """

    model_config = ConfigDict(json_schema_extra=_sources_schema)

    topic: Topic | None = Field(
        None, description="The Kafka topic; by default the source's name.", examples=["crm-customers"]
    )
    keyed: bool = Field(
        default=True,
        description="Whether its records are keyed by the user's id, so that they lie where it belongs.",
    )
    type: EventType | None = Field(
        None,
        description="What each document becomes; without it they are events of the Segment spec already.",
        examples=["track"],
    )
    user: Found | None = Field(None, description="Where the user's id is.", examples=["customer.id"])
    anonymous: Found | None = Field(
        None, description="Where the id of somebody without a user id is.", examples=["visitor"]
    )
    timestamp: Found | None = Field(
        None,
        description="Where the time it happened is; by default it happened when it arrived.",
        examples=["updated_at"],
    )
    timestamp_unit: Literal["s", "ms"] | None = Field(
        None,
        description="Where times are numbers since 1970: in which unit. By default they are ISO 8601 texts.",
        examples=["s"],
    )
    message_id: Found | None = Field(
        None,
        description="Where an id is by which a repeat in this topic is known; by default its place in Kafka.",
        examples=["answer_id"],
    )
    event: Words | None = Field(
        None, description="What a track event is called.", examples=["Survey Answered"]
    )
    event_from: Found | None = Field(
        None, description="Where the name of a track event is.", examples=["kind"]
    )
    name: Words | None = Field(None, description="What a page or screen is called.", examples=["Pricing"])
    name_from: Found | None = Field(
        None, description="Where the name of a page or screen is.", examples=["path"]
    )
    properties: Annotated[dict[FieldName, Found], Field(max_length=MOST_FIELDS)] = Field(
        default={},
        description="Properties of the event, and where each is.",
        examples=[{"score": "answers.nps"}],
    )
    traits: Annotated[dict[FieldName, Found], Field(max_length=MOST_FIELDS)] = Field(
        default={},
        description="Of identify and group events: traits, and where each is.",
        examples=[{"country": "address.country"}],
    )
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
    sources: Annotated[dict[Name, SourceDefinition], Field(max_length=MOST)] = Field(
        default={},
        description="Topics that do not hold events of the Segment spec, or are not keyed by user.",
        json_schema_extra=_section(),
    )
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
