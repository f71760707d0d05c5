"""What is sent on for a record that could not be applied."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final

import orjson

from segstream_schemas.dead_letters import DeadLetter

if TYPE_CHECKING:
    from segstream.core.records import Record, Rejected

KIB: Final = 1024

MAX_WHOLE: Final = 700 * KIB
"""Originals up to here are kept whole: in base64 they take 934 KiB of the 1 MiB Kafka allows a record."""

MAX_PART: Final = 512 * KIB
"""What is kept of the value of a larger one; with `MAX_REST` twice it takes 854 KiB in base64."""

MAX_REST: Final = 64 * KIB
"""What is kept of the key, and of the headers, of an original over `MAX_WHOLE`."""


def dead_letter(record: Record, rejected: Rejected) -> bytes:
    """Write what is sent to ``segment-dead-letters`` for a record: a `segstream_schemas.DeadLetter` as JSON.

    The original goes along whole, unless value, key and headers exceed `MAX_WHOLE` together: then the first
    `MAX_PART` bytes of the value, the first `MAX_REST` of the key and as many headers as fit into `MAX_REST`.

    Examples
    --------
    >>> from segstream_schemas import RejectionReason
    >>> from segstream.core.records import LogRecord, Rejected
    >>> record = LogRecord("events", 2, 17, 0, None, b"hello")
    >>> dead_letter(record, Rejected(RejectionReason.NOT_JSON, "Send JSON.", "line 1 column 1"))[:70]
    b'{"schema_version":1,"topic":"events","partition":2,"offset":17,"reason'
    """
    value, key, headers = record.value, record.key, tuple(record.headers)
    length = len(value or b"")
    truncated = length + len(key or b"") + sum(map(_size, headers)) > MAX_WHOLE
    if truncated:
        value = None if value is None else value[:MAX_PART]
        key = None if key is None else key[:MAX_REST]
        headers = fitting(headers)
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=rejected.reason.value,
        message=rejected.message,
        where=rejected.where,
        value=_base64(value),
        key=_base64(key),
        headers=tuple((name, _base64(content)) for name, content in headers),
        value_length=length,
        truncated=truncated,
    )
    return letter.model_dump_json().encode()


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()


def _size(header: tuple[str, bytes | None]) -> int:
    """Return what a header takes in the letter: a name may grow sixfold as JSON, and brackets count when it is empty."""
    name, content = header
    return len(orjson.dumps(name)) + 4 * (len(content or b"") // 3 + 1) + len('[,"",]')


def fitting(headers: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    """Return as many headers, from the first on, as fit into `MAX_REST`."""
    room = MAX_REST
    for count, header in enumerate(headers):
        room -= _size(header)
        if room < 0:
            return headers[:count]
    return headers
