"""When the worker last gave a sign of life; what the health pages go by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Vitals:
    """Signs of life, in seconds of a clock that never goes back.

    Parameters
    ----------
    clock : callable
        Returns the seconds.

    Attributes
    ----------
    joined : bool
        Whether the consumer group has given this worker its share, which may be nothing.
    refused : str
        Why the group could not be joined at the last attempt; empty when it was.
    stopping : bool
        Whether the worker has begun to end.

    Examples
    --------
    >>> seconds = iter([0, 5, 7])
    >>> vitals = Vitals(lambda: next(seconds))
    >>> vitals.polled()
    >>> vitals.since_poll()
    2
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._polled_at = self._answered_at = clock()
        self.joined = self.stopping = False
        self.refused = ""

    def polled(self) -> None:
        """Note that the loop that asks for records has come round."""
        self._polled_at = self._clock()

    def answered(self) -> None:
        """Note that Kafka has answered."""
        self._answered_at = self._clock()

    def since_poll(self) -> float:
        """Return for how many seconds the loop has not come round."""
        return self._clock() - self._polled_at

    def since_answer(self) -> float:
        """Return for how many seconds Kafka has not answered."""
        return self._clock() - self._answered_at
