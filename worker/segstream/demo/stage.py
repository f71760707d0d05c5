"""What the demo runs on: a Kafka, a Redis, and a worker as its own process."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.topics import Topics, create_topics
from segstream.errors import LocalServerError
from segstream.local.apache_kafka import ApacheKafka
from segstream.local.mock_kafka import MockKafka
from segstream.local.process import Child
from segstream.local.redis import LocalRedis
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
        self._kafka, self._definitions, self._learning = kafka, definitions, learning
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
        redis = LocalRedis(durable=False)
        self._stack.callback(redis.close)
        redis.start()
        self.redis_url = redis.url
        self.kafka_address = self._apache() if self._kafka == "apache" else self._embedded()
        self.worker = Worker(Path(directory), self._settings(definitions))
        self._stack.callback(self.worker.stop)
        self.worker.start()

    def close(self) -> None:
        """Stop it all in the reverse order, and remove what it left."""
        self._stack.close()

    def _embedded(self) -> str:
        topics = dict.fromkeys(TOPICS.configuration(), PARTITIONS) | {TOPICS.samples: 1}
        broker = MockKafka(topics)
        self._stack.callback(broker.close)
        broker.start()
        return broker.address

    def _apache(self) -> str:
        broker = ApacheKafka()
        self._stack.callback(broker.close)
        broker.start()
        asyncio.run(create_topics(KafkaSettings(broker.address), TOPICS, PARTITIONS))
        return broker.address

    def _settings(self, definitions: Path) -> dict[str, str]:
        return {
            "kafka": self.kafka_address,
            "kafka_check_crcs": str(self._kafka == "apache").lower(),
            "redis": self.redis_url,
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
