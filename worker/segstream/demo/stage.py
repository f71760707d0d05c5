"""What the demo runs on: a Kafka, a Redis, and a worker as its own process."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from segstream.adapters.kafka.topics import Topics
from segstream.errors import LocalServerError
from segstream.local.pair import LocalPair
from segstream.local.process import Child
from segstream.settings import PREFIX

PARTITIONS: Final = 4

TOPICS: Final = Topics()

_DRAIN_SECONDS: Final = 8
_LOG_LINES: Final = 15


class Worker:
    """A worker process with an environment of its own.

    Parameters
    ----------
    directory : Path
        For its log.
    settings : dict
        Settings by name; those of this process' environment do not reach it.
    """

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        self.log = directory / "worker.log"
        ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith(PREFIX)}
        ours |= {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
        self._environment = ours
        self._child: Child | None = None

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        self._child = Child([sys.executable, "-m", "segstream", "worker"], self.log, self._environment)

    def check(self) -> None:
        """Raise ``LocalServerError`` with its last words if it has ended."""
        if self._child is not None and (code := self._child.exit_code) is not None:
            raise LocalServerError(
                f"the worker ended with exit code {code}; its last lines:\n{self.last_lines()}"
            )

    def last_lines(self) -> str:
        """Return the end of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:]) or "  it printed nothing"

    def stop(self) -> None:
        """Let it finish, then by force."""
        if self._child is not None:
            self._child.stop(_DRAIN_SECONDS + 2)


class Stage:
    """Everything that is started; whoever calls `open` calls `close`, whatever happens in between.

    Parameters
    ----------
    kafka : {"embedded", "apache"}
    definitions : str
        The definitions' text.
    learning : dict
        Settings about the models.
    """

    def __init__(
        self, kafka: Literal["embedded", "apache"], definitions: str, learning: dict[str, str]
    ) -> None:
        self._definitions, self._learning = definitions, learning
        self._servers = LocalPair(kafka, TOPICS, PARTITIONS)
        self._stack = ExitStack()
        self.kafka_address = self.redis_url = ""
        self.worker: Worker

    def open(self) -> None:
        """Start it all.

        Raises
        ------
        LocalServerError
            Something does not start.
        """
        # What closes a server is noted before it starts: Ctrl-C may come in between.
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="segstream-demo-"))
        definitions = Path(directory, "definitions.yaml")
        definitions.write_text(self._definitions, encoding="utf-8")
        self._stack.callback(self._servers.close)
        self._servers.open()
        self.redis_url, self.kafka_address = self._servers.redis_url, self._servers.kafka_address
        self.worker = Worker(Path(directory), self._settings(definitions))
        self._stack.callback(self.worker.stop)
        self.worker.start()

    def found_by(self) -> dict[str, str]:
        """Return the settings, by name, with which other commands find all this."""
        return {**self._servers.settings(), "clock": "event"}

    def close(self) -> None:
        """Stop it all in the reverse order, and remove what it left."""
        self._stack.close()

    def _settings(self, definitions: Path) -> dict[str, str]:
        return {
            **self._servers.settings(),
            "definitions": str(definitions),
            # The events are of long ago: their own time is what counts.
            "clock": "event",
            "web_port": "0",
            # There is one worker and little time: bring all users up to date at once.
            "sweep_rate": "100000",
            # Nobody else waits for its partitions; a busy machine may let it wait.
            "session_timeout": "30s",
            "drain_timeout": f"{_DRAIN_SECONDS}s",
            **self._learning,
        }
