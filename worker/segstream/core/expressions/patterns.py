"""Regular expressions whose cost is bounded: RE2's, which take time in proportion to the text, whatever the pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.core.expressions.errors import ExpressionError
from segstream.core.features.told import LONGEST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_PATTERN: Final = 200
"""Characters of a pattern."""

MEMORY: Final = 1 << 17
"""Bytes that a compiled pattern may take, its cache included: a thousand patterns stay below 128 MiB."""

_ADVICE: Final = {
    "perl operator": "look-ahead and look-behind are not possible",
    "escape sequence": "back-references are not possible; a backslash itself is written twice",
    "missing ]": "close the [, or write \\[ for the character",
    "missing )": "close the (, or write \\( for the character",
    "unexpected )": "open a (, or write \\) for the character",
    "no argument": "a *, + or ? repeats what stands before it; for any text write .*",
    "repetition size": "at most 1000 repetitions are possible",
    "too large": "shorten it",
}


def pattern(text: str, offset: int = 0) -> Callable[[str], bool | None]:
    r"""Compile a pattern to a function that says whether it is found anywhere in a text.

    Parameters
    ----------
    text : str
        In RE2's syntax: ``^pro``, ``@acme\.com$``, ``(?i)vip``. Capitals count unless told otherwise by ``(?i)``.
    offset : int
        Where it stands, for the error.

    Returns
    -------
    callable
        Of a text longer than 1,000 characters it says None: unknown.

    Raises
    ------
    ExpressionError
        If it is too long or no pattern.

    References
    ----------
    https://github.com/google/re2/wiki/Syntax

    Examples
    --------
    >>> shop = pattern(r"@(shop|store)\.com$")
    >>> shop("ada@shop.com"), shop("ada@shop.com.au")
    (True, False)
    >>> pattern("(pro")
    Traceback (most recent call last):
    segstream.core.expressions.errors.ExpressionError: '(pro' is not a pattern: missing ); close the (, or write \( for the character
    """
    if len(text) > LONGEST_PATTERN:
        message = f"the pattern has {len(text)} characters; at most {LONGEST_PATTERN} are allowed"
        raise ExpressionError(message, offset)
    # Imported at the first pattern: most definitions have none.
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY
    options.never_capture = True
    try:
        found = re2.compile(text, options).search
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace").split(":")[0]
        advice = next((f"; {told}" for word, told in _ADVICE.items() if word in reason), "")
        raise ExpressionError(f"{text!r} is not a pattern: {reason}{advice}", offset) from None
    except UnicodeEncodeError:
        raise ExpressionError(f"{text!r} is not a pattern: it is not valid Unicode", offset) from None

    def matches(value: str) -> bool | None:
        if len(value) > LONGEST_TEXT:
            return None
        # As bytes, so that RE2 need not count characters for a span nobody asks for.
        return found(value.encode("utf-8", "replace")) is not None

    return matches
