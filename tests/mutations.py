"""Records as no producer should send them: valid events of the Segment spec, broken in a way that a seed decides.

A record is a function of (seed, number) alone, so that any of them can be made again without those before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from random import Random
from typing import Any, Final, TypeAlias

from segstream.core.records import LogRecord
from segstream.core.time import DAY, MINUTE, format_time

Document: TypeAlias = dict[str, Any]

NAMES: Final = ("Order Completed", "Product Viewed", "Order Refunded", "Checkout Step Viewed")

# Written in a document's place first, then replaced in its text: none of these can be written by a JSON library.
TOKENS: Final = {
    "@nan@": b"NaN",
    "@infinity@": b"-Infinity",
    "@huge@": b"1e999",
    "@tiny@": b"1e-999",
    "@digits@": b"7" * 5_000,
    "@surrogate@": b'"\\ud800"',
    "@pair@": b'"\\udc00\\ud800"',
    "@raw@": b'"\xed\xa0\x80"',
    "@control@": b'"a\x01b"',
    "@octal@": b"017",
    "@deep@": b"[" * 40 + b"]" * 40,
    "@deeper@": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    "@open@": b"[" * 20_000,
}

VALUES: Final[tuple[Any, ...]] = (
    *TOKENS,
    *(None, True, False, 0, -1, 2**31, 2**53 + 1, 2**63, -(2**64), 1.5, -0.0, 1e308, 5e-324),
    *("", " ", "\u0000", "a\nb", "\u202e", "\U0001d518\U0001d52b", "x" * 600, "anon:x", "1997", "1997-02-30T00:00:00Z", "9999-12-31T23:59:59.999Z"),
    *("0001-01-01T00:00:00Z", "1970-01-01", "now", "1e3", "true", "{}", "-1", "é" * 300),
    *([], {}, [1, [2, [3]]], {"a": {"b": []}}, [None], {"": ""}, ["x"] * 200),
)  # fmt: skip


def valid(chance: Random, user: str, at: int) -> Document:
    """Return an event as it should be, of a shop's visitor.

    Parameters
    ----------
    chance : Random
    user : str
    at : int
        When it happens, in ms.
    """
    document: Document = {
        "userId": user,
        "timestamp": format_time(at),
        "messageId": f"{chance.getrandbits(64):x}",
    }
    kind = chance.random()
    if kind < 0.7:
        document |= {
            "type": "track",
            "event": chance.choice(NAMES),
            "properties": {
                "revenue": chance.randrange(20_000) / 100,
                "total": chance.randrange(9_000) / 100,
                "order_id": f"o{chance.randrange(40)}",
                "checkout_id": f"c{chance.randrange(40)}",
                "step": chance.randrange(4),
                "coupon": chance.choice(["", "SPRING"]),
                "products": [
                    {"sku": f"s{chance.randrange(9)}", "price": chance.randrange(50)} for _ in range(2)
                ],
            },
            "context": {"device": {"type": chance.choice(["ios", "android", "tv"])}},
        }
    elif kind < 0.85:
        document |= {
            "type": "identify",
            "traits": {
                "birthday": f"{chance.randrange(1930, 2010)}-05-17",
                "age": chance.randrange(90),
                "income": chance.randrange(90_000),
                "address": {"country": chance.choice(["NO", "SE", "DE"])},
            },
        }
    else:
        document |= {"type": chance.choice(["page", "screen"]), "name": "Home", "properties": {"path": "/"}}
    return document


def row(chance: Random, user: str, at: int) -> Document:
    """Return a row of a shop's CRM, which `sources` of the ready-made definitions for shops make an event of."""
    return {
        "customer_no": user,
        "updated_at": format_time(at),
        "born": f"{chance.randrange(1930, 2010)}-05-17",
        "yearly_income": chance.randrange(90_000),
        "address": {"country_code": chance.choice(["NO", "SE", "DE"]), "lines": ["Street 1", None]},
    }


def mutated(seed: int, number: int, user: str, at: int, topic: str = "events") -> LogRecord:
    """Return a broken record, in partition 0; its offset is ``number``.

    Parameters
    ----------
    seed, number : int
        Decide everything.
    user : str
        Whose it would be.
    at : int
        When it arrives, in ms.
    topic : str
        ``events`` for events of the Segment spec, any other for rows of a CRM.
    """
    chance = Random(seed * 1_000_003 + number)
    document = (valid if topic == "events" else row)(chance, user, at - chance.randrange(40) * DAY)
    sound = repr(document)
    for _ in range(chance.choice((0, 1, 1, 2))):
        chance.choice(IN_DOCUMENTS)(chance, document)
    try:
        text = json.dumps(document, ensure_ascii=chance.random() < 0.5).encode()
    except UnicodeEncodeError:
        text = json.dumps(document).encode()
    for token, written in TOKENS.items():
        text = text.replace(b'"' + token.encode() + b'"', written)
    value: bytes | None = text
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        value = chance.choice(IN_BYTES)(chance, value or b"")
    if chance.random() < 0.005:
        value = chance.choice((None, b"", text + b" " * 300_000))
    key: bytes | None = user.encode()
    if chance.random() < 0.1:
        key = chance.choice((None, b"", b"\xff\xfe", b"k" * 5_000))
    headers: tuple[tuple[str, bytes], ...] = ()
    if chance.random() < 0.1:
        headers = chance.choice(HEADERS)
    arrival = at if chance.random() < 0.98 else chance.choice((-1, 0, at - DAY))
    if (value, key, headers, arrival, repr(document)) == (text, user.encode(), (), at, sound):
        while value == text:
            value = _flip(chance, text)
    return LogRecord(topic, 0, number, arrival, key, value, headers)


