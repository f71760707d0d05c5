"""What the local servers that run as processes have in common."""

from __future__ import annotations

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from segstream.errors import LocalServerError
from segstream.local.process import Child

_POLL_SECONDS = 0.02
_PORT_TRIES = 3  # somebody may take a free port between our choosing and the server's using it
_PORT_TAKEN = "Address already in use"
_LOG_LINES = 15  # enough to hold a Java stack trace's beginning or all that Redis says


class LocalServer(ABC):
    """A server in a process of its own, with a temporary directory that goes when it is closed.

    Use it in a ``with`` statement, or call `start` and `close`. In between, `stop`, `kill`, `freeze` and `thaw`
    make it fail, and `start` brings it back with the same address and the same data.
    """

    name: str
    """How messages call it."""

    start_seconds: float
    """How long `start` waits for it to answer."""

    stop_seconds: float
    """How long `stop` waits for it to end by itself."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._directory: Path | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Choose ports and write what the server reads, in `directory`. Called before the first start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return program and arguments."""

    @abstractmethod
    def _ready(self) -> bool:
        """Tell whether the server answers."""

    @property
    def directory(self) -> Path:
        """Where it keeps everything; gone after `close`."""
        if self._directory is None:
            message = f"{self.name} has not been started: use it in a with statement or call start() first"
            raise LocalServerError(message)
        return self._directory

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.directory / "server.log"

    @property
    def running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._child is not None and self._child.exit_code is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process().pid

    def start(self) -> None:
        """Start it and wait until it answers; does nothing when it runs already.

        Raises
        ------
        LocalServerError
            When it cannot be run, ends, or does not answer in time; with the last it printed.
        """
        if self.running:
            return
        first = self._directory is None
        if first:
            self._directory = Path(tempfile.mkdtemp(prefix="segstream-"))
        try:
            for tries_left in reversed(range(_PORT_TRIES if first else 1)):
                if first:
                    self._prepare()
                if self._launch(may_fail=tries_left > 0):
                    return
        except BaseException:
            # Also on Ctrl-C: what was started here has no other owner yet.
            if first:
                self.close()
            raise

    def stop(self) -> None:
        """Let it end in good order, then by force; its data stays."""
        if self._child is not None:
            self._child.stop(self.stop_seconds)

    def kill(self) -> None:
        """End it at once, as a crash would; its data stays as it is on disk."""
        self._process().kill()

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers."""
        self._process().freeze()

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._process().thaw()

    def close(self) -> None:
        """Stop it and remove its directory."""
        try:
            self.stop()
        finally:
            self._child = None
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _process(self) -> Child:
        if self._child is None:
            message = f"{self.name} is not running: call start() first"
            raise LocalServerError(message)
        return self._child

    def _launch(self, *, may_fail: bool) -> bool:
        """Run it until it answers. False: its port was taken, and `may_fail` allows for that."""
        command = self._command()
        self.log.unlink(missing_ok=True)
        try:
            self._child = Child(command, self.log)
        except OSError as error:
            message = f"cannot run {self.name} ({command[0]}): {error.strerror}"
            raise LocalServerError(message) from error
        give_up = time.monotonic() + self.start_seconds
        while not self._ready():
            if self._child.exit_code is not None:
                if may_fail and _PORT_TAKEN in self._last_lines():
                    return False
                message = f"{self.name} ended with exit code {self._child.exit_code} while starting: "
                raise LocalServerError(message + self._last_lines())
            if time.monotonic() > give_up:
                message = f"{self.name} does not answer after {self.start_seconds:.0f} s: "
                raise LocalServerError(message + self._last_lines())
            time.sleep(_POLL_SECONDS)
        return True

    def _last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join(lines) or "it printed nothing"
