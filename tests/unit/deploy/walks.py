"""How somebody walks into and out of segments: what is done, and what is told because of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from segstream.core.time import DAY
from tests.unit.flow.worlds import START, track

Document: TypeAlias = dict[str, Any]
Told: TypeAlias = tuple[str, str, int, str]
"""Segment, entered or exited, when (ms), by what: event or timer."""


def at(day: float, ms: int = 0) -> int:
    """Return a moment of a walk, in days since it began."""
    return START + round(day * DAY) + ms


def gone(day: float, window: int, bucket: int = DAY) -> int:
    """Return when what happened on a day leaves a window of so many days: at the end of its bucket and that long after."""
    return (at(day) // bucket + 1) * bucket + window * DAY


def entered(segment: str, moment: int, cause: str = "event") -> Told:
    """Return what is told of an entry."""
    return segment, "entered", moment, cause


def exited(segment: str, moment: int, cause: str = "event") -> Told:
    """Return what is told of an exit."""
    return segment, "exited", moment, cause


@dataclass(frozen=True)
class Walk:
    """What somebody does, and all that is told of some segments because of it.

    Parameters
    ----------
    name : str
        What it is about.
    does : list of dict
        Events, in order.
    told : list
        The changes of the segments in ``of``, in order.
    of : tuple of str
        Segments; those told of if empty.
    until : int
        Until when silence lasts afterwards, in days since the beginning.
    """

    name: str
    does: list[Document]
    told: list[Told]
    of: tuple[str, ...] = ()
    until: int = 900


def do(name: str, day: float, **properties: Any) -> Document:
    """Return a track event."""
    return track("u", name, at(day), **properties)
