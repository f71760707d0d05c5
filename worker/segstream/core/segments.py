"""Which of the segments that exclude each other a user is in, and until when that holds.

A segment outside any group is a group of its own, so there is one way to decide. A segment not held is judged by
``when`` (and not ``leave_when``); the one held by ``leave_when`` or, without it, by ``when``; the first that applies
in the group's order is the one to hold; and one that was entered is kept for its ``min_dwell``. A segment that is
cooling or still confirming does not apply: see `segstream.core.antiflap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from segstream.core.time import NEVER
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from segstream.core.definitions import Segment
    from segstream.core.expressions import Condition
    from segstream.core.types import State

    Verdict = Callable[[Sequence[State], int], tuple[bool | None, int]]

MOST_HOPS: Final = 32
"""How many future moments are tried to find the end of a membership; beyond it the end is not told."""


class Clocks(NamedTuple):
    """What anti-flap has to know of the segments that a user does not hold.

    Parameters
    ----------
    confirming : mapping of str to int
        For segments with a ``confirm_for``: since when (ms) the condition has been true without a break.
    left : mapping of str to int
        For segments with a ``cooldown``: when (ms) they were left.
    """

    confirming: Mapping[str, int]
    left: Mapping[str, int]


class Weighed(NamedTuple):
    """What `Choice.weigh` finds.

    Parameters
    ----------
    target, until
        As `Choice.judge` returns them.
    tracked : int
        A moment up to which the conditions that are confirmed, or might be, certainly stay as they are.
    confirming : mapping of str to int
        As in `Clocks`, from now on; the same object if nothing has changed.
    blocked : tuple of str
        Segments without a ``confirm_for`` that would be entered now but for their ``cooldown``.
    withdrawn : tuple of (str, str)
        Segments whose condition is not true any more although it has not counted yet, and what held it back:
        ``confirm`` or ``cooldown``.
    """

    target: str | None
    until: int
    tracked: int
    confirming: Mapping[str, int]
    blocked: tuple[str, ...]
    withdrawn: tuple[tuple[str, str], ...]


class Choice:
    """Segments of which a user holds at most one.

    Parameters
    ----------
    segments : sequence of Segment
        In order of precedence.
    group : str or None
        The group's name.
    asking : bool
        Whether any of the conditions asks for a segment by ``in_segment``.

    Attributes
    ----------
    damped : bool
        Whether any of the segments has a ``cooldown`` or a ``confirm_for``; then `weigh` judges, else `judge`.
    """

    __slots__ = ("_enters", "_stays", "asking", "by_name", "damped", "group", "names")

    def __init__(self, segments: Sequence[Segment], group: str | None, *, asking: bool = False) -> None:
        self.group = group
        self.names = tuple(segment.name for segment in segments)
        self.by_name = {segment.name: segment for segment in segments}
        self.asking = asking
        self.damped = any(segment.cooldown or segment.confirm_for for segment in segments)
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

    def weigh(  # noqa: C901, PLR0912 (the rules of one loop, told in the order in which they hold)
        self,
        current: str | None,
        clocks: Clocks,
        resisted: Container[str],
        states: Sequence[State],
        at: int,
    ) -> Weighed:
        """Judge segments of which some cool down or have to be confirmed.

        Parameters
        ----------
        current, states, at
            As for `judge`.
        clocks : Clocks
            The user's.
        resisted : container of str
            Segments that would have been entered at the last decision but for their ``cooldown``.
        """
        confirming, left = clocks
        target, until, tracked, decided = None, NEVER, NEVER, False
        blocked: list[str] = []
        withdrawn: list[tuple[str, str]] = []
        for name, enters in self._enters:
            if name == current:
                if not decided:
                    applies, holds = self._stays[name](states, at)
                    until = min(until, holds)
                    if applies:
                        target, decided = name, True
                continue
            segment = self.by_name[name]
            if decided and not segment.confirm_for:
                continue
            applies, holds = enters(states, at)
            cool = left[name] + segment.cooldown if name in left else at
            opens = cool
            if segment.confirm_for:
                tracked, since = min(tracked, holds), confirming.get(name)
                if applies:
                    if since is None:
                        since, confirming = at, {**confirming, name: at}
                    opens = max(cool, since + segment.confirm_for)
                elif since is not None:
                    confirming = {each: moment for each, moment in confirming.items() if each != name}
                    if at <= since + segment.confirm_for:
                        withdrawn.append((name, "confirm"))
                    elif name in left and at <= cool:
                        withdrawn.append((name, "cooldown"))
            if decided:
                continue
            if not applies:
                # Without a ``confirm_for`` it does not matter when it turns true while cooling.
                until = min(until, holds if segment.confirm_for else max(holds, cool))
                if name in resisted and not segment.confirm_for:
                    withdrawn.append((name, "cooldown"))
            elif at < opens:
                until = min(until, opens)
                if at < cool and not segment.confirm_for:
                    blocked.append(name)
            else:
                until, target, decided = min(until, holds), name, True
        return Weighed(target, until, tracked, confirming, tuple(blocked), tuple(withdrawn))

    def wants(self, name: str, states: Sequence[State], at: int) -> bool:
        """Return whether a segment that is not held would be entered by its condition alone."""
        return any(enters(states, at)[0] is True for each, enters in self._enters if each == name)

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

    def damped_ends(
        self, current: str, kept_until: int, clocks: Clocks, states: Sequence[State], at: int
    ) -> int:
        """Return what `ends` does where segments cool down or have to be confirmed: their clocks run on meanwhile.

        Parameters
        ----------
        current, kept_until, states
            As for `ends`.
        clocks : Clocks
            After the decision.
        at : int
            A moment up to which ``current`` is certainly held and no clock starts or stops.
        """
        for _ in range(MOST_HOPS):
            if at >= NEVER:
                return NEVER
            weighed = self.weigh(current, clocks, (), states, at)
            if weighed.target != current and at >= kept_until:
                return at if at <= LATEST else NEVER
            clocks = Clocks(weighed.confirming, clocks.left)
            until = weighed.until if weighed.target == current else kept_until
            at = min(max(until, kept_until), weighed.tracked)
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
