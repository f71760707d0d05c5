"""Times on the wire: RFC 3339, UTC, milliseconds, ``Z``.

Examples
--------
>>> milliseconds("1997-06-11T02:00:00.0015+02:00")
865987200001
>>> from pydantic import TypeAdapter
>>> time = TypeAdapter(Time)
>>> moment = time.validate_python("1997-06-11T00:00:00.001Z")
>>> moment
datetime.datetime(1997, 6, 11, 0, 0, 0, 1000, tzinfo=datetime.timezone.utc)
>>> time.dump_json(moment)
b'"1997-06-11T00:00:00.001Z"'
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""The first millisecond of year 1: a time before it cannot be written as RFC 3339."""

LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""The last millisecond of year 9999."""


def milliseconds(text: str) -> int:
    """Read an ISO 8601 time; one without a zone is UTC, parts below a millisecond are cut off.

    Parameters
    ----------
    text : str
        For instance ``1997-06-11T00:00:00.001Z``, ``1997-06-11 02:00+02:00`` or ``1997-06-11``.

    Returns
    -------
    int
        Milliseconds since 1970, UTC.

    Raises
    ------
    ValueError
        If the text is not a time, or lies outside the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    at = (moment - _EPOCH) // _MILLISECOND
    if not EARLIEST <= at <= LATEST:
        message = "the time lies outside the years 1 to 9999"
        raise ValueError(message)
    return at


def _read(value: object) -> datetime:
    if isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        message = "a time is text such as 1997-06-11T00:00:00.001Z"
        raise ValueError(message)  # noqa: TRY004 - pydantic lets a TypeError through
    return _EPOCH + timedelta(milliseconds=milliseconds(value))


def _write(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Time = Annotated[
    datetime,
    BeforeValidator(_read),
    PlainSerializer(_write),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware ``datetime`` in UTC, whole milliseconds, that serialises to exactly the wire's text."""
