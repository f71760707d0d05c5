"""Records that could not be applied are sent on, as they came, saying why."""

from __future__ import annotations

from base64 import b64decode

import pytest

from segstream.core.dead_letters import dead_letter
from segstream.core.events import decode
from segstream.core.records import LogRecord, Rejected
from segstream_schemas import DeadLetter, RejectionReason

RECORD = LogRecord("events", 2, 17, 865_987_201_000, b"00042", b"hello")
REFUSAL = Rejected(RejectionReason.TOO_LARGE, "Send a smaller event.")


def test_a_dead_letter_has_the_bytes_of_the_contract() -> None:
    """Field by field, in order."""
    bad = RECORD._replace(headers=[("trace", b"ab"), ("trace", b"")])
    outcome = decode(bad, max_clock_skew=60_000)
    assert isinstance(outcome, Rejected)
    assert dead_letter(bad, outcome) == (
        b'{"schema_version":1,"topic":"events","partition":2,"offset":17,"reason":"not_json",'
        b'"message":"The value is not valid JSON (unexpected character, expected a JSON value); '
        b'send one JSON object per record.","where":"line 1 column 1","value":"aGVsbG8=","key":"MDAwNDI=",'
        b'"headers":[["trace","YWI="],["trace",""]],"value_length":5,"truncated":false}'
    )


def test_a_dead_letter_tells_no_value_from_an_empty_one() -> None:
    """Null is not the same as nothing in it."""
    nothing = DeadLetter.model_validate_json(dead_letter(RECORD._replace(value=None, key=None), REFUSAL))
    empty = DeadLetter.model_validate_json(dead_letter(RECORD._replace(value=b"", key=b""), REFUSAL))
    assert (nothing.value, nothing.key, empty.value, empty.key) == (None, None, "", "")


@pytest.mark.parametrize("size", [700 * 1024 - 5, 700 * 1024 - 4, 10_000_000])
def test_a_dead_letter_always_fits_into_a_kafka_record(size: int) -> None:
    """The original is kept whole up to 700 KiB; beyond, its beginning, with the full length."""
    original = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    payload = dead_letter(RECORD._replace(value=original), REFUSAL)
    letter = DeadLetter.model_validate_json(payload)
    kept = b64decode(letter.value or "")
    assert len(payload) < 1_000_000
    assert letter.value_length == size
    assert original.startswith(kept)
    assert letter.truncated == (size > 700 * 1024 - 5)
    assert len(kept) == (512 * 1024 if letter.truncated else size)


@pytest.mark.parametrize(
    "headers",
    [[("", b"")] * 200_000, [("h", b"1")] * 200_000, [("\x01" * 300, b"")] * 1_500, [("ü" * 300_000, b"x")]],
)
def test_no_headers_make_a_dead_letter_too_large(headers: list[tuple[str, bytes]]) -> None:
    """Names grow when they are escaped, and many empty ones are brackets: they are counted as they are written."""
    for value in (b"x", b"x" * 800_000):
        payload = dead_letter(RECORD._replace(value=value, headers=headers), REFUSAL)
        assert len(payload) < 1_000_000
        assert DeadLetter.model_validate_json(payload).offset == RECORD.offset


def test_large_keys_and_headers_are_cut_too() -> None:
    """What fits of them is kept, in order."""
    big = RECORD._replace(
        value=b"x" * 300_000, key=b"k" * 300_000, headers=[("a", b"1"), ("b", b"h" * 300_000), ("c", b"3")]
    )
    payload = dead_letter(big, REFUSAL)
    letter = DeadLetter.model_validate_json(payload)
    assert len(payload) < 1_000_000
    assert letter.truncated
    assert [name for name, _ in letter.headers] == ["a"]
    assert len(b64decode(letter.key or "")) == 64 * 1024
    assert letter.value_length == len(b64decode(letter.value or "")) == 300_000
