"""What commands can do for a user who may only look: Apache Kafka with a login, and as few rights as can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from tests.secure_servers import PASSWORD, WAIT_SECONDS, SecureKafka

PREFIX = "looking-"
NAMES = ("changes", "memberships", "dead_letters", "rerouted", "published", "samples")
LOOKER = "looker"


@pytest.fixture(scope="module", autouse=True)
def topics(broker: SecureKafka) -> None:
    """Create all topics, and a user who may describe them."""
    compacted = {f"{PREFIX}{name}": {"cleanup.policy": "compact"} for name in ("memberships", "published")}
    broker.create(
        {f"{PREFIX}{name}": 1 if name == "samples" else 2 for name in ("events", *NAMES)}, compacted
    )
    broker.set_password(PASSWORD, LOOKER)
    broker.allow("TOPIC", PREFIX, "DESCRIBE", prefixed=True, user=LOOKER)


def run(broker: SecureKafka, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user who may only look."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")}
    own = {
        "kafka": broker.at("SASL_PLAINTEXT"),
        "kafka_security": "SASL_PLAINTEXT",
        "kafka_username": LOOKER,
        "kafka_password": PASSWORD,
        "topics": f"{PREFIX}events",
        **{f"topic_{name}": f"{PREFIX}{name}" for name in NAMES},
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-m", "segstream", *arguments],
        env=clean | {f"SEGSTREAM_{name.upper()}": value for name, value in own.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_check_needs_no_more_than_the_right_to_describe(broker: SecureKafka) -> None:
    """Partitions are compared; that settings could not be is a warning, once for all topics."""
    done = run(broker, "topics", "--check", "--partitions", "2")
    assert done.returncode == 0, done.stderr
    (warning,) = done.stderr.splitlines()
    assert warning.startswith(f"warning: cannot check the settings of {PREFIX}events, {PREFIX}rerouted, ")
    told = json.loads(run(broker, "topics", "--check", "--json").stdout)
    assert (told["valid"], len(told["warnings"])) == (True, 1)
    assert told["topics"][f"{PREFIX}events"] == {"partitions": 2, "replicas": 1, "settings": None}


def test_settings_are_compared_where_they_may_be_read(broker: SecureKafka) -> None:
    """With DescribeConfigs on one topic, the warning names the others."""
    broker.allow("TOPIC", f"{PREFIX}memberships", "DESCRIBE_CONFIGS", user=LOOKER)
    told = json.loads(run(broker, "topics", "--check", "--json").stdout)
    assert told["topics"][f"{PREFIX}memberships"]["settings"]["cleanup.policy"] == "compact"
    assert f"{PREFIX}memberships" not in told["warnings"][0]


def test_creating_without_the_right_is_refused_in_one_line(broker: SecureKafka) -> None:
    """What was not created is named."""
    done = run(broker, "topics", topic_changes=f"{PREFIX}other")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"{PREFIX}other" in done.stderr


def test_changes_that_may_not_be_read_are_one_line(broker: SecureKafka) -> None:
    """The right to describe a topic is not the right to read it."""
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(f"{PREFIX}changes", b"{}", b"u1")
    assert producer.flush(WAIT_SECONDS) == 0
    done = run(broker, "changes", "--from", "earliest")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"segstream: read {PREFIX}changes: Kafka refuses (TopicAuthorizationFailedError"
    )
    assert done.stderr.count("\n") == 1
    done = run(broker, "changes", topic_changes=f"{PREFIX}unseen-by-anyone")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is missing, or not to be seen by this client" in done.stderr
