"""A child process that ends when we do, and only when we say so."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


class Child:
    """A program started in a session of its own.

    The terminal's Ctrl-C does not reach it, so that we decide in which order things stop. It is killed by the
    kernel when this process dies, even by SIGKILL: on Linux only, and only when it is started from the main
    thread, because the kernel ties that promise to the *thread* that started the child.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    log : Path
        File to which its output is appended.
    environment : mapping, optional
        Variables added to those of this process; None takes one away.

    Raises
    ------
    OSError
        When the program cannot be run.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str | None] | None = None
    ) -> None:
        variables = {**os.environ, **(environment or {})}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in variables.items() if value is not None},
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - safe as it is written there
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by which signal), or None while it runs."""
        return self._process.poll()

    def wait(self, deadline: float) -> int | None:
        """Wait for it to end by itself, at most `deadline` seconds; None when it has not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(deadline)
        return None

    def freeze(self) -> None:
        """Stop it in its tracks, as a long pause of its machine would; it keeps its memory and connections."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, without a chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def stop(self, deadline: float) -> None:
        """Ask it to end; kill it when it has not after `deadline` seconds, or when we are interrupted meanwhile."""
        try:
            self._process.terminate()
            self.thaw()
            self.wait(deadline)
        finally:
            self.kill()


def _die_with_parent() -> Callable[[], None] | None:
    """Return what the child runs between fork and exec, or None where that cannot be had."""
    if not sys.platform.startswith("linux") or threading.current_thread() is not threading.main_thread():
        return None
    # Everything is looked up here, before the fork: the child only makes system calls, and so cannot
    # hang on a lock that another thread held when it was forked.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def run_in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between, so no signal will come
            os._exit(1)

    return run_in_child