HEADERS: Final[tuple[tuple[tuple[str, bytes], ...], ...]] = (
    (("trace", b"\xff"),),
    (("", b""), ("", b"x")),
    (("segstream-clock", b"12"),),
    (("segstream-clock", b"-1"),),
    (("segstream-clock", b"9" * 400),),
    (("segstream-clock", "٣".encode()),),
    (("x", b"y"), ("segstream-clock", b"")),
)


# ------------------------------------------------------------------------------------------ in the document


def _any_place(chance: Random, document: Document) -> tuple[Any, Any]:
    """Return a container in a document, and a key or index in it."""
    container: Any = document
    while True:
        places = list(container) if isinstance(container, dict) else list(range(len(container)))
        place = chance.choice(places)
        inner = container[place]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            return container, place
        container = inner


def _value(chance: Random) -> Any:
    # A copy: what is changed next may be inside of it.
    return deepcopy(chance.choice(VALUES))


def _change_type(chance: Random, document: Document) -> None:
    container, place = _any_place(chance, document)
    container[place] = _value(chance)


def _change_field(chance: Random, document: Document) -> None:
    names = (
        "type",
        "userId",
        "anonymousId",
        "messageId",
        "timestamp",
        "event",
        "name",
        "properties",
        "traits",
    )
    document[chance.choice(names)] = _value(chance)


def _change_times(chance: Random, document: Document) -> None:
    document.pop("timestamp", None)
    for name in chance.sample(("originalTimestamp", "sentAt", "receivedAt"), chance.randrange(4)):
        document[name] = _value(chance) if chance.random() < 0.3 else "2019-05-17T12:00:00Z"


def _shift(chance: Random, document: Document) -> None:
    document["timestamp"] = chance.choice(
        ("2999-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "2020-09-13T12:26:40+14:00")
    )


def _remove(chance: Random, document: Document) -> None:
    container, place = _any_place(chance, document)
    if len(document) > 1:
        del container[place]


def _rename(chance: Random, document: Document) -> None:
    name = chance.choice(list(document))
    document[chance.choice((name.upper(), f" {name}", f"{name}\u0000", "", "x" * 2_000))] = document.pop(name)


def _anonymous(chance: Random, document: Document) -> None:
    document["anonymousId"] = document.pop("userId", 7)
    if chance.random() < 0.5:
        document["userId"] = chance.choice((None, "", 0, -7))


def _many(chance: Random, document: Document) -> None:
    document[chance.choice(("properties", "traits", "more"))] = {
        f"k{n}": n for n in range(chance.randrange(400))
    }


IN_DOCUMENTS: Final[tuple[Callable[[Random, Document], None], ...]] = (
    _change_type, _change_type, _change_field, _change_times, _shift, _remove, _rename, _anonymous, _many,
)  # fmt: skip


# --------------------------------------------------------------------------------------------- in the bytes


def _flip(chance: Random, value: bytes) -> bytes:
    found = bytearray(value or b"{")
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def _cut(chance: Random, value: bytes) -> bytes:
    return value[: chance.randrange(len(value) + 1)]


def _drop(chance: Random, value: bytes) -> bytes:
    begin = chance.randrange(len(value) + 1)
    return value[:begin] + value[begin + chance.randrange(9) :]


def _insert(chance: Random, value: bytes) -> bytes:
    begin = chance.randrange(len(value) + 1)
    return value[:begin] + chance.choice(PIECES) + value[begin:]


def _repeat(chance: Random, value: bytes) -> bytes:
    begin = chance.randrange(len(value) + 1)
    piece = value[begin : begin + chance.randrange(60)]
    return value[:begin] + piece * chance.choice((1, 1, 2, 50)) + value[begin:]


def _same_key(chance: Random, value: bytes) -> bytes:
    """Write a key a second time: the last one counts for most parsers, the first for others."""
    again = chance.choice(
        (b'"userId": null', b'"type": 7', b'"timestamp": "x"', b'"properties": []', b'"messageId": "twice"')
    )
    begin = value.find(b"{") + 1
    end = value.rfind(b"}")
    if chance.random() < 0.5 or end < begin:
        return value[:begin] + again + b", " + value[begin:]
    return value[:end] + b", " + again + value[end:]


def _encode(chance: Random, value: bytes) -> bytes:
    text = value.decode("utf-8", "replace")
    return text.encode(chance.choice(("utf-8-sig", "utf-16", "utf-32-le", "utf-7")), "replace")


def _wrap(chance: Random, value: bytes) -> bytes:
    before, after = chance.choice(
        ((b"[", b"]"), (b"", b"\n{}"), (b'{"a":', b"}"), (b"// x\n", b""), (b"'", b"'"))
    )
    return before + value + after


PIECES: Final = (
    *(b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\\u0000", b"\\ud83d", b'"', b"\\", b"{", b"]", b","),
    *(b"\xef\xbb\xbf", b"1e400", b"[" * 2_000, b'{"a":' * 100, b"//", b"\r\n", b"\xe2\x80\xa8"),
)  # fmt: skip

IN_BYTES: Final[tuple[Callable[[Random, bytes], bytes], ...]] = (
    _flip, _flip, _flip, _cut, _drop, _insert, _repeat, _same_key, _encode, _wrap,
)  # fmt: skip


def arrival_of(number: int, start: int) -> int:
    """Return when the record with this number arrives, in ms."""
    return start + number * MINUTE


def described(record: LogRecord, seed: int) -> Mapping[str, Any]:
    """Return what to show of a record that something failed at."""
    return {
        "record": f"{seed}/{record.offset}",
        "value": (record.value or b"")[:500],
        "headers": record.headers,
    }
