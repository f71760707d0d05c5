"""What campaign engines find in Redis: users' answers, members, and the catalog of segments."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from segstream_schemas.memberships import Membership
from segstream_schemas.times import Time

SCHEMA_VERSION: Final = 1
"""Of the read model, as the catalog tells it; within it fields are only added."""

FeatureValue = JsonValue
"""What an exposed feature is worth: a number, text, boolean, or None where it is unknown; others may come."""


class Answer(BaseModel):
    """All that is told of a user: the hash ``segments:user:<id>``.

    Parameters
    ----------
    user_id : str
        As in a change.
    incarnation, partition_sequence : int
        The version of this answer: of two, the one with the greater pair is the later.
    sequence : int
        The user's last change (see `Change`).
    as_of : datetime
        When the last decision that changed the answer was made; exposed features are as of then.
    definitions_version, model_version : int, dict of str to int
        What decided.
    segments : dict of str to Membership
        Those the user is in; empty for a user who left the last one less than a day ago.
    features : dict of str to value
        Those declared ``expose: true``.

    Examples
    --------
    >>> answer = Answer.model_validate_json(
    ...     '{"user_id":"00042","incarnation":1,"partition_sequence":335,"sequence":7,'
    ...     '"as_of":"1997-06-11T00:00:00.001Z","definitions_version":3,"model_version":{"behaviour":12},'
    ...     '"segments":{"at_risk":{"since":"1997-06-11T00:00:00.001Z","expires_at":null}},'
    ...     '"features":{"orders":2}}'
    ... )
    >>> "at_risk" in answer.segments, answer.features["orders"]
    (True, 2)
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    user_id: str
    incarnation: int
    partition_sequence: int
    sequence: int
    as_of: Time
    definitions_version: int
    model_version: dict[str, int]
    segments: dict[str, Membership]
    features: dict[str, FeatureValue]


class Member(NamedTuple):
    """A user in a segment, and since when: an entry of ``segments:members:<segment>:{p}``.

    Examples
    --------
    >>> from datetime import UTC
    >>> Member("00042", datetime(1997, 6, 11, tzinfo=UTC)).user_id
    '00042'
    """

    user_id: str
    since: datetime


class SegmentInfo(BaseModel):
    """What the catalog says of a segment: a field ``segment:<name>`` of ``segments:catalog``.

    Parameters
    ----------
    kind : str
        ``rule`` or ``discovered``; more may come.
    label, description : str or None
        For people; empty where none is given.
    group : str or None
        The group it belongs to: a user is in one segment of a group at most.
    when, leave_when : str or None
        The conditions of a rule.
    owner : str or None
        Who answers for it; empty where that is not said.
    tags : tuple of str
        For finding it.
    discovery, model_version : str or None, int or None
        Of a discovered segment: the model that found it, and the latest snapshot that has it.

    Examples
    --------
    >>> info = SegmentInfo.model_validate_json('{"kind":"rule","label":"At risk","group":"lifecycle"}')
    >>> info.label, info.group, info.tags
    ('At risk', 'lifecycle', ())
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    label: str | None = None
    description: str | None = None
    group: str | None = None
    when: str | None = None
    leave_when: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    discovery: str | None = None
    model_version: int | None = None


class DiscoveryInfo(BaseModel):
    """What the catalog says of a model that finds segments: a field ``discovered:<name>``.

    Parameters
    ----------
    kind : str
        ``discovered``.
    clusters : int
        How many segments it finds at most.
    inputs : tuple of str
        By what users are alike.

    Examples
    --------
    >>> DiscoveryInfo(kind="discovered", clusters=6, inputs=("orders",)).clusters
    6
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    clusters: int
    inputs: tuple[str, ...]


class Catalog(BaseModel):
    """The segments there are: the hash ``segments:catalog``.

    Parameters
    ----------
    schema_version : int
        Of the whole read model.
    partitions : int
        N: a segment's members are in the lists of partition numbers 0 to N - 1.
    definitions_version : int
        The definitions described.
    segments : dict of str to SegmentInfo
        By name; discovered ones, ``<name>.<id>``, once a model has offered them.
    discovered : dict of str to DiscoveryInfo
        The models that find segments, by name.

    Examples
    --------
    >>> catalog = Catalog(
    ...     schema_version=1,
    ...     partitions=4,
    ...     definitions_version=3,
    ...     segments={"loyal": SegmentInfo(kind="rule")},
    ... )
    >>> sorted(catalog.segments)
    ['loyal']
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int
    partitions: int = Field(ge=1)
    definitions_version: int
    segments: dict[str, SegmentInfo]
    discovered: dict[str, DiscoveryInfo] = {}
