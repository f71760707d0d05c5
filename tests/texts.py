"""Definitions and conditions as nobody should write them: good ones, broken in a way that a source of chance decides."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.errors import DefinitionError

_ROOT: Final = Path(__file__).parent.parent
FILES: Final = (
    _ROOT / "deploy" / "definitions" / "retail.yaml",
    _ROOT / "deploy" / "definitions" / "saas.yaml",
    _ROOT / "worker" / "segstream" / "demo" / "definitions.yaml",
)
"""Definitions that are good."""


class Chance(Protocol):
    """What decides: `random.Random`, or whatever draws for Hypothesis or a fuzzer."""

    def below(self, bound: int) -> int:
        """Return a number from 0 to ``bound - 1``."""


PIECES: Final = (
    *("\t", "\n", "\r", "\r\n", "\x00", "\x07", "\x85", "\u00a0", "\u2028", "\ufeff", "\ud800", "\U0001d518", "é", "²", "٣"),
    *(":", ": ", "- ", ", ", "#", " #", "|", ">", "|+2\n", "%YAML 1.2\n", "---\n", "...\n", "? ", "!", "!!", "@", "`"),
    *("{", "}", "[", "]", "(", ")", "'", '"', "\\", "\\x", "\\U00110000", "&a ", "*a", "<<: *a", "*"),
    *("!!python/object:os.system ", "!!binary ", "!!set ", "!!int x", "!!float ", "!!timestamp 2001-01-01", "!!null x", "!<> "),
    *("null", "~", "true", "NO", "on", "0x", "0o9", "0b2", "1_000", "1e999", "-1e999", ".inf", ".nan", "-0", "9" * 5_000),
    *("{" * 3_000, "[" * 20_000, "(" * 300, "not " * 400, "-" * 3_000, "- " * 2_000, "? " * 3_000, "x" * 5_000, "a: " * 50),
    *(" and ", " or ", " not ", " in ", " in [", "==", "!=", "=", "<", ">= ", "+", "-", "*", "/", "/ 0", "since(", ".", ".."),
    *(" contains ", " starts_with ", " matches ", "matches '(a*)*b'", "matches '(?<x>'", "matches '\\\\'", "60d", "99999999999d"),
    *("0d", "1y", "30 d", "1e400", "1e-400", "traits.", "traits.age", "exists(", "2024-01-31", "'2024-13-45'", "window: 0s\n"),
    *("version: 1\n", "version: 2\n", "features:\n", "segments:\n", "groups:\n", "sources:\n", "  x: {op: count}\n", "  1: 2\n"),
    *("a: &a [*a, *a]\n", "a: &a {<<: *a}\n", "k: v\nk: v\n", "? [x]\n: y\n", "'': ''\n", "renamed_from: x\n", "op: sum", "op: 7"),
    "".join(f"{name}: &{name} [{','.join([f'*{former}'] * 8)}]\n" for former, name in pairwise("abcdefg")).replace("*a", "x"),
)  # fmt: skip
"""What is put in somewhere."""


@cache
def good(number: int) -> str:
    """Return the text of one of `FILES`."""
    return FILES[number % len(FILES)].read_text("utf-8")


@cache
def conditions() -> tuple[str, ...]:
    """Return all conditions of `FILES`, without quotes around them."""
    found = re.findall(
        r"^\s+(?:when|leave_when): (.+)$", "\n".join(map(good, range(len(FILES)))), re.MULTILINE
    )
    return tuple(dict.fromkeys(each.strip("'\"") for each in found))


def broken(chance: Chance, text: str, times: int) -> str:
    """Change a text in ``times`` places: characters, pieces, words, lines and blocks.

    Parameters
    ----------
    chance : Chance
    text : str
    times : int
    """
    for _ in range(times):
        text = _CHANGES[chance.below(len(_CHANGES))](chance, text)[:MOST]
    return text


MOST: Final = 200_000
"""Characters: what is repeated again and again should not fill the memory of the tests."""


def _delete(chance: Chance, text: str) -> str:
    at = chance.below(len(text) + 1)
    return text[:at] + text[at + 1 + chance.below(3) :]


def _insert(chance: Chance, text: str) -> str:
    at = chance.below(len(text) + 1)
    return text[:at] + PIECES[chance.below(len(PIECES))] + text[at:]


def _swap(chance: Chance, text: str) -> str:
    at = chance.below(len(text) + 1)
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def _copy_characters(chance: Chance, text: str) -> str:
    begin, at = chance.below(len(text) + 1), chance.below(len(text) + 1)
    return text[:at] + text[begin : begin + chance.below(80)] * (1 + chance.below(4)) + text[at:]


def _cut(chance: Chance, text: str) -> str:
    return text[: chance.below(len(text) + 1)]


def _change_word(chance: Chance, text: str) -> str:
    words = list(re.finditer(r"[\w.]+", text))
    if not words:
        return text
    word, other = words[chance.below(len(words))], words[chance.below(len(words))]
    return text[: word.start()] + other[0] + text[word.end() :]


def _change_value(chance: Chance, text: str) -> str:
    words = list(re.finditer(r"[\w.]+|'[^'\n]*'", text))
    if not words:
        return text
    word = words[chance.below(len(words))]
    return text[: word.start()] + PIECES[chance.below(len(PIECES))] + text[word.end() :]


def _copy_lines(chance: Chance, text: str) -> str:
    lines = text.split("\n")
    begin, at = chance.below(len(lines)), chance.below(len(lines) + 1)
    lines[at:at] = lines[begin : begin + 1 + chance.below(12)] * (1 + chance.below(2))
    return "\n".join(lines)


def _indent(chance: Chance, text: str) -> str:
    lines = text.split("\n")
    begin = chance.below(len(lines))
    for at in range(begin, min(begin + 1 + chance.below(5), len(lines))):
        lines[at] = "  " + lines[at] if chance.below(2) else lines[at][1:]
    return "\n".join(lines)


def _remove_lines(chance: Chance, text: str) -> str:
    lines = text.split("\n")
    begin = chance.below(len(lines))
    del lines[begin : begin + 1 + chance.below(6)]
    return "\n".join(lines)


def _double(chance: Chance, text: str) -> str:
    return text * (2 + chance.below(2))


_CHANGES: Final = (
    _delete, _delete, _insert, _insert, _swap, _copy_characters, _cut, _change_word, _change_word, _change_value,
    _change_value, _copy_lines, _copy_lines, _indent, _remove_lines, _double,
)  # fmt: skip


def check(text: str) -> list[DefinitionError]:
    """Read definitions, which must end with them or with mistakes that each have a place; return the mistakes."""
    with ending():
        mistakes = find_mistakes(text, "f.yaml")
        if not mistakes:
            read_definitions(text, "f.yaml")
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for mistake in mistakes:
        told = str(mistake)
        assert told == f"f.yaml:{mistake.line}:{mistake.column}: {mistake.message}", told
        assert mistake.message
        assert len(told.splitlines()) == 1, told
        assert 1 <= mistake.line <= len(lines), told
        line = lines[mistake.line - 1]
        assert 1 <= mistake.column <= len(line) + 1, told
        if line:
            shown, caret = mistake.excerpt().split("\n")
            assert caret.lstrip(" ") == "^", told
            assert len(shown) <= MOST_SHOWN, told
            assert len(caret) <= len(shown) + 1, told
    return mistakes


@contextmanager
def ending() -> Iterator[None]:
    """Fail what takes `CPU_SECONDS` of this process' own time: it hangs, or might as well."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"reading this takes more than {CPU_SECONDS} s of CPU")

    former = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)


CPU_SECONDS: Final = 20
"""A hundred times what any text of these tests takes."""


MOST_SHOWN: Final = 300
"""Characters of an excerpt."""
