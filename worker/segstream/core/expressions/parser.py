"""Text -> syntax tree, by lark's LALR(1) parser, with errors a marketer can act on."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from segstream.core.expressions.errors import ExpressionError

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

MAX_LENGTH: Final = 4_000
"""Characters of one condition: about a hundred comparisons."""

MAX_DEPTH: Final = 50
"""Levels of one condition. Everything after the parser recurses, twice or thrice per level."""

_INSTEAD: Final = {
    "=": "to compare, write ==",
    "!": "to negate, write not; to compare, write !=",
    "&": "write and",
    "|": "write or",
    "%": "write a fraction: 0.1 for 10 percent",
    "“": "use straight quotes: 'text'",
    "”": "use straight quotes: 'text'",
    "‘": "use straight quotes: 'text'",  # noqa: RUF001 (as below)
    "’": "use straight quotes: 'text'",  # noqa: RUF001 (that it looks like a quote is the point)
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "$": "amounts are plain numbers: 500",
    "€": "amounts are plain numbers: 500",
    ".": "write 0.5, not .5",
    "^": "there are no powers",
}
_UNITS: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*((s|m|h|d|w)|(sec|min|hour|day|week)\w*|(month|year)\w*|mo|y)$", re.IGNORECASE
)
_LETTERS: Final = {"sec": "s", "min": "m", "hour": "h", "day": "d", "week": "w"}


@cache
def _lark() -> Lark:
    # Imported and built at the first condition: reading the package must stay cheap.
    from lark import Lark  # noqa: PLC0415

    grammar = resources.files(__package__ or "").joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def parse(text: str) -> Tree[Token]:
    """Read a condition or a number into lark's tree.

    Raises
    ------
    ExpressionError
        If the text does not fit the grammar, or is too long or too deep.

    Examples
    --------
    >>> parse("orders >= 3").data
    'compare'
    >>> parse("orders = 3")
    Traceback (most recent call last):
    segstream.core.expressions.errors.ExpressionError: '=' was not expected here; to compare, write ==
    """
    if len(text) > MAX_LENGTH:
        message = f"the condition has {len(text)} characters; at most {MAX_LENGTH} are allowed, split it into features"
        raise ExpressionError(message, MAX_LENGTH)
    if not text.strip():
        raise ExpressionError("the condition is empty; write for instance orders >= 3")
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken  # noqa: PLC0415 (as above)

    try:
        tree = _lark().parse(text)
    except UnexpectedCharacters as error:
        raise _unexpected(text, error.pos_in_stream or 0, error.char) from None  # type: ignore[redundant-expr]  # lark: None, until set
    except UnexpectedToken as error:
        if error.token.type == "$END":
            raise _unexpected_end(text) from None
        raise _unexpected(text, error.token.start_pos or 0, str(error.token)) from None
    _check_depth(tree)
    return tree


def _unexpected_end(text: str) -> ExpressionError:
    words = text.split()
    message = f"something is missing after {words[-1]!r}"
    if text.count("(") > text.count(")"):
        message = "a closing ) is missing"
    elif text.count("[") > text.count("]"):
        message = "a closing ] is missing"
    return ExpressionError(f"the condition ends too early: {message}", len(text.rstrip()))


def _unexpected(text: str, offset: int, found: str) -> ExpressionError:
    before = text[:offset].rstrip()
    amount = _UNITS.search(f"{_last_word(before)} {found}")
    if amount and not found.startswith(tuple("'\"")):
        return ExpressionError(_about_unit(amount), before.rindex(_last_word(before)))
    if found[0] in "'\"" and len(found) == 1:
        return ExpressionError("this text has no closing quote", offset)
    message = f"{found!r} was not expected here"
    hint = _INSTEAD.get(found[0])
    if found == ">" and before.endswith("<"):
        hint = "to compare, write !="
    elif found == "," and re.search(r"\d$", before):
        hint = "write numbers without commas: 1000"
    elif found.lower() in {"and", "or", "not", "in"} and found != found.lower():
        hint = f"write {found.lower()} in small letters"
    elif found.lower() == "is":
        hint = "to compare, write =="
    elif found.lower() == "between":
        hint = "write x >= 1 and x <= 5"
    return ExpressionError(f"{message}; {hint}" if hint else message, offset)


def _last_word(before: str) -> str:
    words = before.split()
    return words[-1] if words else ""


def _about_unit(amount: re.Match[str]) -> str:
    number, word, letter, unit, _ = amount.groups()
    if letter or unit:
        letter = (letter or _LETTERS[unit.lower()]).lower()
        if "." in number:
            return f"a duration is made of whole numbers: write 36h, not {number}{letter}"
        return f"write {number}{letter}, without a space and with one letter for the unit"
    return f"{word} is not a unit, its length varies; write days, for instance 30d or 365d"


def _check_depth(tree: Tree[Token]) -> None:
    from lark import Tree as LarkTree  # noqa: PLC0415 (as above)

    # Not recursive on purpose: this is what makes it safe for all that follows to be.
    level: list[Tree[Token]] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.children if isinstance(child, LarkTree)]
        if not level:
            return
    message = f"the condition is nested more than {MAX_DEPTH} levels deep; split it into several"
    raise ExpressionError(message, getattr(level[0].meta, "start_pos", 0))
