"""The grid of buckets that every window slides over."""

from __future__ import annotations

from typing import Final

from segstream.core.features.base import Accumulator
from segstream.core.time import DAY, HOUR, MINUTE, SECOND
from segstream.core.types import Motion

RESOLUTIONS: Final = (DAY, 6 * HOUR, HOUR, 15 * MINUTE, 5 * MINUTE, MINUTE, 10 * SECOND)
"""Default bucket widths in ms, widest first; 1 s where all of these are too wide."""

FINENESS: Final = 288
"""Buckets a window has at least by default: 24 h in 5 m, so it is right to about a third of a percent."""

MOST_BUCKETS: Final = 10_000
"""Buckets a window may have: some 100 KB of state for a user who fills them all."""


def default_resolution(window: int) -> int:
    """Return the bucket width of a window that does not set its own.

    It is the widest of 1 s, 10 s, 1 m, 5 m, 15 m, 1 h, 6 h, 1 d that goes into the window at least 288 times
    (it need not go evenly), else 1 s.

    Parameters
    ----------
    window : int
        Milliseconds.

    Examples
    --------
    >>> default_resolution(30 * DAY) == HOUR, default_resolution(365 * DAY) == DAY
    (True, True)
    """
    return next((width for width in RESOLUTIONS if window // width >= FINENESS), SECOND)


class Sliding(Accumulator):
    """What is kept of the events of the last so many days, hours or minutes.

    Buckets lie on a fixed grid, multiples of the resolution since 1970, and only those that hold something
    are kept. An event counts from its timestamp until the end of its bucket plus the window, exclusive. What
    is out of reach for the newest bucket is dropped at once, so a state has no more than
    ``window / resolution + 2`` buckets.

    Parameters
    ----------
    window : int
        Milliseconds.
    resolution : int or None
        Width of a bucket in ms; `default_resolution` if None.

    Raises
    ------
    ValueError
        If the resolution does not suit the window.
    """

    __slots__ = ("reach", "resolution", "window")

    motion = Motion.STEPS

    def __init__(self, window: int, resolution: int | None = None) -> None:
        width = default_resolution(window) if resolution is None else resolution
        if resolution is not None and resolution > window:
            message = "resolution must not be longer than the window"
            raise ValueError(message)
        if window > width * MOST_BUCKETS:
            message = f"resolution is too fine: the window would have over {MOST_BUCKETS} buckets"
            raise ValueError(message)
        self.window = window
        self.resolution = width
        self.reach = width + window  # from the start of a bucket to the moment it leaves

    def _last_departed(self, at: int) -> int:
        """Return the newest bucket that has left by a moment."""
        return (at - self.reach) // self.resolution

    def _out_of_reach(self, newest: int) -> int:
        """Return the newest bucket that has left when another begins."""
        return self._last_departed(newest * self.resolution)

    def _leaves(self, bucket: int) -> int:
        """Return the moment a bucket leaves."""
        return bucket * self.resolution + self.reach
