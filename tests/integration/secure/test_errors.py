"""What a person reads when a worker cannot start: one line on what happened, where, and what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segstream.local.ports import free_port
from tests.deployments import SHOP
from tests.integration.secure.conftest import make_scene
from tests.leaks import secret
from tests.secure_servers import PASSWORD, USER, Certificates, SecureKafka, SecureRedis
from tests.workers import OUTPUTS, Scene

LOGIN = PASSWORD.replace(" ", "_")
WRONG = secret("wrong")
SECONDS = 60


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """Return a file of definitions."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    return file


@pytest.fixture(scope="session")
def scene(broker: SecureKafka, tls_redis: SecureRedis) -> Scene:
    """Return a deployment in which nothing is wrong, but what a test makes so."""
    broker.create({"test-errors-events": 2})
    return make_scene(broker, tls_redis.url_for(f"{USER}:{LOGIN}@"), "test-errors-events")


@pytest.fixture(scope="session")
def plain_redis() -> Iterator[SecureRedis]:
    """Return a Redis without TLS and users."""
    with SecureRedis() as server:
        yield server


def refusal(environment: dict[str, str], *command: str) -> str:
    """Run a worker that cannot start, and return the only line it prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")}
    done = subprocess.run(
        [sys.executable, "-m", "segstream", *(command or ("worker",))],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert PASSWORD not in lines[0]
    assert LOGIN not in lines[0]
    return lines[0].removeprefix("segstream: ")


def matches(text: str, wanted: str) -> None:
    """Check a whole line; `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
    assert re.fullmatch(pattern, text), f"{text}\n  is not\n{wanted}"


def over_tls(broker: SecureKafka, certificates: Certificates, listener: str = "SASL_SSL") -> dict[str, Any]:
    """Return the settings for a listener that wants a login over TLS."""
    return {
        "kafka": broker.at(listener),
        "kafka_security": "SASL_SSL",
        "kafka_username": USER,
        "kafka_password": PASSWORD,
        "kafka_ca_file": certificates.ca,
        "redis_ca_file": certificates.ca,
    }


KAFKA_REFUSALS = {
    "nobody there": (
        {"kafka": "127.0.0.1:1", "kafka_security": "PLAINTEXT"},
        "Kafka at 127.0.0.1:1: nobody listens there; start it, or correct SEGSTREAM_KAFKA",
    ),
    "no such host": (
        {"kafka": "no-such-host.invalid:9092", "kafka_security": "PLAINTEXT"},
        "Kafka at no-such-host.invalid:9092: the host is not known (...); correct SEGSTREAM_KAFKA",
    ),
    "wrong password": (
        {"kafka": "SASL_SSL", "kafka_password": WRONG},
        (
            "Kafka at 127.0.0.1:...: it refuses the user worker by SCRAM-SHA-512; check SEGSTREAM_KAFKA_USERNAME, "
            "SEGSTREAM_KAFKA_PASSWORD (or _FILE) and SEGSTREAM_KAFKA_SASL_MECHANISM"
        ),
    ),
    "wrong authority": (
        {"kafka": "SSL", "kafka_security": "SSL", "kafka_ca_file": "other_ca"},
        "Kafka at 127.0.0.1:...: its certificate is not trusted (...); name the authority's in SEGSTREAM_KAFKA_CA_FILE",
    ),
    "plain client, TLS port": (
        {"kafka": "SSL", "kafka_security": "PLAINTEXT"},
        "Kafka at 127.0.0.1:...: it speaks TLS there; set SEGSTREAM_KAFKA_SECURITY to SSL, or use another port",
    ),
    "TLS client, plain port": (
        {"kafka": "PLAINTEXT", "kafka_security": "SSL"},
        "Kafka at 127.0.0.1:...: it does not speak TLS there; set SEGSTREAM_KAFKA_SECURITY to PLAINTEXT, or use another port",
    ),
    "no certificate shown": (
        {"kafka": "MUTUAL", "kafka_security": "SSL"},
        (
            "Kafka at 127.0.0.1:...: it refuses the connection (...certificate...); set SEGSTREAM_KAFKA_CERT_FILE and "
            "SEGSTREAM_KAFKA_KEY_FILE to this client's certificate and key"
        ),
    ),
    "no login, login port": (
        {"kafka": "SASL_PLAINTEXT", "kafka_security": "PLAINTEXT"},
        "Kafka at 127.0.0.1:...: it hangs up, as one does that wants a login; set SEGSTREAM_KAFKA_SECURITY to SASL_PLAINTEXT",
    ),
    "login, port without": (
        {"kafka": "SSL"},
        "Kafka at 127.0.0.1:...: it takes no login there; set SEGSTREAM_KAFKA_SECURITY to SSL, or use another port",
    ),
}


@pytest.mark.parametrize(("settings", "said"), KAFKA_REFUSALS.values(), ids=KAFKA_REFUSALS.keys())
def test_why_kafka_cannot_be_reached_is_told_in_a_line(
    broker: SecureKafka,
    certificates: Certificates,
    scene: Scene,
    definitions: Path,
    settings: dict[str, str],
    said: str,
) -> None:
    """Each way to be refused has its own words, though aiokafka has one for all of them."""
    given: dict[str, Any] = over_tls(broker, certificates) | settings
    if settings["kafka"] in {*broker.ports, "PLAINTEXT"}:
        given["kafka"] = broker.address if settings["kafka"] == "PLAINTEXT" else broker.at(settings["kafka"])
    if settings.get("kafka_ca_file") == "other_ca":
        given["kafka_ca_file"] = certificates.other_ca
    if not given["kafka_security"].startswith("SASL"):
        del given["kafka_username"], given["kafka_password"]
    if given["kafka_security"] == "PLAINTEXT":
        del given["kafka_ca_file"]
    matches(refusal(scene.environment(definitions, **given)), said)


def test_a_missing_topic_is_named(broker: SecureKafka, scene: Scene, definitions: Path) -> None:
    """With the command that creates it."""
    environment = scene.environment(
        definitions, redis="redis://127.0.0.1:1", topic_changes="test-errors-nowhere"
    )
    matches(refusal(environment), "topics missing...: test-errors-nowhere; `segstream topics` creates them")
    assert broker.running


def test_topics_that_are_not_co_partitioned_are_named(
    broker: SecureKafka, scene: Scene, definitions: Path
) -> None:
    """With the number of partitions of each."""
    broker.create({"test-errors-three": 3})
    said = refusal(scene.environment(definitions, topics=f"{scene.events[0]},test-errors-three"))
    matches(said, "topics must have the same number of partitions, but ...test-errors-three has 3...")


def test_rights_that_are_missing_are_named_all_at_once(
    broker: SecureKafka, certificates: Certificates, scene: Scene, definitions: Path
) -> None:
    """Topics, groups and transactional ids, before the worker has joined or written anything."""
    broker.create({f"test-norights-{name}": 1 if name == "samples" else 2 for name in OUTPUTS})
    broker.allow("TOPIC", "test-norights-changes", "DESCRIBE")
    broker.allow("TOPIC", "test-norights-published", "WRITE")
    given = {f"topic_{name}": f"test-norights-{name}" for name in OUTPUTS}
    said = refusal(
        scene.environment(definitions, **over_tls(broker, certificates), **given, group="test-norights")
    )
    matches(
        said,
        f"Kafka at {broker.at('SASL_SSL')}: User:worker has no right to topic test-norights-changes (WRITE); "
        "topic test-norights-dead_letters (WRITE); topic test-norights-memberships (WRITE); "
        "topic test-norights-published (READ); topic test-norights-rerouted (READ, WRITE); "
        "topic test-norights-samples (READ, WRITE); "
        "group test-norights (READ); group test-norights-control (READ); "
        "transactional id test-norights-0 (WRITE, and to those of the other partitions); grant them (kafka-acls --add)",
    )


REDIS_REFUSALS = {
    "nobody there": (
        {"redis": "redis://127.0.0.1:1/0"},
        "Redis at 127.0.0.1:1/0: Error 111 connecting...; check SEGSTREAM_REDIS, and that it runs and can be reached",
    ),
    "wrong password": (
        {"redis_username": USER, "redis_password": WRONG},
        (
            "Redis at 127.0.0.1:...: ...; check user and password in SEGSTREAM_REDIS, or SEGSTREAM_REDIS_USERNAME and "
            "SEGSTREAM_REDIS_PASSWORD (or _FILE)"
        ),
    ),
    "no password": (
        {},
        "Redis at 127.0.0.1:...: Authentication required; check user and password in SEGSTREAM_REDIS, or ...",
    ),
    "wrong authority": (
        {"redis_ca_file": "other_ca"},
        (
            "Redis at 127.0.0.1:...CERTIFICATE_VERIFY_FAILED...; its certificate is not trusted: name the authority's in "
            "SEGSTREAM_REDIS_CA_FILE"
        ),
    ),
    "plain client, TLS port": (
        {"redis": "redis://127.0.0.1:{tls}/0"},
        "Redis at 127.0.0.1:...; one that speaks TLS hangs up on redis://: write rediss:// then",
    ),
    "TLS client, plain port": (
        {"redis": "rediss://127.0.0.1:{plain}/0"},
        (
            "Redis at 127.0.0.1:...: Timeout connecting to server; check SEGSTREAM_REDIS and the network; a server that "
            "speaks no TLS does not answer rediss:// either"
        ),
    ),
    "no right to keys": (
        {"redis_username": "nokeys", "redis_password": "x"},
        (
            "Redis at 127.0.0.1:...: ...permissions to access one of the keys...; grant its user what deploy/access.md lists "
            "under *Rights in Redis* (ACL SETUSER)"
        ),
    ),
    "no right to commands": (
        {"redis_username": "nocommand", "redis_password": "x"},
        (
            "Redis at 127.0.0.1:...: its user may not use ZADD, XTRIM (...); grant what deploy/access.md lists under "
            "*Rights in Redis* (ACL SETUSER)"
        ),
    ),
    "no right to INFO": (
        {"redis_username": "noinfo", "redis_password": "x"},
        "Redis at 127.0.0.1:...: ...permissions to run the 'info' command; grant its user what ...",
    ),
}


@pytest.mark.parametrize(("settings", "said"), REDIS_REFUSALS.values(), ids=REDIS_REFUSALS.keys())
def test_why_redis_is_of_no_use_is_told_in_a_line(
    tls_redis: SecureRedis,
    plain_redis: SecureRedis,
    certificates: Certificates,
    scene: Scene,
    definitions: Path,
    settings: dict[str, str],
    said: str,
) -> None:
    """What Redis or TLS said, and which setting or server to look at."""
    given: dict[str, Any] = {"redis": tls_redis.url_for(), "redis_ca_file": certificates.ca} | settings
    given["redis"] = given["redis"].format(tls=tls_redis.port, plain=plain_redis.port)
    if given["redis"].startswith("redis:"):
        del given["redis_ca_file"]
    elif given["redis_ca_file"] == "other_ca":
        given["redis_ca_file"] = certificates.other_ca
    matches(refusal(scene.environment(definitions, **given)), said)


STATES = {
    "evicts keys": (
        {"maxmemory-policy": "allkeys-lru"},
        (
            "it evicts keys when memory is short (maxmemory-policy is allkeys-lru), users' states among them; "
            "set maxmemory-policy to noeviction, or use a Redis of its own"
        ),
    ),
    "out of memory": (
        {"maxmemory": "1"},
        "...'maxmemory'...; raise its maxmemory (with maxmemory-policy noeviction)",
    ),
    "replicas missing": (
        {"min-replicas-to-write": "1"},
        "NOREPLICAS ...; fewer replicas than its min-replicas-to-write are there: bring them back",
    ),
    "read-only replica": (
        {"replicaof": "127.0.0.1 1"},
        "this is a replica; give the address of the primary",
    ),
    "node of a cluster": (
        {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"},
        "it is a node of a cluster; set SEGSTREAM_REDIS_CLUSTER to true",
    ),
}


@pytest.mark.parametrize(("options", "said"), STATES.values(), ids=STATES.keys())
def test_a_redis_that_would_lose_or_refuse_the_state_is_not_used(
    scene: Scene, definitions: Path, options: dict[str, str], said: str
) -> None:
    """Found out before anything is written."""
    with SecureRedis(options) as server:
        text = refusal(scene.environment(definitions, redis=server.url))
        matches(text, f"Redis at 127.0.0.1:{server.port}/0: {said}")


def test_a_redis_that_is_no_cluster_is_not_taken_for_one(
    plain_redis: SecureRedis, scene: Scene, definitions: Path
) -> None:
    """The other way round it is told, too."""
    text = refusal(scene.environment(definitions, redis=plain_redis.url, redis_cluster="true"))
    matches(text, "Redis at 127.0.0.1:...; it is no node of a cluster: set SEGSTREAM_REDIS_CLUSTER to false")


def test_a_command_that_reads_says_the_same(scene: Scene, definitions: Path) -> None:
    """Not only the worker: whatever talks to Kafka explains itself."""
    environment = scene.environment(definitions, kafka=f"127.0.0.1:{free_port()}")
    matches(
        refusal(environment, "topics"),
        "Kafka at 127.0.0.1:...: nobody listens there; start it, or correct SEGSTREAM_KAFKA",
    )
