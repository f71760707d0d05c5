"""Step 1, decode: the bytes of a Kafka record become an event, or the reason why they cannot.

Nothing in a record makes `decode` raise: what cannot be used becomes a `Rejected`, which `dead_letter`
writes for the topic ``segment-dead-letters``. The table of reason codes is
at `segstream_schemas.RejectionReason`.

Examples
--------
>>> value = b'{"type": "page", "userId": 42, "name": "Home", "timestamp": "1997-06-11T00:00:00Z"}'
>>> record = LogRecord("events", 2, 17, 865987201000, b"42", value)
>>> event = decode(record, max_clock_skew=60_000)
>>> event.user, event.at, event.message_id, event.type, event.name
('42', 865987200000, 'events-2-17', 'page', 'Home')
>>> rejected = decode(record._replace(value=b'{"type": "page"}'), max_clock_skew=60_000)
>>> rejected.reason.value, rejected.where, rejected.message
('no_user', 'userId', 'Give a userId or an anonymousId that is not empty.')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from segstream.core.dead_letters import dead_letter
from segstream.core.records import LogRecord, Record, Rejected
from segstream_schemas.dead_letters import RejectionReason
from segstream_schemas.events import ANONYMOUS, EventError, EventShape, facts_in, well_formed
from segstream_schemas.times import EARLIEST, LATEST

if TYPE_CHECKING:
    from segstream.core.partitioning import Partitioner
    from segstream.core.sources import Mapping

__all__ = ["Event", "LogRecord", "Record", "Rejected", "dead_letter", "decode", "home", "raw_id"]

MAX_VALUE: Final = 256 * 1024
"""Largest value of a record in bytes."""

MAX_DEPTH: Final = 32
"""Deepest nesting of objects and lists, the event itself counted as the first."""


class Event(NamedTuple):
    """A valid event.

    Parameters
    ----------
    user : str
        ``userId``, else ``anon:`` and ``anonymousId``.
    at : int
        When it happened, in milliseconds since 1970, UTC: ``timestamp``, else ``receivedAt - (sentAt -
        originalTimestamp)``, else ``originalTimestamp``, else the record's arrival.
    message_id : str
        ``messageId``, else ``topic-partition-offset``.
    type : str
        identify, track, page, screen, group or alias.
    name : str or None
        ``event`` of a track, ``name`` of a page or screen.
    document : dict
        The whole JSON document. Its numbers are finite, integers fit into 64 bits (larger ones are floats),
        its texts are valid Unicode.
    """

    user: str
    at: int
    message_id: str
    type: str
    name: str | None
    document: dict[str, Any]


_validate: Final = TypeAdapter(EventShape).validator.validate_python


def decode(  # noqa: C901, PLR0911 - one per reason
    record: Record, *, max_clock_skew: int, mapping: Mapping | None = None
) -> Event | Rejected:
    """Read and check a record.

    Whether it lies in its user's partition (`home`) is checked when the user is first loaded.

    Parameters
    ----------
    record : Record
        Any bytes.
    max_clock_skew : int
        Milliseconds by which an event may be later than its arrival.
    mapping : Mapping, optional
        How the document becomes an event, where its topic does not hold events.

    Returns
    -------
    Event or Rejected
        It raises nothing.
    """
    value = record.value
    if value is None:
        text = "The record has no value; send the event as JSON. A tombstone means nothing on an event topic."
        return Rejected(RejectionReason.NULL_VALUE, text)
    if len(value) > MAX_VALUE:
        text = f"The value is over {MAX_VALUE} bytes; send a smaller event."
        return Rejected(RejectionReason.TOO_LARGE, text)
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _not_json(value, error)
    # Each level takes an opening bracket, so most events need not be walked to be found flat enough.
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _too_deep(document):
        return _TOO_DEEP
    try:
        if mapping is not None:
            document = _mapped(document, mapping)
        elif not well_formed(document):
            _validate(document)  # tells what is wrong
        user, at, message_id, name = facts_in(document)
    except ValidationError as error:
        return _wrong_shape(error)
    except EventError as error:
        where = error.where if mapping is None else mapping.places.get(error.where, error.where)
        return Rejected(error.reason, error.message, where)
    arrival = record.timestamp
    if at is None:
        if not EARLIEST <= arrival <= LATEST:
            text = "Neither the event nor its record has a usable time; give the event a `timestamp`."
            return Rejected(RejectionReason.BAD_TIMESTAMP, text, "timestamp")
        at = arrival
    elif at > arrival + max_clock_skew:
        text = (
            f"The event's time is more than {max_clock_skew} ms later than its arrival; correct the sender's "
            "clock, or raise max_clock_skew."
        )
        where = "timestamp" if mapping is None else mapping.places.get("timestamp", "timestamp")
        return Rejected(RejectionReason.FUTURE_TIMESTAMP, text, where)
    if not message_id:
        message_id = f"{record.topic}-{record.partition}-{record.offset}"
    # A named tuple's own constructor takes twice the time.
    return tuple.__new__(Event, (user, at, message_id, document["type"], name, document))


def raw_id(user: str) -> str:
    """Return the id by which the user's records are to be keyed: without ``anon:``.

    Examples
    --------
    >>> raw_id("00042"), raw_id("anon:7c9e")
    ('00042', '7c9e')
    """
    return user.removeprefix(ANONYMOUS)


def home(user: str, partitions: int, partitioner: Partitioner) -> int:
    """Return the partition that a user's records belong to.

    Parameters
    ----------
    user : str
        As in `Event`.
    partitions : int
        How many there are.
    partitioner : Partitioner
        As set for the producers.

    Examples
    --------
    >>> from segstream.core.partitioning import murmur2
    >>> home("00042", 4, murmur2)
    2
    """
    return partitioner(raw_id(user).encode(), partitions)


_TOO_DEEP: Final = Rejected(
    RejectionReason.TOO_DEEP,
    f"Objects and lists are nested more than {MAX_DEPTH} deep; send a flatter event.",
)


def _not_json(value: bytes, error: orjson.JSONDecodeError) -> Rejected:
    try:
        value.decode()
    except UnicodeDecodeError as undecodable:
        text = "The value is not UTF-8; send the event as JSON in UTF-8."
        return Rejected(RejectionReason.NOT_UTF8, text, f"byte {undecodable.start}")
    if error.msg.startswith("depth limit exceeded"):
        return _TOO_DEEP
    # The parser's own text is fixed: it quotes nothing from the value.
    problem = error.msg.split(":", maxsplit=1)[0]
    text = f"The value is not valid JSON ({problem}); send one JSON object per record."
    return Rejected(RejectionReason.NOT_JSON, text, f"line {error.lineno} column {error.colno}")


def _too_deep(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        inner = (item.values() if type(item) is dict else item for item in level)
        level = [child for children in inner for child in children if type(child) in (dict, list)]
    return bool(level)


def _mapped(document: Any, mapping: Mapping) -> dict[str, Any]:
    if document.__class__ is not dict:
        raise EventError(RejectionReason.NOT_AN_OBJECT, "", _NO_OBJECT)
    return mapping.event(document)


_NO_OBJECT: Final = "The value is JSON but not an object; send one JSON object per record."


def _wrong_shape(error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_context=False)[0]
    if not first["loc"]:
        return Rejected(RejectionReason.NOT_AN_OBJECT, _NO_OBJECT)
    where = str(first["loc"][0])
    if first["type"] == "missing":
        return Rejected(RejectionReason.MISSING_FIELD, f"An event needs `{where}`.", where)
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        text = "`type` must be one of identify, track, page, screen, group, alias."
        return Rejected(RejectionReason.UNKNOWN_TYPE, text, where)
    text = f"`{where}` must be {_EXPECTED.get(where, 'a text')}."
    return Rejected(RejectionReason.WRONG_TYPE, text, where)


_EXPECTED: Final = dict.fromkeys(("properties", "traits", "context"), "an object") | dict.fromkeys(
    ("userId", "anonymousId", "previousId", "groupId", "messageId"), "a text or an integer of at most 64 bits"
)
