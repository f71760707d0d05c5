"""Another worker under this one's instance id: each takes the membership from the other, again and again."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LOSSES: Final = 4
"""So often is a membership lost within `WITHIN` by no accident: two workers under one id lose it each second or so."""

WITHIN: Final = 60.0
"""Seconds; also for how long the last losses are told."""


class Rivals:
    """Counts how often the group has made this worker a new member.

    Parameters
    ----------
    instance : str, optional
        The instance id. Without one nobody can take this worker's place.
    clock : callable
        Returns seconds of a clock that never goes back.

    Examples
    --------
    >>> rivals = Rivals("segstream-0", lambda: 0.0)
    >>> [rivals.joined_as(member) for member in ("one", "one", "two", "three", "four", "five", "six")]
    [False, False, False, False, False, True, False]
    >>> rivals.trouble
    'lost membership 5 times within 60 s; is SEGSTREAM_INSTANCE_ID=segstream-0 set for another worker, too?'
    """

    def __init__(self, instance: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._instance, self._clock = instance, clock
        self._member = ""
        self._lost_at: deque[float] = deque(maxlen=100)

    def joined_as(self, member: str) -> bool:
        """Note the name that the group has given to this worker; return whether trouble begins with it.

        Parameters
        ----------
        member : str
            Stays the same in a rebalance, and is a new one when the old membership was lost.
        """
        troubled = bool(self.trouble)
        former, self._member = self._member, member
        if self._instance is not None and former not in ("", member):
            self._lost_at.append(self._clock())
        return not troubled and bool(self.trouble)

    @property
    def trouble(self) -> str:
        """What is wrong and what to look for; empty when nothing is."""
        now = self._clock()
        losses = sum(now - at <= WITHIN for at in self._lost_at)
        if losses < LOSSES:
            return ""
        return (
            f"lost membership {losses} times within {WITHIN:g} s; is SEGSTREAM_INSTANCE_ID={self._instance} set for "
            "another worker, too?"
        )
