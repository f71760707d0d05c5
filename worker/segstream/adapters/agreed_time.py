"""The time by which partitions' clocks go: what most of three clocks say, since one alone may be wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

APART: Final = 5_000
"""Milliseconds by which two machines' clocks may differ before that is told: NTP keeps them within some tens."""


class AgreedTime:
    """The middle of three clocks: this machine's, Redis', and the last answer with what has passed since.

    A partition's clock never goes back, and fires what is due. By one machine's clock alone, stepped an hour ahead by
    mistake, users would be told to have left who have not; stepped back, nobody would be told for an hour.

    Parameters
    ----------
    now : callable
        Returns this machine's time in ms.
    passed : callable
        Returns seconds of a clock that nobody can step.

    Examples
    --------
    >>> machine, seconds = 50_000, 7.0
    >>> agreed = AgreedTime(lambda: machine, lambda: seconds)
    >>> agreed()
    0
    >>> agreed.heard(50_000)
    >>> agreed()
    50000
    >>> machine, seconds = 3_651_000, 8.0
    >>> agreed()
    51000
    """

    def __init__(self, now: Callable[[], int], passed: Callable[[], float] = time.monotonic) -> None:
        self._now, self._passed = now, passed
        self._redis: int | None = None
        self._last: int | None = None
        self._apart = False
        self._log = structlog.get_logger("segstream")

    def heard(self, redis: int) -> None:
        """Note Redis' time, in ms; say once when this machine's is another."""
        self._redis = redis - self._elapsed()
        difference = self._now() - redis
        apart, self._apart = self._apart, abs(difference) > APART
        if self._apart and not apart:
            self._log.warning(
                "clocks_differ",
                seconds=round(difference / 1000),
                warning="this machine's clock differs from Redis'; check NTP on both",
            )
        elif apart and not self._apart:
            self._log.info("clocks_agree")

    def __call__(self) -> int:
        """Return the time in ms; 0 until Redis' is known."""
        if self._redis is None:
            return 0
        elapsed = self._elapsed()
        ours, theirs = self._now(), self._redis + elapsed
        # At first only two are known: with the earlier one a timer may be late, with the later one too early.
        expected = min(ours, theirs) if self._last is None else self._last + elapsed
        agreed = sorted((ours, theirs, expected))[1]
        self._last = agreed - elapsed
        return agreed

    def _elapsed(self) -> int:
        return int(self._passed() * 1000)
