"""What the compacted topic ``segment-memberships`` carries: each user's present answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from segstream_schemas.times import Time


class Membership(BaseModel):
    """Since when a user is in a segment, and until when if nothing happens.

    Examples
    --------
    >>> membership = Membership.model_validate_json('{"since":"1997-06-11T00:00:00.001Z","expires_at":null}')
    >>> membership.model_dump_json()
    '{"since":"1997-06-11T00:00:00.001Z","expires_at":null}'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    since: Time
    expires_at: Time | None


class Memberships(BaseModel):
    """One record of ``segment-memberships``, keyed by user; a user without segments has a tombstone instead.

    Parameters
    ----------
    schema_version : int
        1. Within a version fields are only added.
    user_id : str
        As in a change.
    incarnation, sequence : int
        Of the user's last change.
    segments : dict of str to Membership
        The whole answer.
    at : datetime
        When the last change became true.
    definitions_version, model_version : int, dict of str to int
        What decided.

    Examples
    --------
    >>> text = (
    ...     '{"schema_version":1,"user_id":"00042","incarnation":1,"sequence":7,'
    ...     '"segments":{"at_risk":{"since":"1997-06-11T00:00:00.001Z","expires_at":null}},'
    ...     '"at":"1997-06-11T00:00:00.001Z","definitions_version":3,"model_version":{"behaviour":12}}'
    ... )
    >>> memberships = Memberships.model_validate_json(text)
    >>> sorted(memberships.segments)
    ['at_risk']
    >>> memberships.model_dump_json() == text
    True
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = 1
    user_id: str
    incarnation: int
    sequence: int
    segments: dict[str, Membership]
    at: Time
    definitions_version: int
    model_version: dict[str, int]
