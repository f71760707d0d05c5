"""JMESPath expressions: where in a source's document a value is. Checked and bounded once, when definitions are read.

References
----------
.. [1] JMESPath specification, https://jmespath.org/specification.html
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import jmespath
from jmespath.exceptions import (
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    LexerError,
    ParseError,
)
from jmespath.functions import Functions

MAX_DEPTH: Final = 40
"""Deepest nesting of an expression; ``a.b.c`` is two deep, and what people write hardly ever ten."""

MAX_COPIES: Final = 64
"""How many times an expression may repeat a part of the document in its result: ``[a, b]`` does so twice."""

FAILURES: Final = (
    JMESPathError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What searching a document may raise: a function has got a value that it cannot take."""

_SEPARATED: Final = 3
"""Bytes that a text in a list takes at least, and a separator is put behind: ``"",``."""

_SPACE: Final = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)|\s+""", re.DOTALL)
_FUNCTIONS: Final[Mapping[str, Mapping[str, Any]]] = Functions.FUNCTION_TABLE
_WORD: Final = re.compile(r"\w+")
_REFERENCE: Final = re.compile(r"(?<!&)&(?!&)")

_QUOTED: Final = (
    "a key with other signs than a to z, 0 to 9 and _ needs double quotes, for instance '\"customer-id\"'"
)
_NO_ARITHMETIC: Final = "there is no arithmetic here; send the value as it is to count"
_INSTEAD: Final = {
    "$": "a path begins with the first key: address.country, not $.address.country",
    "/": "keys are joined by dots: address.country",
    "=": "to compare, write ==",
    "-": _QUOTED,
    **dict.fromkeys("+%", _NO_ARITHMETIC),
    "#": _QUOTED,
    ":": _QUOTED,
}
_MEANT: Final = {
    "lower": "to_string", "upper": "to_string", "str": "to_string", "text": "to_string", "int": "to_number",
    "float": "to_number", "number": "to_number", "count": "length", "len": "length", "concat": "join",
    "coalesce": "not_null", "first": "not_null", "ifnull": "not_null", "nvl": "not_null",
}  # fmt: skip


class PathError(ValueError):
    """An expression that cannot be used.

    Parameters
    ----------
    message : str
        What is wrong, and what to write.
    offset : int
        Where in the expression, in characters.
    """

    def __init__(self, message: str, offset: int) -> None:
        self.message, self.offset = message, offset
        super().__init__(message)


class Path(NamedTuple):
    """A compiled expression.

    Parameters
    ----------
    text : str
        As it means the same however it is spaced.
    read : callable
        ``read(document) -> value``, None where there is nothing; it raises `FAILURES`.
    plain : bool
        Whether it only goes down keys: what it finds is a part of the document as it stands.
    constant : bool
        Whether it is the same whatever the document.
    """

    text: str
    read: Callable[[Any], Any]
    plain: bool
    constant: bool


def compile_path(text: str) -> Path:
    """Compile a JMESPath expression [1]_.

    Parameters
    ----------
    text : str
        For instance ``address.country``, ``lines[0].price``, ``name || 'unknown'``, ``join('-', [id, version])``.

    Raises
    ------
    PathError
        It is none, names a function that there is not, or could grow out of bounds.

    Examples
    --------
    >>> path = compile_path("contact . email")
    >>> path.text, path.plain, path.read({"contact": {"email": "a@example.com"}})
    ('contact.email', True, 'a@example.com')
    >>> compile_path("items[?kind=='fee'] | [0].amount").read({"items": [{"kind": "fee", "amount": 3}]})
    3
    >>> compile_path("customer-id")
    Traceback (most recent call last):
        ...
    segstream.core.sources.paths.PathError: '-' was not expected here; a key with other signs than a to z, 0 to 9 and _ needs double quotes, for instance '"customer-id"'
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)  # of a text in ` ` that is no JSON
            parsed = jmespath.compile(text)
    except RecursionError:
        raise PathError(f"the path is nested too deeply; at most {MAX_DEPTH} levels", 0) from None
    except PendingDeprecationWarning:
        advice = "between ` and ` stands JSON, such as `5` or `true`; write a text as 'text'"
        raise PathError(advice, max(text.find("`"), 0)) from None
    except JMESPathError as error:
        raise _explained(error, text) from None
    except ValueError:
        raise PathError("the path holds a number that cannot be read", 0) from None
    tree: Mapping[str, Any] = parsed.parsed
    if tree["type"] == "expref":
        raise _misplaced_reference(text)
    if _copies(tree, text, 0) > MAX_COPIES:
        raise PathError(f"the path repeats parts of the document more than {MAX_COPIES} times", 0)
    spaceless = without_space(text)
    keys = _keys(tree)
    if keys is not None:
        return Path(spaceless, _going_down(keys), plain=True, constant=False)
    return Path(spaceless, parsed.search, plain=False, constant=_constant(tree))


def without_space(text: str) -> str:
    """Return an expression without the blanks that mean nothing.

    Examples
    --------
    >>> without_space("join( ' - ', [ a, b ] )")
    "join(' - ',[a,b])"
    """
    return _SPACE.sub(lambda found: found[1] or "", text)


