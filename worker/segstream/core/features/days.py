"""On how many days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.core.features.base import Accumulator
from segstream.core.features.grid import MOST_BUCKETS
from segstream.core.features.window import Window, Windowed
from segstream.core.time import DAY

if TYPE_CHECKING:
    from segstream.core.features.fixed import Wide
    from segstream.core.types import Value

CHUNK: Final = 60
"""Days that share an integer, one bit each; 63 bits are the most that msgpack keeps with either sign."""


class DaysActive(Accumulator):
    """Number of different UTC days with an event; 0 before the first.

    The state is chunk of 60 days since 1970 -> its days as bits, ascending: 7 entries for a year, whatever happens.

    Parameters
    ----------
    of : bool
        Look only at events that hold any value at the feature's ``of`` path.

    Examples
    --------
    >>> days = DaysActive()
    >>> state = days.add(days.add(days.zero(), 0, None, "m1"), DAY - 1, None, "m2")
    >>> days.value(state, DAY), days.value(days.add(state, DAY, None, "m3"), DAY)
    (1, 2)
    """

    __slots__ = ("of",)

    def __init__(self, *, of: bool = False) -> None:
        self.of = of

    def zero(self) -> dict[int, int]:
        """Return no days."""
        return {}

    def add(self, state: dict[int, int], at: int, value: Value, tie: str) -> dict[int, int]:
        """Mark the event's day."""
        if self.of and value is None:
            return state
        chunk, day = divmod(at // DAY, CHUNK)
        days = state.get(chunk, 0)
        if days >> day & 1:
            return state
        after = {**state, chunk: days | 1 << day}
        # Nearly always the newest; a new chunk that is not goes to its place.
        return after if days or chunk > next(reversed(state), chunk - 1) else dict(sorted(after.items()))

    def merge(self, a: dict[int, int], b: dict[int, int]) -> dict[int, int]:
        """Mark the days of both."""
        return {chunk: a.get(chunk, 0) | b.get(chunk, 0) for chunk in sorted({*a, *b})}

    def value(self, state: dict[int, int], at: int) -> int:
        """Return how many days are marked."""
        return sum(days.bit_count() for days in state.values())


class WindowedDaysActive(Window):
    """Number of different UTC days with an event, in a sliding window; 0 while it is empty.

    A day is a bucket (see `Sliding`), so it counts until its end plus the window.

    Parameters
    ----------
    window : int
        Milliseconds; from a day to 10,000.
    of : bool
        Look only at events that hold any value at the feature's ``of`` path.

    Raises
    ------
    ValueError
        If the window is shorter or longer.

    Examples
    --------
    >>> days = WindowedDaysActive(7 * DAY)
    >>> state = days.add(days.add(days.zero(), 0, None, "m1"), 5 * DAY, None, "m2")
    >>> days.value(state, 8 * DAY - 1), days.value(state, 8 * DAY)
    (2, 1)
    """

    __slots__ = ()

    def __init__(self, window: int, *, of: bool = False) -> None:
        if not DAY <= window <= MOST_BUCKETS * DAY:
            message = f"window of days_active must be from 1d to {MOST_BUCKETS}d"
            raise ValueError(message)
        super().__init__(window, DAY, of=of)

    def add(self, state: Windowed, at: int, value: Value, tie: str) -> Windowed:
        """Mark the event's day."""
        return state if at // DAY in state[2] else super().add(state, at, value, tie)

    def merge(self, a: Windowed, b: Windowed) -> Windowed:
        """Mark the days of both."""
        if not a[2] or not b[2]:
            return a if a[2] else b
        days: dict[int, Wide] = dict.fromkeys(sorted({*a[2], *b[2]}), 1)
        return self.compact((len(days), min(a[1], b[1]), days), next(reversed(days)) * DAY)
