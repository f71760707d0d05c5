"""Runs the Faust app in the foreground, and makes sure that it ends when asked to."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

import faust
import structlog

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

FAILED: Final = 1


class Foreground(faust.Worker):
    """A Faust worker without banner and spinner, whose stopping has a deadline.

    The first SIGTERM or SIGINT lets the app finish what is in hand. A second one, or the deadline, ends the process
    at once: with the broker gone, Faust's consumer thread can hang for a minute. Nothing is lost by that, since
    state changes are atomic, and what was not finished is done again by the next owner.

    Parameters
    ----------
    app : faust.App
    loop : asyncio.AbstractEventLoop
        The loop to run in.
    deadline : float
        Seconds for stopping.
    """

    def __init__(self, app: faust.App, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        super().__init__(app, loop=loop, quiet=True, redirect_stdouts=False, override_logging=False)
        self.spinner = None
        self._deadline = deadline
        self._asked: signal.Signals | None = None
        self._stopping = False
        self._code = FAILED

    def run(self) -> int:
        """Run until stopped; return the exit code: 0 after SIGTERM, 130 after SIGINT, 1 after a failure."""
        threading.excepthook = self._on_thread_failure
        try:
            self.execute_from_commandline()
        except SystemExit as end:
            return self._code if end.code in (0, None) and self._asked is not None else FAILED

    def _install_signal_handlers_unix(self) -> None:
        # Not the loop's handlers: those would wait for a loop that waits for a thread.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        asked = signal.Signals(number)
        if self._asked is not None:
            self._end("stopped_at_once", 128 + number, signal=asked.name)
        self._asked, self._code = asked, 0 if asked is signal.SIGTERM else 128 + number
        self._watch()
        self.loop.call_soon_threadsafe(self._stop_because_of, asked)

    def _stop_because_of(self, asked: signal.Signals) -> None:
        structlog.get_logger("segstream").info("stopping", signal=asked.name, seconds=self._deadline)
        if asked is signal.SIGINT:
            self._on_sigint()
        else:
            self._on_sigterm()

    def _on_thread_failure(self, failure: threading.ExceptHookArgs) -> None:
        """Tell in one line that a thread of Faust's could not end in good order, as it cannot without Kafka."""
        if self._stopping:
            error = repr(failure.exc_value or failure.exc_type.__name__)
            structlog.get_logger("segstream").info("thread_not_stopped", error=error)
        else:
            threading.__excepthook__(failure)

    def on_worker_shutdown(self) -> None:
        """Stop within the deadline after a crash, too."""
        self._watch()

    def _watch(self) -> None:
        if not self._stopping:
            self._stopping = True
            watchdog = threading.Timer(self._deadline, self._give_up)
            watchdog.daemon = True
            watchdog.start()

    def _give_up(self) -> None:
        self._end(
            "not_stopped_in_time",
            self._code,
            seconds=self._deadline,
            note="is Kafka gone? ended all the same",
        )

    @staticmethod
    def _end(event: str, code: int, **facts: object) -> None:
        try:
            structlog.get_logger("segstream").warning(event, **facts)
            sys.stderr.flush()
        finally:
            # Not sys.exit: that would wait for the very threads that hang.
            os._exit(code)
