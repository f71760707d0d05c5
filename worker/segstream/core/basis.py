"""What decisions rest on: the versions in force, and from which moment on.

A partition keeps a short log of bases. A user whose last decision rests on an earlier one is brought up to date the
next time it is touched, by an event, a timer or the sweep, whichever comes first, and as of the moment the basis
came into force: so the sweep's pace changes no result.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Basis(NamedTuple):
    """The versions in force in a partition from one moment on.

    Parameters
    ----------
    number : int
        Counts the bases of a partition, from 1.
    at : int
        The partition's clock when it came into force, in ms.
    incarnation : int
        The partition's incarnation.
    definitions : int
        Version of the definitions.
    models : dict of str to int
        Version of each model's snapshot; a model without one is absent.
    """

    number: int
    at: int
    incarnation: int
    definitions: int
    models: dict[str, int]


def dump_bases(bases: Sequence[Basis]) -> str:
    """Write a log of bases as JSON.

    Examples
    --------
    >>> dump_bases([Basis(1, 0, 1, 1, {})])
    '[[1,0,1,1,{}]]'
    """
    return json.dumps(bases, separators=(",", ":"))


def load_bases(text: str) -> list[Basis]:
    """Read what ``dump_bases`` wrote; an empty text is an empty log.

    Examples
    --------
    >>> load_bases('[[1,0,1,1,{"behaviour":3}]]')
    [Basis(number=1, at=0, incarnation=1, definitions=1, models={'behaviour': 3})]
    """
    return [Basis(*entry) for entry in json.loads(text or "[]")]
