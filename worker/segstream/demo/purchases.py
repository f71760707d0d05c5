"""What the demo replays: the CDNOW purchases, or events from a file, ready to be sent.

Examples
--------
>>> entries = load_purchases()
>>> len(entries), len({entry.key for entry in entries})
(69659, 23570)
>>> entries[0].value.decode()
'{"type":"track","event":"Order Completed","userId":"00001","timestamp":"1997-01-01T00:00:00.000Z","messageId":"1","properties":{"revenue":11.77,"quantity":1}}'
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from segstream.core.sources.lines import event_line
from segstream.core.time import format_time, parse_time
from segstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from segstream.core.sources import Mapping as SourceMapping

END: Final = parse_time("1998-06-30T00:00:00Z")
"""Where the replay of the purchases ends, in ms: the day of the last ones."""

_FILE: Final = "purchases.txt.xz"


class Entry(NamedTuple):
    """An event to send.

    Parameters
    ----------
    key : str
        Kafka key: the raw user id; empty where none can be read.
    at : int
        The event's time in ms; 0 where none can be read.
    value : bytes
        The event as JSON.
    """

    key: str
    at: int
    value: bytes


class Purchase(NamedTuple):
    """One line of the data set.

    Parameters
    ----------
    line : int
        Its number, from 1: exact duplicates are purchases of their own, told apart by it.
    customer : str
        Customer id, as in the file.
    day : str
        Date, as ``YYYYMMDD``.
    quantity : int
        How many CDs.
    revenue : float
        Amount in dollars.
    """

    line: int
    customer: str
    day: str
    quantity: int
    revenue: float


def read_purchases() -> Iterator[Purchase]:
    """Yield the purchases in the file's order."""
    packed = resources.files("segstream.demo").joinpath("data", _FILE).read_bytes()
    for line, text in enumerate(lzma.decompress(packed).decode("ascii").splitlines(), start=1):
        customer, day, quantity, revenue = text.split()
        yield Purchase(line, customer, day, int(quantity), float(revenue))


def load_purchases() -> list[Entry]:
    """Return the purchases as events, in the order of their time; those of one day in the file's order."""
    return [_entry(purchase) for purchase in sorted(read_purchases(), key=lambda purchase: purchase.day)]


def _entry(purchase: Purchase) -> Entry:
    day = purchase.day
    at = parse_time(f"{day[:4]}-{day[4:6]}-{day[6:]}")
    event = {
        "type": "track",
        "event": "Order Completed",
        "userId": purchase.customer,
        "timestamp": format_time(at),
        "messageId": str(purchase.line),
        "properties": {"revenue": purchase.revenue, "quantity": purchase.quantity},
    }
    return Entry(purchase.customer, at, orjson.dumps(event))


def load_events(path: Path, mappings: Mapping[str, SourceMapping] = MappingProxyType({})) -> list[Entry]:
    """Return the events of a file with one JSON document per line, in the file's order.

    A line ``{"topic": ..., "value": ...}`` is a document of a source. It is sent as the event that its source makes of
    it: between two topics a replay would not keep the file's order. Lines that no worker could read are sent all the same:
    they become dead letters.

    Parameters
    ----------
    path : Path
    mappings : mapping of str to Mapping
        How the documents of sources become events, by topic.

    Raises
    ------
    UsageError
        If the file cannot be read or holds no events.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    entries = [
        _keyed(event_line(line, number, mappings)) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not entries:
        raise UsageError(f"{path} holds no events; write one JSON object per line")
    return entries


def _keyed(line: bytes) -> Entry:
    try:
        document: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        return Entry("", 0, line)
    user = document.get("userId") or document.get("anonymousId") or ""
    try:
        at = parse_time(document["timestamp"])
    except (KeyError, TypeError, ValueError):
        at = 0
    return Entry(str(user), at, line)
