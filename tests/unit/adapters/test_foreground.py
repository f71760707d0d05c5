"""The process ends when it is asked to, whatever its loop is waiting for."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, signal, sys, time
import faust
from segstream.adapters.foreground import Foreground
from segstream.logs import configure_logging

class Hanging(Foreground):
    def execute_from_commandline(self):
        # In place of an app whose loop waits for a thread that never ends.
        self._install_signal_handlers_unix()
        for number in map(int, sys.argv[2:]):
            os.kill(os.getpid(), number)
        time.sleep(120)

configure_logging("json", "INFO")
sys.exit(Hanging(faust.App("hanging"), asyncio.new_event_loop(), float(sys.argv[1])).run())
"""


def run(seconds: float, *signals: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Run a worker that hangs, with so many seconds for stopping, and send it signals."""
    words = [sys.executable, "-c", PROGRAM, str(seconds), *(str(int(each)) for each in signals)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("asked", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_what_does_not_end_in_time_is_ended(asked: signal.Signals, code: int) -> None:
    """With the code of an ordinary end: nothing is lost by it, and says so."""
    done = run(0.5, asked)
    assert done.returncode == code, done.stderr
    assert "not_stopped_in_time" in done.stdout + done.stderr


def test_a_second_signal_ends_it_at_once() -> None:
    """Without waiting for the deadline, and with the code of that signal."""
    done = run(100, signal.SIGTERM, signal.SIGTERM)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert "stopped_at_once" in done.stdout + done.stderr
