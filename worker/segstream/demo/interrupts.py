"""Ctrl-C and SIGTERM during the demo: the first one ends it, and none disturbs the tidying up."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The user, or the system, wants the program to end.

    Not an ``Exception``, like ``KeyboardInterrupt``: nobody on the way may take it for a failure of their own.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """Turns the first signal into `Interrupted`; later ones, and those after `ignore`, are left aside."""

    def __init__(self) -> None:
        self._armed = False
        self._before: dict[int, Any] = {}

    def ignore(self) -> None:
        """Let nothing interrupt what comes now."""
        self._armed = False

    def __enter__(self) -> Self:
        self._armed = True
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise Interrupted(number)
