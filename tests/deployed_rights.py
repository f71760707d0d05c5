"""The rights that `deploy/` gives, on servers of the tests' own: those of Strimzi's KafkaUsers, and redis.acl."""

from __future__ import annotations

import re
from typing import Final

from tests.leaks import secret
from tests.manifests import ROOT, documents, one
from tests.secure_servers import SecureKafka, SecureRedis

WORKER: Final = "segstream"
OPERATOR: Final = "segstream-operator"
PASSWORD: Final = secret()
PARTITIONS: Final = 2


def deployed_topics() -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """Return Strimzi's KafkaTopics as one broker can hold them: their numbers of partitions, and their settings."""
    made = {
        each["metadata"]["name"]: each["spec"]
        for each in documents("strimzi")
        if each["kind"] == "KafkaTopic"
    }
    counts = {name: min(spec["partitions"], PARTITIONS) for name, spec in made.items()}
    config = {
        name: {key: str(value) for key, value in spec["config"].items() if key != "min.insync.replicas"}
        for name, spec in made.items()
    }
    return counts, config


def grant(broker: SecureKafka, user: str) -> None:
    """Give a user a password and the rules of its KafkaUser."""
    broker.set_password(PASSWORD, user)
    for rule in one("strimzi", "KafkaUser", user)["spec"]["authorization"]["acls"]:
        resource = rule["resource"]
        broker.allow(
            _words(resource["type"]),
            resource["name"],
            *map(_words, rule["operations"]),
            prefixed=resource["patternType"] == "prefix",
            user=user,
        )


def _words(name: str) -> str:
    """Return Strimzi's name in Kafka's form."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def users_of_redis() -> list[str]:
    """Return the users of ``redis.acl``, each with a password."""
    lines = (ROOT / "deploy" / "redis.acl").read_text(encoding="utf-8").splitlines()
    users = [line.removeprefix("user ").replace("resetpass", f">{PASSWORD}") for line in lines]
    if _version() < (7, 2):
        # What came with 7.2, and an older server refuses to read.
        users = [re.sub(r" \+(waitaof|client\|setinfo)\b", "", user) for user in users]
    return users


def _version() -> tuple[int, ...]:
    with SecureRedis() as server:
        client = server.client()
        try:
            return tuple(map(int, client.info("server")["redis_version"].split(".")[:2]))
        finally:
            client.close()


def environment_of(user: str, kafka: SecureKafka, redis: SecureRedis) -> dict[str, str]:
    """Return the settings by which a user of Kafka gets in, to Redis as the worker."""
    return {
        "SEGSTREAM_KAFKA": kafka.at("SASL_PLAINTEXT"),
        "SEGSTREAM_KAFKA_SECURITY": "SASL_PLAINTEXT",
        "SEGSTREAM_KAFKA_USERNAME": user,
        "SEGSTREAM_KAFKA_PASSWORD": PASSWORD,
        "SEGSTREAM_REDIS": redis.url,
        "SEGSTREAM_REDIS_USERNAME": WORKER,
        "SEGSTREAM_REDIS_PASSWORD": PASSWORD,
    }
