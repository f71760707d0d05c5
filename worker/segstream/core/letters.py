"""Dead letters taken up again: the record inside, which of them are wanted, and where in the record it went wrong."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from segstream_schemas.dead_letters import DeadLetter

REPLAYED_HEADER: Final = "segstream-replayed"
"""On a record that was sent again: where its dead letter lies, as ``topic-partition-offset``."""

_AROUND: Final = 60
"""Characters shown on either side of a place: two make a line of a terminal."""

_SHOWN: Final = 4_000
"""Characters of a value that are shown."""


class Letter(NamedTuple):
    """A dead letter where it lies.

    Parameters
    ----------
    partition, offset : int
        Its own place, in the topic of dead letters.
    at : int
        When it was told, in ms.
    content : DeadLetter
    """

    partition: int
    offset: int
    at: int
    content: DeadLetter

    @property
    def place(self) -> str:
        """Its own place, as commands take it."""
        return f"{self.partition}-{self.offset}"

    @property
    def origin(self) -> str:
        """The place of the record that could not be applied, as default message ids have it."""
        return f"{self.content.topic}-{self.content.partition}-{self.content.offset}"


class Original(NamedTuple):
    """The record inside of a letter, as it was sent."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Wanted(NamedTuple):
    """Which letters are meant; what is None is left open.

    Parameters
    ----------
    reasons : collection of str
        Any of these; empty for all.
    topic, key : str or None
        Topic and key of the original.
    since, until : int or None
        When it was told: from the one on, before the other (ms).
    """

    reasons: Collection[str] = ()
    topic: str | None = None
    key: str | None = None
    since: int | None = None
    until: int | None = None

    def fits(self, letter: Letter) -> bool:
        """Tell whether a letter is one of them.

        Examples
        --------
        >>> content = DeadLetter.model_validate_json(
        ...     '{"topic":"events","partition":2,"offset":17,"reason":"not_json","message":"No JSON.","where":"",'
        ...     '"value":"aGVsbG8=","key":"MDAwNDI=","headers":[],"value_length":5}'
        ... )
        >>> letter = Letter(2, 0, 865987200000, content)
        >>> Wanted(key="00042", since=0).fits(letter), Wanted(["misplaced"]).fits(letter)
        (True, False)
        """
        content = letter.content
        return (
            (not self.reasons or content.reason in self.reasons)
            and (self.topic is None or content.topic == self.topic)
            and (self.key is None or opened(content.key) == self.key.encode())
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


def letter_in(value: bytes) -> DeadLetter:
    """Read a record of the topic of dead letters.

    Raises
    ------
    ValueError
        It is not one, or what should be base64 in it is not.
    """
    letter = DeadLetter.model_validate_json(value)
    original(letter)
    return letter


def opened(text: str | None) -> bytes | None:
    """Return what stands in base64.

    Raises
    ------
    ValueError
        It is not base64.
    """
    return None if text is None else b64decode(text, validate=True)


def original(letter: DeadLetter) -> Original:
    """Return the record inside, as it was sent.

    Raises
    ------
    ValueError
        It is not base64.
    """
    headers = tuple((name, opened(value)) for name, value in letter.headers)
    return Original(opened(letter.key), opened(letter.value), headers)


def mark(letter: Letter) -> int:
    """Return what a record that was sent again is known by: its place, and its bytes.

    The bytes count because a topic that is created anew has the same places again.
    """
    content = letter.content
    parts = (letter.origin, content.key, content.value)
    text = "\0".join("-" if part is None else part for part in parts)  # base64 has no -
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def shown(value: bytes | None) -> str:
    r"""Return a record's value for a person: JSON in lines, anything else as it is, what is no text escaped.

    Examples
    --------
    >>> shown(b'{"type":"page"}')
    '{\n  "type": "page"\n}'
    >>> shown(b"caf\xe9"), shown(None)
    ('caf\\xe9', '(none)')
    """
    if value is None:
        return "(none)"
    try:
        text = orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        text = value.decode("utf-8", "backslashreplace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\n… {len(text) - _SHOWN:,} characters more"


def excerpt(value: bytes | None, where: str) -> Sequence[str]:
    """Return what stands at the place that a letter names: the part of the line and a caret, or the field.

    Empty where the record as a whole is meant, or a place that it does not have.

    Examples
    --------
    >>> print(*excerpt(b'{"type": page}', "line 1 column 10"), sep="|")
    {"type": page}|         ^
    >>> print(*excerpt(b'{"timestamp": "yesterday"}', "timestamp"), sep="|")
    timestamp: "yesterday"
    """
    if value is None:
        return ()
    if found := re.fullmatch(r"line (\d{1,9}) column (\d{1,9})", where):
        line, column = map(int, found.groups())
        lines = (*value.decode("utf-8", "replace").split("\n"), "")
        return _caret(lines[line - 1], column - 1) if 1 <= line <= len(lines) else ()
    if found := re.fullmatch(r"byte (\d{1,9})", where):
        begin = int(found[1])
        before = value[max(0, begin - _AROUND) : begin].decode("utf-8", "replace").rpartition("\n")[2]
        after = value[begin : begin + _AROUND].decode("utf-8", "backslashreplace").partition("\n")[0]
        return _caret(before + after, len(before))
    try:
        document: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ()
    if not where or not isinstance(document, dict) or where not in document:
        return ()
    text = orjson.dumps(document[where]).decode()
    return (f"{where}: {text if len(text) <= 2 * _AROUND else f'{text[: 2 * _AROUND]}…'}",)


def _caret(line: str, column: int) -> tuple[str, str]:
    begin = max(0, column - _AROUND)
    return line[begin : column + _AROUND], f"{' ' * (column - begin)}^"
