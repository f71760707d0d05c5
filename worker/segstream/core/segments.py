"""Which of the segments that exclude each other a user is in, and until when that holds.

A segment outside any group is a group of its own, so there is one way to decide. A segment not held is judged by
``when`` (and not ``leave_when``); the one held by ``leave_when`` or, without it, by ``when``; the first that applies
in the group's order is the one to hold; and one that was entered is kept for its ``min_dwell``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.core.time import NEVER
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from segstream.core.definitions import Segment
    from segstream.core.expressions import Condition
    from segstream.core.types import State

    Verdict = Callable[[Sequence[State], int], tuple[bool | None, int]]

MOST_HOPS: Final = 32
"""How many future moments are tried to find the end of a membership; beyond it the end is not told."""


class Choice:
    """Segments of which a user holds at most one.

    Parameters
    ----------
    segments : sequence of Segment
        In order of precedence.
    group : str or None
        The group's name.
    """

    __slots__ = ("_enters", "_stays", "by_name", "group", "names")

    def __init__(self, segments: Sequence[Segment], group: str | None) -> None:
        self.group = group
        self.names = tuple(segment.name for segment in segments)
        self.by_name = {segment.name: segment for segment in segments}
        self._enters = tuple(
            (segment.name, _entering(segment.when, segment.leave_when)) for segment in segments
        )
        self._stays = {segment.name: _staying(segment.when, segment.leave_when) for segment in segments}

    def held(self, held: Container[str]) -> str | None:
        """Return which of the segments is among those held, None if none is."""
        for name in self.names:
            if name in held:
                return name
        return None

    def judge(self, current: str | None, states: Sequence[State], at: int) -> tuple[str | None, int]:
        """Return the segment that applies at ``at``, and a moment up to which that certainly stays so.

        Parameters
        ----------
        current : str or None
            The segment held now.
        states : sequence of State
            The user's feature states.
        at : int
            Moment in ms.

        Returns
        -------
        str or None
            Name of the segment to hold, leaving ``min_dwell`` aside.
        int
            No later than the first moment after ``at`` with another answer, if no event comes.
        """
        holds_until = NEVER
        for name, enters in self._enters:
            applies, until = (self._stays[name] if name == current else enters)(states, at)
            if until < holds_until:
                holds_until = until
            if applies:
                return name, holds_until
        return None, holds_until

    def ends(self, current: str, kept_until: int, states: Sequence[State], until: int) -> int:
        """Return when ``current`` will be left if no event comes: exact, or ``NEVER`` when it is not known.

        Parameters
        ----------
        current : str
            The segment held.
        kept_until : int
            End of its ``min_dwell`` in ms.
        states : sequence of State
            The user's feature states.
        until : int
            A moment up to which it is certainly held.
        """
        at = max(until, kept_until)
        for _ in range(MOST_HOPS):
            if at >= NEVER:
                return NEVER
            stays, _ = self._stays[current](states, at)
            if not stays:
                return at if at <= LATEST else NEVER
            target, until = self.judge(current, states, at)
            if target != current:
                return at if at <= LATEST else NEVER
            at = until
        return NEVER


def _entering(when: Condition, leave_when: Condition | None) -> Verdict:
    if leave_when is None:
        return when.hold
    may, must_not = when.hold, leave_when.hold

    def enters(states: Sequence[State], at: int) -> tuple[bool, int]:
        applies, until = may(states, at)
        if applies is not True:
            return False, until
        leaving, leaving_until = must_not(states, at)
        if leaving is True:
            return False, leaving_until
        return True, min(until, leaving_until)

    return enters


def _staying(when: Condition, leave_when: Condition | None) -> Verdict:
    if leave_when is None:
        return when.hold
    leave = leave_when.hold

    def stays(states: Sequence[State], at: int) -> tuple[bool, int]:
        leaving, until = leave(states, at)
        return leaving is not True, until

    return stays
