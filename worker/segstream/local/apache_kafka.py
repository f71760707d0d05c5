"""Apache Kafka itself: one node that is broker and controller (KRaft), for tests and `segstream demo --kafka apache`."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from segstream.errors import LocalServerError
from segstream.local.java import find_java, kafka_jars
from segstream.local.ports import LOOPBACK, free_port
from segstream.local.process import Child
from segstream.local.server import LocalServer

# Tried: enough for 200,000 records a second of 400 bytes; 350 MB of memory in all. The serial collector
# takes the least memory and, on two cores, the least from the others.
_JVM = ("-Xmx512m", "-XX:+UseSerialGC")
_FORMAT_SECONDS = 60.0

_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
# Says when it is ready.
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""
_READY = "Kafka Server started"


class ApacheKafka(LocalServer):
    """One node of Apache Kafka on free loopback ports, with its log in a temporary directory.

    Topics are not created by asking for them. Records are never deleted for their age, so that events of 1997
    stay even where their own time is the record's.

    Parameters
    ----------
    timestamps : str
        ``LogAppendTime``: a record's time is when it arrived; ``CreateTime``: what its producer says.
    properties : mapping, optional
        Further server properties; they win over ours.
    java : Path, optional
        The ``java`` to run; found by :func:`segstream.local.java.find_java` otherwise.
    cache : Path, optional
        Where the jars are kept; see :func:`segstream.local.java.kafka_jars`.

    Examples
    --------
    ::

        with ApacheKafka() as broker:
            print(broker.address)
    """

    name = "Apache Kafka"
    start_seconds = 60.0
    stop_seconds = 15.0

    def __init__(
        self,
        *,
        timestamps: Literal["LogAppendTime", "CreateTime"] = "LogAppendTime",
        properties: Mapping[str, str] | None = None,
        java: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        super().__init__()
        self._timestamps, self._properties = timestamps, dict(properties or {})
        self._java, self._cache = java, cache
        self._jars: Path | None = None
        self._identity = new_identity()
        self.port = 0
        """Port on 127.0.0.1, the same after every restart; 0 before the first start."""

    @property
    def address(self) -> str:
        """``host:port`` as clients take it."""
        return f"{LOOPBACK}:{self.port}"

    def _prepare(self) -> None:
        self._java = self._java or find_java()
        self._jars = self._jars or kafka_jars(self._cache)
        self.port = free_port()
        properties = self._defaults(controller=free_port()) | self._properties
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (self.directory / "server.properties").write_text("".join(lines))
        (self.directory / "log4j2.properties").write_text(_LOGGING)
        self._format()

    def _command(self) -> list[str]:
        return self._run("kafka.Kafka", str(self.directory / "server.properties"))

    def _ready(self) -> bool:
        return _READY in self.log.read_text(errors="replace")

    def _run(self, main_class: str, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return [str(self._java), *_JVM, logging, "-cp", f"{self._jars}/*", main_class, *arguments]

    def _format(self) -> None:
        """Give the empty directory a cluster id and the features of this version, as a node without them refuses."""
        settings = str(self.directory / "server.properties")
        command = self._run(
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={self._identity}",
            "-c",
            settings,
            "--ignore-formatted",
        )
        try:
            code = Child(command, self.log).wait(_FORMAT_SECONDS)
        except OSError as error:
            message = f"cannot run Java ({self._java}): {error.strerror}"
            raise LocalServerError(message) from error
        if code != 0:
            message = f"Apache Kafka cannot set up its directory (exit code {code}): {self._last_lines()}"
            raise LocalServerError(message)

    def _defaults(self, controller: int) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": str(self.directory / "log"),
            "log.message.timestamp.type": self._timestamps,
            "log.retention.ms": "-1",
            # A topic must be made with the right number of partitions, not with whatever is the default.
            "auto.create.topics.enable": "false",
            # There is one node: nothing can have a second replica.
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # 50 partitions each would cost seconds at the start.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
            # No waiting for more members before the first assignment.
            "group.initial.rebalance.delay.ms": "0",
            # For compacted topics; 128 MB by default, a quarter of the heap.
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        }


def new_identity() -> str:
    """Return an id for a cluster, which all its nodes share; never one that its tools would take for an option."""
    while (identity := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return identity
