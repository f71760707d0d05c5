"""The Lua scripts, read when first used, and calls of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

Argument = bytes | str | int
"""What a command may hold; text is sent as UTF-8."""


_WRITE_TWICE: Final = frozenset(
    {"answers", "catalog", "commit", "members", "model_save", "rebuild_watch", "renew", "take_over"}
)
"""Scripts that ask for the rights they need before they write (see ``forbidden.lua``, which stands before them)."""


class Script(NamedTuple):
    """A Lua script.

    Parameters
    ----------
    text : str
        Its source.
    digest : str
        By which Redis knows it once loaded.
    """

    text: str
    digest: str


class Call(NamedTuple):
    """A command for the node that holds ``key``.

    Parameters
    ----------
    key : str
        Decides the node.
    command : list of bytes, str or int
        The command's name and arguments.
    script : Script or None
        The one it runs.
    """

    key: str
    command: list[Argument]
    script: Script | None = None


@cache
def script(name: str) -> Script:
    """Return the script ``lua/<name>.lua``, with what it uses before it.

    Examples
    --------
    >>> len(script("commit").digest)
    40
    """
    text = _text(name)
    if name in _WRITE_TWICE:
        text = _text("forbidden") + text
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _text(name: str) -> str:
    return files("segstream.adapters.redis").joinpath("lua", f"{name}.lua").read_text("utf-8")


def call(name: str, keys: list[str], arguments: Iterable[Argument] = ()) -> Call:
    """Return a call of a script on ``keys``, all of which one node must hold.

    Examples
    --------
    >>> call("model_take_over", ["segstream:models:behaviour"]).command[2:]
    [1, 'segstream:models:behaviour']
    """
    found = script(name)
    return Call(keys[0], ["EVALSHA", found.digest, len(keys), *keys, *arguments], found)
