"""What comes in: events as the Segment spec has them, and how they are read.

The rules that say whose event it is and when it happened are here once, for producers who want to check an
event before they send it (`Event`) and for the worker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from segstream_schemas.dead_letters import RejectionReason
from segstream_schemas.times import EARLIEST, LATEST, milliseconds

MAX_ID: Final = 512
"""Longest id in bytes of UTF-8: ids are part of Redis keys and kept per user."""

ANONYMOUS: Final = "anon:"
"""What the user's name begins with when an event has only an ``anonymousId``."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class EventError(ValueError):
    """An event cannot be used; its text says what to do, and never quotes what the event holds.

    Parameters
    ----------
    reason : RejectionReason
        The code.
    where : str
        The field, as the Segment spec writes it.
    message : str
        For a person.
    """

    def __init__(self, reason: RejectionReason, where: str, message: str) -> None:
        self.reason, self.where, self.message = reason, where, message
        super().__init__(message)


class EventShape(BaseModel):
    """The fields of an event and their JSON types; `Event` adds what must hold between them.

    Unknown fields are kept, ``null`` counts as absent, ids may be numbers. Of the keys that occur twice in an
    object, JSON parsers keep the last.
    """

    model_config = ConfigDict(frozen=True, extra="allow", serialize_by_alias=True)

    type: Literal["identify", "track", "page", "screen", "group", "alias"]
    event: str | None = None
    name: str | None = None
    user_id: str | StrictInt | None = Field(default=None, alias="userId")
    anonymous_id: str | StrictInt | None = Field(default=None, alias="anonymousId")
    previous_id: str | StrictInt | None = Field(default=None, alias="previousId")
    group_id: str | StrictInt | None = Field(default=None, alias="groupId")
    message_id: str | StrictInt | None = Field(default=None, alias="messageId")
    timestamp: str | None = None
    original_timestamp: str | None = Field(default=None, alias="originalTimestamp")
    sent_at: str | None = Field(default=None, alias="sentAt")
    received_at: str | None = Field(default=None, alias="receivedAt")
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


_NOTHING: Final = type(None)
_TEXT: Final[frozenset[type]] = frozenset({str, _NOTHING})
_ID: Final[frozenset[type]] = frozenset({str, int, _NOTHING})
_OBJECT: Final[frozenset[type]] = frozenset({dict, _NOTHING})
_FIELDS: Final[dict[str, frozenset[type]]] = {
    **dict.fromkeys(("event", "name", "timestamp", "originalTimestamp", "sentAt", "receivedAt"), _TEXT),
    **dict.fromkeys(("userId", "anonymousId", "previousId", "groupId", "messageId"), _ID),
    **dict.fromkeys(("properties", "traits", "context"), _OBJECT),
}
_TYPES: Final = frozenset({"identify", "track", "page", "screen", "group", "alias"})


def well_formed(document: Any) -> bool:
    """Tell whether decoded JSON has the shape of an event, as `EventShape` has it, at a fifth of the time.

    Examples
    --------
    >>> well_formed({"type": "page", "userId": 42}), well_formed({"type": "page", "userId": 4.2})
    (True, False)
    """
    if document.__class__ is not dict or document.get("type").__class__ is not str:
        return False
    for name, value in document.items():
        kinds = _FIELDS.get(name)
        if kinds is not None and value.__class__ not in kinds:
            return False
    return document["type"] in _TYPES


class Facts(NamedTuple):
    """What an event says about itself.

    Parameters
    ----------
    user : str
        ``userId``, else ``anon:`` and ``anonymousId``.
    at : int or None
        Milliseconds since 1970, UTC; None when the event has no time of its own.
    message_id : str
        Empty when the event has none.
    name : str or None
        What happened (``event`` of a track) or was seen (``name`` of a page or screen).
    """

    user: str
    at: int | None
    message_id: str
    name: str | None