def _going_down(keys: tuple[str, ...]) -> Callable[[Any], Any]:
    def read(document: Any) -> Any:
        for key in keys:
            if document.__class__ is not dict:
                return None
            document = document.get(key)
        return document

    return read


def _keys(tree: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the keys of a path that goes down them and does nothing else."""
    if tree["type"] == "field":
        return (tree["value"],)
    if tree["type"] == "subexpression" and all(child["type"] == "field" for child in tree["children"]):
        return tuple(child["value"] for child in tree["children"])
    return None


def _constant(tree: Mapping[str, Any]) -> bool:
    if tree["type"] in ("field", "current", "identity"):
        return False
    return tree["type"] == "slice" or all(_constant(child) for child in tree["children"])


def _copies(tree: Mapping[str, Any], text: str, depth: int) -> int:
    """Return how often a part of the document may be in the result at most; refuse what is deep or unknown."""
    if depth > MAX_DEPTH:
        raise PathError(f"the path is nested too deeply; at most {MAX_DEPTH} levels", 0)
    if tree["type"] == "slice":  # its children are numbers
        return 1
    if tree["type"] == "function_expression":
        _check_call(tree, text)
    elif any(child["type"] == "expref" for child in tree["children"]):
        raise _misplaced_reference(text)
    children = [_copies(child, text, depth + 1) for child in tree["children"]]
    if tree["type"] == "function_expression" and tree["value"] in _GROWING:
        return _GROWING[tree["value"]](tree, children)
    if tree["type"] in ("multi_select_list", "multi_select_dict", "function_expression", "or_expression"):
        return max(sum(children), 1)
    copies = 1
    for each in children:  # one within the other: a projection, a pipe
        copies *= each
    return copies


def _check_call(tree: Mapping[str, Any], text: str) -> None:
    name, given = tree["value"], len(tree["children"])
    place = max(text.find(name), 0)
    known = _FUNCTIONS.get(name)
    if known is None:
        close = [_MEANT[name]] if name in _MEANT else get_close_matches(name, [*_FUNCTIONS], 1)
        hint = f"did you mean {close[0]}()?" if close else f"there are {', '.join(sorted(_FUNCTIONS))}"
        raise PathError(f"there is no function {name}(); {hint}", place)
    signature = known["signature"]
    takes = len(signature)
    if signature and signature[-1].get("variadic"):
        if given < takes:
            raise PathError(f"{name}() takes {_values(takes)} or more, not {given}", place)
    elif given != takes:
        raise PathError(f"{name}() takes {_values(takes)}, not {given}", place)
    for number, child in enumerate(tree["children"]):
        wants = "expref" in signature[min(number, takes - 1)]["types"]
        if wants and child["type"] != "expref":
            raise PathError(f"{name}() takes an expression, such as &price, as value {number + 1}", place)
        if not wants and child["type"] == "expref":
            raise _misplaced_reference(text)
    if name == "join":
        separator = tree["children"][0]
        if separator["type"] != "literal" or not isinstance(separator["value"], str):
            raise PathError("join() takes a text as it stands as value 1, such as ', '; never a path", place)


def _misplaced_reference(text: str) -> PathError:
    found = _REFERENCE.search(text)
    place = found.start() if found else 0
    return PathError(
        "& stands only where a function takes an expression, as in sort_by(items, &price)", place
    )


def _joined(tree: Mapping[str, Any], copies: Sequence[int]) -> int:
    separator = len(tree["children"][0]["value"].encode("utf-8", "surrogatepass"))
    return copies[1] * (1 + -(-separator // _SEPARATED))


_GROWING: Final[Mapping[str, Callable[[Mapping[str, Any], Sequence[int]], int]]] = {
    "join": _joined,
    "map": lambda _, copies: copies[0] * copies[1],
    "to_string": lambda _, copies: 2 * max(copies[0], 1),  # each quote within gets a backslash
}
"""Functions whose result may be larger than all they are given -> how often it may repeat a part of the document."""


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


def _explained(error: JMESPathError, text: str) -> PathError:
    end = len(text.rstrip())
    ends_early = isinstance(error, EmptyExpressionError | IncompleteExpressionError)
    if ends_early or (isinstance(error, ParseError) and int(error.lex_position) >= end):
        return PathError("the path ends too early: something is missing", end)
    if isinstance(error, LexerError):
        place = int(error.lexer_position)
        if "Unclosed" in str(error.message):
            return PathError("this quote is never closed", place)
        sign = text[place : place + 1]
        return PathError(f"{sign!r} was not expected here; {_INSTEAD.get(sign, _QUOTED)}", place)
    if isinstance(error, ParseError):
        return _unexpected(str(error.token_value), text, int(error.lex_position))
    return PathError(" ".join(str(error).split()), 0)


def _unexpected(token: str, text: str, place: int) -> PathError:
    before = text[:place].rstrip()
    if before.endswith("[") and text[place] in "'\"":
        return PathError(f"a key comes after a dot: write {before[:-1]}.{token}", place)
    shown, hint = (token, "") if _WORD.fullmatch(token) else (text[place], "")
    if place > len(before) and before[-1:].isalnum() and _WORD.fullmatch(token):
        key = f"{before.rpartition('.')[2]} {token}"
        hint = f"; a key with a blank needs double quotes, for instance '\"{key}\"'"
    return PathError(f"{shown!r} was not expected here{hint}", place)
