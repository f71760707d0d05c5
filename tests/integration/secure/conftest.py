"""Servers with TLS, logins and rights, started once for all tests that do not break them; and what a worker told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.checker import Stories, stories
from tests.deployed_rights import OPERATOR, WORKER, deployed_topics, grant, users_of_redis
from tests.deployments import SHOP, orders
from tests.redis_users import RestrictedRedis
from tests.secure_servers import (
    PASSWORD,
    USER,
    Certificates,
    SecureKafka,
    SecureRedis,
    SentinelTrio,
    make_certificates,
    secure_kafka,
)
from tests.workers import OUTPUTS, Scene, Worker, applied, send

PARTITIONS = 2
RIGHTS = "+@read +@write +@connection +@scripting -@dangerous +info +wait"
"""What deploy/access.md says a worker's user needs, before Redis 7.2; +waitaof comes with that."""


class History(NamedTuple):
    """Events, and what a worker tells of them over servers without any of this.

    Parameters
    ----------
    topic : str
        Where they are.
    definitions : Path
    told : Stories
    """

    topic: str
    definitions: Path
    told: Stories


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates of an authority of the tests' own."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def broker(certificates: Certificates) -> Iterator[SecureKafka]:
    """Return a Kafka with a listener of each kind, and rights."""
    with secure_kafka(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def tls_redis(certificates: Certificates) -> Iterator[SecureRedis]:
    """Return a Redis that speaks TLS and has users: ``worker``, and some who may do less."""
    keys = "~test-* ~segstream:* ~segments:*"
    users = [
        f"{USER} on >{PASSWORD.replace(' ', '_')} {keys} {RIGHTS}",
        f"nokeys on >x ~other:* {RIGHTS}",
        f"nocommand on >x {keys} {RIGHTS} -zadd -xtrim",
        f"noinfo on >x {keys} {RIGHTS} -info",
    ]
    with SecureRedis(certificates=certificates, users=users) as server:
        yield server


def make_scene(broker: SecureKafka, redis: str, topic: str, partitions: int = PARTITIONS) -> Scene:
    """Create the topics of a deployment that reads ``topic``, grant the user its rights, and return it."""
    prefix = f"test-{uuid.uuid4().hex[:12]}-"
    scene = Scene(broker.address, redis, prefix, (topic,), partitions)
    compacted = {"cleanup.policy": "compact"}
    broker.create(
        {scene.topic(name): 1 if name == "samples" else partitions for name in OUTPUTS},
        {scene.topic(name): compacted for name in ("memberships", "published")},
    )
    broker.allow("TOPIC", topic, "READ")
    broker.allow("TOPIC", prefix, "READ", "WRITE", prefixed=True)
    broker.allow("GROUP", prefix, "READ", prefixed=True)
    broker.allow("TRANSACTIONAL_ID", prefix, "WRITE", prefixed=True)
    return scene


@pytest.fixture(scope="session")
def history(broker: SecureKafka, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Return the orders of half a year, and what follows from them."""
    topic = f"test-{uuid.uuid4().hex[:12]}-shop"
    broker.create({topic: PARTITIONS})
    definitions = tmp_path_factory.mktemp("definitions") / "shop.yaml"
    definitions.write_text(SHOP)

    async def tell(scene: Scene) -> Stories:
        await send(scene, orders(3_000, seed=5))
        with Worker(scene.environment(definitions)) as worker:
            await applied(scene, [worker], 60)
            assert worker.stop() == 0
        return await stories(scene)

    with RestrictedRedis(durable=False) as redis:
        told = asyncio.run(tell(make_scene(broker, redis.url, topic)))
    assert told
    return History(topic, definitions, told)


@pytest.fixture(scope="session")
def trio() -> Iterator[SentinelTrio]:
    """Return a primary with replicas and Sentinels that nobody breaks."""
    with SentinelTrio() as servers:
        yield servers


@pytest.fixture(scope="module")
def broker_with_rules(certificates: Certificates) -> Iterator[SecureKafka]:
    """Return a Kafka of a file's own, with the topics under their usual names and the rules of the KafkaUsers."""
    with secure_kafka(certificates) as server:
        server.create(*deployed_topics())
        for user in (WORKER, OPERATOR):
            grant(server, user)
        yield server


@pytest.fixture
def redis_with_rules() -> Iterator[SecureRedis]:
    """Return a Redis whose users are those of ``redis.acl``, each with a password."""
    with SecureRedis(users=users_of_redis()) as server:
        yield server
