"""Records that lie in another partition than their user's, sent on to it: what goes along, and how it is read again.

Whoever finds such a record forwards it, with the place it lay at, to the same topic for all: co-partitioned, and in the
partition of its user. There it counts as what it was: its topic decides how it is read, its place is its message id
where it has none, its arrival is when it happened where it does not say so itself.

Examples
--------
>>> from segstream.core.records import LogRecord
>>> record = LogRecord("visits", 3, 17, 865987200000, None, b"{}", [("trace", b"1")])
>>> sent_on = LogRecord("segstream-rerouted", 0, 5, 865987200250, b"42", b"{}", forwarding(record))
>>> where_from(sent_on)
Forwarded(topic='visits', partition=3, offset=17, timestamp=865987200000, key=b'42', value=b'{}', headers=(('trace', b'1'),))
>>> mark(where_from(sent_on))
'visits-3'
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from segstream.core.dead_letters import fitting
from segstream.core.records import LogRecord, Rejected
from segstream_schemas.dead_letters import RejectionReason
from segstream_schemas.definitions import TOPIC

if TYPE_CHECKING:
    from segstream.core.records import Record

SOURCE: Final = "segstream-source-"
"""What the headers begin with that say where a record lay."""

_NUMBER: Final = re.compile(rb"-?[0-9]{1,18}")
_TOPIC: Final = re.compile(TOPIC)

_NOT_FORWARDED: Final = Rejected(
    RejectionReason.NOT_FORWARDED,
    f"The record does not say where it was forwarded from (headers {SOURCE}topic, -partition, -offset, -timestamp); "
    "send events to a topic of their own: workers alone write here.",
    "headers",
)


class Forwarded(LogRecord):
    """A record as it lay where it was forwarded from, but with the key of its user."""

    __slots__ = ()


def forwarding(record: Record) -> tuple[tuple[str, bytes], ...]:
    """Return the headers a record is forwarded with: its own, up to 64 KiB, and where it lies."""
    own = tuple((name, value) for name, value in record.headers if not name.startswith(SOURCE))
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    place["timestamp"] = record.timestamp
    return (*fitting(own), *((SOURCE + name, str(value).encode()) for name, value in place.items()))


def where_from(record: Record) -> Forwarded | Rejected:
    """Return a forwarded record as it lay, or why that cannot be told."""
    told = {name.removeprefix(SOURCE): value for name, value in record.headers if name.startswith(SOURCE)}
    topic = (told.get("topic") or b"").decode("ascii", "replace")
    numbers = [told.get(name) or b"" for name in ("partition", "offset", "timestamp")]
    if not _TOPIC.fullmatch(topic) or not all(map(_NUMBER.fullmatch, numbers)):
        return _NOT_FORWARDED
    own = tuple((name, value) for name, value in record.headers if not name.startswith(SOURCE))
    partition, offset, timestamp = map(int, numbers)
    return Forwarded(topic, partition, offset, timestamp, record.key, record.value, own)


def mark(record: Forwarded) -> str:
    """Return what the highest offset applied from a record's source partition is kept under."""
    return f"{record.topic}-{record.partition}"


def strayed(here: int, home: int) -> Rejected:
    """Return what is said of a record that was forwarded to a partition where its user does not belong either.

    Parameters
    ----------
    here : int
        Where it was forwarded to.
    home : int
        Where its user belongs.
    """
    text = (
        f"The record was forwarded to partition {here}, but its user belongs to {home}: its source was defined otherwise "
        "meanwhile, or workers have different partitioners. Send it again."
    )
    return Rejected(RejectionReason.MISPLACED, text, "key")
