"""Text -> syntax tree, by lark's LALR(1) parser, with errors a marketer can act on."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from segstream.core.expressions.errors import ExpressionError
from segstream.core.expressions.hints import about_sign, about_unit

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

MAX_LENGTH: Final = 4_000
"""Characters of one condition: about a hundred comparisons."""

MAX_DEPTH: Final = 50
"""Levels of one condition. Everything after the parser recurses, twice or thrice per level."""

_STRINGS: Final = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
_DATE: Final = re.compile(
    r"(?<![\w.])(\d{4}-\d{1,2}-\d{1,2}(T[\d:.]+Z?)?|\d{1,2}([./])\d{1,2}\3\d{4})(?![\w.])"
)


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
    _check_dates(text)
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
    unit = about_unit(before, found)
    if unit is not None:
        return ExpressionError(*unit)
    if found in {"'", '"'}:
        return ExpressionError("this text has no closing quote", offset)
    hint = about_sign(before, found, text[offset + len(found) :])
    message = f"{found!r} was not expected here"
    return ExpressionError(f"{message}; {hint}" if hint else message, offset)


def _check_dates(text: str) -> None:
    """Refuse a date without quotes: read as a difference of numbers it would mean something nobody wants."""
    date = _DATE.search(_STRINGS.sub(lambda quoted: "_" * len(quoted[0]), text))
    if date is not None:
        written = f"'{date[0]}'" if "-" in date[0] else "'2024-01-31', year first"
        raise ExpressionError(f"{date[0]} is no number; a date needs quotes: {written}", date.start())


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
