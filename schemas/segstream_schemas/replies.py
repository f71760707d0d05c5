"""From what Redis replies to the models; the same for every client, whether it decodes replies or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from segstream_schemas.errors import ReadModelError
from segstream_schemas.memberships import Membership
from segstream_schemas.read_model import (
    SCHEMA_VERSION,
    Answer,
    Catalog,
    DiscoveryInfo,
    FeatureValue,
    Member,
    SegmentInfo,
)

SEGMENT: Final = "s:"
"""What the fields of a user's hash begin with that tell a membership."""

FEATURE: Final = "f:"
"""The same for exposed features."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION: Final = re.compile(r"([0-9]{1,19}):([0-9]{1,19})")
_VALUE: Final[TypeAdapter[FeatureValue]] = TypeAdapter(FeatureValue)
_VERSIONS: Final = TypeAdapter(dict[str, int])
_FROM_JSON: Final[tuple[tuple[str, str, type[BaseModel]], ...]] = (
    ("segment:", "segments", SegmentInfo),
    ("discovered:", "discovered", DiscoveryInfo),
)


def text(word: bytes | str) -> str:
    """Return a reply as text."""
    return word.decode() if isinstance(word, bytes) else word


def fields(key: str, reply: Mapping[bytes | str, bytes | str]) -> dict[str, str]:
    """Return names and values of a hash as text.

    Raises
    ------
    ReadModelError
        If something in it is not UTF-8.
    """
    try:
        return {text(name): text(value) for name, value in reply.items()}
    except UnicodeDecodeError as error:
        raise _unusual(key, "it holds bytes that are not UTF-8") from error


def memberships(key: str, found: Mapping[str, str]) -> dict[str, Membership]:
    """Return the memberships among the fields of a user's hash.

    Raises
    ------
    ReadModelError

    Examples
    --------
    >>> memberships(
    ...     "segments:user:7",
    ...     {"v": "1:9", "s:loyal": '{"since":"1997-06-11T00:00:00.001Z","expires_at":null}'},
    ... )["loyal"].since.year
    1997
    """
    held = {}
    for name, value in found.items():
        if name.startswith(SEGMENT):
            try:
                held[name[len(SEGMENT) :]] = Membership.model_validate_json(value)
            except ValidationError as error:
                raise _unusual(f"{key}, field {name}", _first(error)) from error
    return held


def features(key: str, found: Mapping[str, str]) -> dict[str, FeatureValue]:
    """Return the exposed features among the fields of a user's hash.

    Raises
    ------
    ReadModelError

    Examples
    --------
    >>> features("segments:user:7", {"v": "1:9", "f:orders": "2", "f:city": '"Wien"'})
    {'orders': 2, 'city': 'Wien'}
    """
    values = {}
    for name, value in found.items():
        if name.startswith(FEATURE):
            try:
                values[name[len(FEATURE) :]] = _VALUE.validate_json(value)
            except ValidationError as error:
                raise _unusual(f"{key}, field {name}", _first(error)) from error
    return values


def answer(user: str, key: str, found: Mapping[str, str]) -> Answer | None:
    """Return a user's whole answer; None for a hash without fields.

    Raises
    ------
    ReadModelError
    """
    if not found:
        return None
    version = _VERSION.fullmatch(found.get("v", ""))
    if version is None:
        raise _unusual(
            f"{key}, field v", "it is to be an incarnation and a partition sequence, such as 1:335"
        )
    others = {
        name: value for name, value in found.items() if name != "v" and name[:2] not in (SEGMENT, FEATURE)
    }
    try:
        if "model_version" in others:
            others["model_version"] = _VERSIONS.validate_json(others["model_version"])  # type: ignore[assignment]  # as the model has it
        return Answer.model_validate(
            {
                **others,
                "user_id": user,
                "incarnation": int(version[1]),
                "partition_sequence": int(version[2]),
                "segments": memberships(key, found),
                "features": features(key, found),
            }
        )
    except ValidationError as error:
        raise _unusual(key, _first(error)) from error


def catalog(key: str, found: Mapping[str, str]) -> Catalog:
    """Return the catalog.

    Raises
    ------
    ReadModelError
        If there is none, it is of a later schema version, or it cannot be understood.

    Examples
    --------
    >>> catalog(
    ...     "segments:catalog", {"schema_version": "1", "partitions": "4", "definitions_version": "3"}
    ... ).partitions
    4
    >>> catalog("segments:catalog", {})
    Traceback (most recent call last):
        ...
    segstream_schemas.errors.ReadModelError: there is no segments:catalog in this Redis; a worker writes it when it
    starts: is this its Redis, and the prefix the one that SEGSTREAM_SEGMENTS_PREFIX says?
    """
    if not found:
        raise ReadModelError(
            f"there is no {key} in this Redis; a worker writes it when it starts: is this its Redis, and the prefix"
            " the one that SEGSTREAM_SEGMENTS_PREFIX says?"
        )
    schema = found.get("schema_version", "")
    if schema.isdecimal() and int(schema) > SCHEMA_VERSION:
        raise ReadModelError(
            f"{key} is of schema version {schema}, and this package knows {SCHEMA_VERSION}: install a newer segstream"
        )
    document: dict[str, Any] = {"segments": {}, "discovered": {}}
    for name, value in found.items():
        for prefix, part, model in _FROM_JSON:
            if name.startswith(prefix):
                try:
                    document[part][name[len(prefix) :]] = model.model_validate_json(value)
                except ValidationError as error:
                    raise _unusual(f"{key}, field {name}", _first(error)) from error
                break
        else:
            document[name] = value
    try:
        return Catalog.model_validate(document)
    except ValidationError as error:
        raise _unusual(key, _first(error)) from error


def partitions(key: str, reply: bytes | str | None) -> int:
    """Return N, as the catalog's field ``partitions`` says.

    Raises
    ------
    ReadModelError

    Examples
    --------
    >>> partitions("segments:catalog", b"4")
    4
    """
    if reply is None:
        catalog(key, {})
    number = text(reply or "")
    if not number.isdecimal() or int(number) < 1:
        raise _unusual(f"{key}, field partitions", "it is to be a whole number from 1")
    return int(number)


def members(key: str, reply: Iterable[tuple[bytes | str, float]]) -> list[Member]:
    """Return users with the time they entered at.

    Raises
    ------
    ReadModelError

    Examples
    --------
    >>> members("segments:members:loyal:{0}", [(b"00042", 865987200001.0)])[0].since.isoformat()
    '1997-06-11T00:00:00.001000+00:00'
    """
    try:
        return [Member(text(user), _EPOCH + timedelta(milliseconds=int(score))) for user, score in reply]
    except (OverflowError, ValueError) as error:
        raise _unusual(key, "it is to hold users' ids with times in ms since 1970") from error


def milliseconds(moment: datetime) -> int:
    """Return a moment as a score, rounded up: who entered within the same millisecond but before it is left out.

    Raises
    ------
    ValueError
        If it has no time zone.

    Examples
    --------
    >>> milliseconds(datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC))
    1001
    """
    if moment.tzinfo is None:
        message = "a moment without a time zone: write datetime(..., tzinfo=UTC)"
        raise ValueError(message)
    return -((_EPOCH - moment) // timedelta(milliseconds=1))


def wrong_type(error: Exception) -> ReadModelError:
    """Return what to raise where Redis says that a key holds another type."""
    return ReadModelError(
        f"a key of the read model holds something else: {error}; is the prefix the one that SEGSTREAM_SEGMENTS_PREFIX"
        " says?"
    )


def _unusual(where: str, what: str) -> ReadModelError:
    return ReadModelError(
        f"{where} is not as segstream writes it: {what}; is something else writing there, or a newer segstream?"
    )


def _first(error: ValidationError) -> str:
    """Say the first thing that is wrong, without quoting what is there."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else found["msg"]