class Event(EventShape):
    """An event that the worker will take; check one with this before sending it.

    Raises
    ------
    pydantic.ValidationError
        When a field has a wrong type, or `facts_of` refuses the event.

    Examples
    --------
    >>> event = Event.model_validate_json(
    ...     '{"type": "track", "event": "Order Completed", "userId": 42, "timestamp": "1997-06-11T00:00:00Z",'
    ...     ' "properties": {"revenue": 25.5}, "plan": "gold"}'
    ... )
    >>> facts_of(event)
    Facts(user='42', at=865987200000, message_id='', name='Order Completed')
    >>> event.model_extra
    {'plan': 'gold'}
    >>> Event.model_validate({"type": "page", "anonymousId": "x"}).model_dump_json(exclude_unset=True)
    '{"type":"page","anonymousId":"x"}'
    """

    @model_validator(mode="after")
    def _usable(self) -> Self:
        facts_of(self)
        return self


def facts_of(event: EventShape) -> Facts:
    """Read whose event it is, when it happened, its id and its name; see `facts_in`."""
    return facts_in(event.model_dump(by_alias=True))


def facts_in(document: Mapping[str, Any]) -> Facts:
    """Read of a well-formed event whose it is, when it happened, its id and its name.

    Parameters
    ----------
    document : mapping
        The event as decoded JSON, `well_formed`.

    Raises
    ------
    EventError
        With reason ``no_user``, ``bad_id``, ``bad_timestamp`` or ``missing_field``.
    """
    kind, get = document["type"], document.get
    name = None
    if kind == "track":
        name = get("event")
        if not name:
            text = "A track event needs `event`, the name of what happened."
            raise EventError(RejectionReason.MISSING_FIELD, "event", text)
    elif kind in ("page", "screen"):
        name = get("name")
    return Facts(_user(document), _happened_at(document), _identifier(get("messageId"), "messageId"), name)


def _user(document: Mapping[str, Any]) -> str:
    user = _identifier(document.get("userId"), "userId")
    if user:
        if user.startswith(ANONYMOUS):
            text = (
                f"`{ANONYMOUS}` at the start is kept for users without a userId; send an anonymousId instead."
            )
            raise EventError(RejectionReason.BAD_ID, "userId", text)
        return user
    anonymous = _identifier(document.get("anonymousId"), "anonymousId")
    if anonymous:
        return ANONYMOUS + anonymous
    raise EventError(RejectionReason.NO_USER, "userId", "Give a userId or an anonymousId that is not empty.")


def _identifier(value: str | int | None, where: str) -> str:
    if value is None:
        return ""
    text = str(value)
    if len(text) <= MAX_ID and text.isascii() and text.isprintable():
        return text  # as nearly all are
    if len(text.encode()) > MAX_ID:
        raise EventError(
            RejectionReason.BAD_ID, where, f"An id may have {MAX_ID} bytes of UTF-8; shorten it."
        )
    if _CONTROL.search(text):
        raise EventError(RejectionReason.BAD_ID, where, "An id may not hold control characters; remove them.")
    return text


def _happened_at(document: Mapping[str, Any]) -> int | None:
    get = document.get
    if (timestamp := get("timestamp")) is not None:
        return _moment(timestamp, "timestamp")
    if (original := get("originalTimestamp")) is None:
        return None
    at = _moment(original, "originalTimestamp")
    sent, received = get("sentAt"), get("receivedAt")
    if sent is None or received is None:
        return at
    # The sender's clock may be wrong, but it is wrong by the same amount at both of its times.
    at = _moment(received, "receivedAt") - (_moment(sent, "sentAt") - at)
    if not EARLIEST <= at <= LATEST:
        text = "receivedAt - (sentAt - originalTimestamp) is outside the years 1 to 9999; correct the three."
        raise EventError(RejectionReason.BAD_TIMESTAMP, "originalTimestamp", text)
    return at


def _moment(text: str, where: str) -> int:
    try:
        return milliseconds(text)
    except ValueError:
        advice = "Write the time as ISO 8601 within the years 1 to 9999, such as 1997-06-11T00:00:00.001Z."
        raise EventError(RejectionReason.BAD_TIMESTAMP, where, advice) from None
