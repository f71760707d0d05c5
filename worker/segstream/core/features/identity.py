"""When two told values are the same one, and the digest that stands for a value."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from segstream.core.features.fixed import number

if TYPE_CHECKING:
    from segstream.core.types import Value

DIGEST: Final = 8
"""Bytes of a digest. That any two of a million values share one is as likely as 1 in 10^7."""


def plain(told: float) -> float:
    """Return a number as an integer where it is whole, so that 3 and 3.0 are written alike.

    Examples
    --------
    >>> plain(3.0), plain(2.5)
    (3, 2.5)
    """
    return int(told) if told == int(told) else told


def digest_of(value: Value) -> bytes | None:
    """Return 8 bytes that stand for a value, None where nothing usable was told.

    3 and 3.0 are one value; 3, ``"3"`` and true are three. Digests in bytes order are as good as chance: which of
    two values comes first has nothing to do with what they say or when they came.

    Examples
    --------
    >>> digest_of(3) == digest_of(3.0), digest_of(1) == digest_of(True), digest_of(None) is None
    (True, False, True)
    """
    kind = type(value)
    if kind is str:
        text = f"s{value}"
    elif kind is bool:
        text = f"b{value}"
    else:
        told = number(value)
        if told is None:
            return None
        text = f"n{plain(told)!r}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()
