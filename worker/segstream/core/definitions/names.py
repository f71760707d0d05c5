"""Names that are compared as they are: what in one is most likely a slip, so that nothing would ever be called so.

Copied from a word processor or a chat, a name comes with quotes or blanks that look like none. It would be valid, and
count nothing for ever.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_QUOTES: Final = "“”„‟‘’‚‛«»‹›\"'`´"  # noqa: RUF001 (that they look like quotes is the point)
_OPENING: Final = "“„‟«‹‘‚‛"  # noqa: RUF001 (as above)
_CLOSING: Final = "”“»›"  # noqa: RUF001 (as above; without the one that is an apostrophe too)
_UNBROKEN: Final = "\u00a0\u2007\u202f"
_INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


class Slip(NamedTuple):
    """What is wrong with a name.

    Parameters
    ----------
    message : str
        What it is, and what to write.
    offset : int
        At which of its characters.
    """

    message: str
    offset: int


def slip(name: str, *, blanks: bool = True) -> Slip | None:
    """Return what nobody means in a name, None if there is nothing of the kind.

    Parameters
    ----------
    name : str
        As the definitions have it, without what YAML takes for quotes.
    blanks : bool
        Whether an ordinary blank at an end is a slip too.

    Examples
    --------
    >>> slip("Order Completed") is None
    True
    >>> slip("“Order Completed”")
    Slip(message='the quotes around it count as part of it; write Order Completed without quotes, or in straight ones', offset=0)
    >>> slip("Order Completed ")
    Slip(message='it ends with a blank, which counts as part of it; remove that', offset=15)
    """
    return _unseen(name) or (_blank_end(name) if blanks else None) or _odd_quote(name)


def _unseen(name: str) -> Slip | None:
    """Look for what no keyboard makes."""
    for place, character in enumerate(name):
        if character in _UNBROKEN:
            return Slip(
                "it has a blank that does not break, as word processors make them; type it anew", place
            )
        if character in _INVISIBLE:
            code = f"U+{ord(character):04X}"
            return Slip(
                f"it has an invisible character, {code}, which counts as part of it; delete that", place
            )
    return None


def _blank_end(name: str) -> Slip | None:
    bare = name.strip()
    if not bare:
        return Slip("it is blank; write a name, or remove it", 0)
    if name == bare:
        return None
    if not name.startswith(bare):
        return Slip("it begins with a blank, which counts as part of it; remove that", 0)
    what, advice = "a blank", "remove that"
    if name.endswith("\n"):
        what, advice = "a line break", "write it in the line of its key, without | or >"
    return Slip(f"it ends with {what}, which counts as part of it; {advice}", len(bare))


def _odd_quote(name: str) -> Slip | None:
    first, last = name[:1], name[-1:]
    alone = sum(character in _QUOTES for character in name) == 1
    if first and first in _QUOTES and last in _QUOTES:
        bare = name.strip(_QUOTES)
        advice = f"write {bare} without quotes, or in straight ones" if bare else "write a name"
        return Slip(f"the quotes around it count as part of it; {advice}", 0)
    if alone and (first in _OPENING or last in _CLOSING):
        place = 0 if first in _OPENING else len(name) - 1
        return Slip("it has a quote at one end only, which counts as part of it; use straight quotes", place)
    return None
