"""What to write instead: advice on names, functions, signs and words that the language does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, Protocol

from segstream.core.closest import closest

FUNCTIONS: Final = {
    "since": (1, "one time"),
    "exists": (1, "one name"),
    "coalesce": (2, "a value and what stands in for it"),
    "in_segment": (1, "one segment's name in quotes"),
}
"""Function -> how many arguments it takes, and what those are."""

WORDS: Final = ("and", "or", "not", "in", "true", "false", "contains", "starts_with", "matches")
"""The words that are no names of functions."""

_NOTHING: Final = ("null", "none", "nil", "unknown", "empty", "undefined")
_SHOWN: Final = 6

_NO_FUNCTION: Final = "there are since(x), exists(x) and coalesce(x, 0); counts and sums are features"
_ANY_CASE: Final = "texts are compared as they are; for any case write x matches '(?i)^vip$'"
_INSTEAD_OF_FUNCTION: Final = {
    **dict.fromkeys(("now", "today", "ago", "datediff"), "the time passed is since(x): since(x) > 60d"),
    **dict.fromkeys(("day", "days", "weeks", "months"), "write a duration: since(x) > 60d"),
    **dict.fromkeys(("ifnull", "nvl", "default"), "write coalesce(x, 0)"),
    **dict.fromkeys(("isnull", "is_null", "isempty"), "write not exists(x)"),
    **dict.fromkeys(("lower", "upper"), _ANY_CASE),
    "if": "join conditions with and, or, not",
}

_AMOUNT: Final = "amounts are plain numbers: 500"
_STRAIGHT: Final = "use straight quotes: 'text'"
_UNSEEN: Final = "it is invisible; delete it"
_INSTEAD_OF_SIGN: Final = {
    "=": "to compare, write ==",
    "!": "to negate, write not; to compare, write !=",
    "&": "write and",
    "|": "write or",
    "%": "write a fraction: 0.1 for 10 percent",
    **dict.fromkeys("“”„‘’‚«»`´", _STRAIGHT),  # noqa: RUF001 (that they look like quotes is the point)
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "×": "write *",  # noqa: RUF001 (as above)
    "÷": "write /",
    "–": "for minus, write -",  # noqa: RUF001 (as above)
    "−": "for minus, write -",  # noqa: RUF001 (as above)
    **dict.fromkeys("$€£¥₹", _AMOUNT),
    ".": "write 0.5, not .5",
    "^": "there are no powers",
    ";": "a condition is one line without ; at its end",
    "{": "names stand without brackets, lists in square ones: ['DE', 'NO']",
    "?": "there is no ?; join conditions with and, or, not",
    "@": "names stand without @",
    "#": "comments stand outside the quotes",
    "\\": "write \\ only inside the quotes of a text",
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", _UNSEEN),
}

_LOOKS: Final = "write x contains 'text', x starts_with 'text' or x matches 'pattern'"
_INSTEAD_OF_WORD: Final = {
    "is": "to compare, write ==",
    "equals": "to compare, write ==",
    "between": "write x >= 1 and x <= 5",
    "ago": "the time passed is since(x): since(x) > 60d",
    **dict.fromkeys(("like", "startswith", "begins", "starts", "endswith", "ends", "ends_with"), _LOOKS),
    **dict.fromkeys(("eur", "euro", "euros", "usd", "dollar", "dollars", "gbp"), _AMOUNT),
    **dict.fromkeys(("percent", "pct"), "write a fraction: 0.1 for 10 percent"),
    **dict.fromkeys(("than", "more", "less", "greater", "above", "below", "over", "under"), "write > or <"),
    "where": "a feature has its own where: beside its op",
    "xor": "join conditions with and, or, not",
}

_UNITS: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*((s|m|h|d|w)|(sec|min|hour|day|week)\w*|(month|year)\w*|mo|y)$", re.IGNORECASE
)
_GROUPED: Final = re.compile(r"\b\d{1,3}\.\d{3}$")
_LETTERS: Final = {"sec": "s", "min": "m", "hour": "h", "day": "d", "week": "w"}


class Advise(Protocol):
    """Gives advice on an unknown name; see `about_name`."""

    def __call__(self, name: str, known: Iterable[str], *, beside_text: bool) -> str:
        """Return the advice, beginning with a semicolon."""


def about_name(name: str, known: Iterable[str], *, beside_text: bool) -> str:  # noqa: PLR0911 (one line per mistake)
    """Return advice on an unknown name, beginning with a semicolon.

    Parameters
    ----------
    name : str
        As written.
    known : iterable of str
        The names there are.
    beside_text : bool
        Whether it is compared with a text.

    Examples
    --------
    >>> about_name("traits.plan", ["orders"], beside_text=True)
    '; declare it under traits, for instance traits: {plan: text}'
    """
    if name.lower() in WORDS:
        return f"; write {name.lower()} in small letters"
    if name.lower() in _NOTHING:
        return "; whether a value is known is asked by exists(x)"
    root, _, rest = name.partition(".")
    if root in {"properties", "context"} and rest:
        return f"; conditions read features: define one with of: {name}"
    names = sorted(known)
    alike = [one.lower() for one in names if (root == "traits") is one.startswith("traits.")]
    prefix = "traits." if root == "traits" else ""
    near = closest(name.lower().removeprefix(prefix), [one.removeprefix(prefix) for one in alike], 0.7)
    meant = {f"traits.{name.lower()}", *([] if near is None else [prefix + near])}
    for one in names:
        if one.lower() in meant:
            return f"; did you mean {one!r}?"
    if root == "traits" and rest:
        return f"; declare it under traits, for instance traits: {{{rest}: text}}"
    if beside_text:
        return f"; a text needs quotes: '{name}'"
    if name.lower() in {"yes", "no", "on", "off"}:
        return "; truth values are true and false"
    if not names:
        return "; no features are defined"
    return f"; known are {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"


def about_function(name: str) -> str:
    """Return advice on an unknown function."""
    near = get_close_matches(name.lower(), FUNCTIONS, 1)
    return f"did you mean {near[0]!r}?" if near else _INSTEAD_OF_FUNCTION.get(name.lower(), _NO_FUNCTION)


def about_sign(before: str, found: str, after: str = "") -> str:
    """Return advice on a sign or word that does not fit where it stands; empty if there is none.

    Parameters
    ----------
    before : str
        The condition up to there, without blanks at its end.
    found : str
        The sign or word.
    after : str
        What follows it.

    Examples
    --------
    >>> about_sign("orders", "=", "> 3")
    'write >='
    """
    word, last = found.lower(), last_word(before)
    return (
        _about_pair(before, found, after)
        or _about_number(before, found)
        or _about_neighbour(last, word, found, after)
        or _INSTEAD_OF_WORD.get(word)
        or _INSTEAD_OF_SIGN.get(found[:1], "")
    )


def _about_pair(before: str, found: str, after: str) -> str:
    if before.endswith("<") and found == ">":
        return "to compare, write !="
    if found == "=" and after[:1] in {">", "<"}:
        return f"write {after[0]}="
    if found == ")" and before.count("(") <= before.count(")"):
        return "no ( is open; remove it or open one before"
    words = before.lower().split()[-2:]
    if len(words) == 2 and words[0] == words[1] and words[0] in WORDS:  # noqa: PLR2004 (a pair)
        return f"one {words[0]} is enough"
    if not before and found in {"==", "!=", "<", "<=", ">", ">="}:
        return "name what is compared before it"
    return ""


def _about_number(before: str, found: str) -> str:
    if not before[-1:].isdigit():
        return ""
    if found == ",":
        return "write numbers without commas: 1000"
    if found == ".":
        grouped = _GROUPED.search(before) is not None
        return "write numbers without separators: 1000000" if grouped else "write 500, not 500."
    thousands = found[1:] if found[0] == "_" else found
    return "write numbers without separators: 1000" if thousands.isdigit() and len(thousands) == 3 else ""  # noqa: PLR2004 (a thousand has three noughts)


def _about_neighbour(last: str, word: str, found: str, after: str) -> str:  # noqa: PLR0911 (one line per mistake)
    if word in WORDS and found != word:
        return f"write {word} in small letters"
    if last.lower() in WORDS and last.lower() != last:
        return f"write {last.lower()} in small letters"
    if last in FUNCTIONS:
        return f"write {last}({found})"
    if last == "in" or found == "[":
        return "a list stands after in, in square brackets: x in ['DE', 'NO']"
    if word in {"contains", "starts_with", "matches"} and last == "not":
        return f"write not before the whole: not x {word} 'text'"
    if word == "is" and after.split()[:1] == ["not"]:
        return "to compare, write !="
    return ""


def about_unit(before: str, found: str) -> tuple[str, int] | None:
    """Return advice on a duration that is not written as one, and where that begins; None if it is none."""
    last = last_word(before)
    amount = _UNITS.search(f"{last} {found}")
    if amount is None or found.startswith(("'", '"')):
        return None
    offset = before.rindex(last) + (amount.start() if amount.start() < len(last) else 0)
    number, word, letter, unit, _ = amount.groups()
    if not (letter or unit):
        return f"{word} is not a unit, its length varies; write days, for instance 30d or 365d", offset
    letter = (letter or _LETTERS[unit.lower()]).lower()
    if "." in number:
        return f"a duration is made of whole numbers: write 36h, not {number}{letter}", offset
    return f"write {number}{letter}, without a space and with one letter for the unit", offset


def last_word(before: str) -> str:
    """Return what stands after the last blank."""
    words = before.split()
    return words[-1] if words else ""


def about_segment(name: str, known: Iterable[str]) -> str:
    """Return what is wrong with asking for a segment that there is not.

    Parameters
    ----------
    name : str
        As written.
    known : iterable of str
        What may be asked for, as ``in_segment('high_value')``.

    Examples
    --------
    >>> about_segment("high_valu", ["in_segment('high_value')"])
    "unknown segment 'high_valu'; did you mean 'high_value'?"
    """
    names = sorted(text[len("in_segment('") : -len("')")] for text in known)
    if not names:
        return "in_segment() has no place here; it is for conditions of segments"
    close = closest(name.lower(), names, 0.7)
    shown = f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
    return f"unknown segment {name!r}; {f'did you mean {close!r}?' if close else f'known are {shown}'}"
