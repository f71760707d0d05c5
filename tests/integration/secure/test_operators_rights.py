"""Every command does its work with no more rights in Kafka than Strimzi's KafkaUser for operators, and those harm nobody."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not say what it exports
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from redis.asyncio import Redis

from segstream.adapters.connections import out_topics
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.group import members_of
from segstream.adapters.kafka.letters import marks_topic
from segstream.adapters.kafka.topics import Topics
from segstream.core.partitioning import murmur2
from segstream.outbox import Parcel
from segstream.ports import OutboxEntry
from segstream.settings import Settings
from tests.deployed_rights import OPERATOR, PARTITIONS, PASSWORD, WORKER, environment_of
from tests.deployments import SHOP, orders
from tests.operations import Ran, segstream
from tests.secure_servers import WAIT_SECONDS, SecureKafka, SecureRedis
from tests.workers import Scene, Worker, applied, read_all, send, track

PATIENCE: Final = 90
TOPICS: Final = Topics()
EVENTS: Final = TOPICS.events[0]
GROUP: Final = "segstream"
PREFIX: Final = {"SEGSTREAM_REDIS_PREFIX": "segstream:state"}
"""Where `tests.workers` looks for the state."""
REFUSED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
pytestmark = pytest.mark.timeout(300)


@pytest.mark.long
async def test_every_command_works_with_the_operators_rights(
    broker_with_rules: SecureKafka, redis_with_rules: SecureRedis, tmp_path: Path
) -> None:
    """Beside a worker with the worker's: looked at, recounted, published, sent again; and after it, begun anew."""
    definitions, other = tmp_path / "shop.yaml", tmp_path / "other.yaml"
    definitions.write_text(SHOP)
    other.write_text(SHOP.replace("revenue_30d >= 150", "revenue_30d >= 140"))
    environment = environment_of(WORKER, broker_with_rules, redis_with_rules) | {
        **PREFIX,
        "SEGSTREAM_DEFINITIONS": str(definitions),
        "SEGSTREAM_SESSION_TIMEOUT": "6s",
        "SEGSTREAM_WEB_PORT": "0",
        "SEGSTREAM_LOG_FORMAT": "json",
    }
    login = environment_of(OPERATOR, broker_with_rules, redis_with_rules) | PREFIX
    # As seen by who may do everything.
    everybody = redis_with_rules.url_for(":".join(redis_with_rules.ADMIN) + "@")
    scene = Scene(broker_with_rules.address, everybody, "segstream:", (EVENTS,), PARTITIONS)

    async def run(*words: str, code: int = 0) -> Ran:
        ran = await segstream(login, *words, seconds=PATIENCE)
        assert ran.code == code, (words, ran)
        assert not any(
            word in ran.err for word in ("refuse", "ermission", "uthoriz", "not to be seen", "cannot check")
        ), ran.err
        return ran

    sent = orders(1_000, seed=3)
    await send(scene, [*sent, ("u1", b"no event")])
    user = sent[0][0]
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        for words in (
            ("user", user),
            ("explain", user),
            ("plan", str(other)),
            ("segments",),
            ("segments", "--since", "1h"),
            ("history",),
            ("diff", "active", str(other)),
            ("topics", "--check"),
            ("apply", str(other), "--yes", "--wait"),
            ("rollback", "--yes"),
            ("rebuild",),
        ):
            await run(*words)
        told = [json.loads(line) for line in (await run("changes", "--json")).out.splitlines()]
        assert {change["user_id"] for change in told} >= {user}
        assert json.loads((await run("verify", "--json")).out)["equal"]
        # Where something differs, it reads what was published.
        with falsified(redis_with_rules) as victim:
            differing = json.loads((await run("verify", "--json", code=1)).out)
        assert {each["user_id"] for each in differing["differences"]} == {victim}
        assert differing["differences"][0]["published"]

        (letter,) = (await run("dead-letters", "list", "--json")).out.splitlines()
        await run("dead-letters", "show", json.loads(letter)["letter"])
        assert json.loads((await run("dead-letters", "replay", "--yes", "--json")).out)["sent"] == 1
        assert json.loads((await run("dead-letters", "replay", "--yes", "--json")).out)["before"] == 1
        # What is sent again ends with a mark of its transaction, which nobody applies.
        await send(scene, orders(20, seed=4))
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    (marks,) = await read_all(scene._replace(partitions=1), marks_topic(TOPICS.dead_letters))
    assert marks, "what was sent again is kept"

    await die_owing(scene, environment)
    await nobody_is_in_the_group(scene)
    await run("reset", "--keep-state", "--to", "latest", "--topic", EVENTS, "--yes")
    begun = json.loads((await run("reset", "--to", "earliest", "--yes", "--json")).out)
    assert sum(part["users_dropped"] for part in begun["partitions"]) > 0
    forwarded = await read_all(scene, TOPICS.rerouted)
    assert sum(map(len, forwarded)) == 1, "the reset has sent what was owed"
    await send(scene, orders(20, seed=5))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    assert json.loads((await run("verify", "--json")).out)["equal"]


@contextmanager
def falsified(redis: SecureRedis) -> Iterator[str]:
    """Take a user out of a segment, in the answer that others see, and put it back afterwards."""
    client = redis.client()
    try:
        for key in sorted(client.keys("segments:user:*")):
            held = {name: value for name, value in client.hgetall(key).items() if name.startswith("s:")}
            if held:
                client.hdel(key, *held)
                yield key.removeprefix("segments:user:")
                client.hset(key, mapping=held)
                return
        raise AssertionError("nobody is in any segment")
    finally:
        client.close()


async def die_owing(scene: Scene, environment: dict[str, str]) -> None:
    """Let a worker be killed when it has committed that an event is to be forwarded, and not yet sent it."""
    lost = "lost"
    wrong = 1 - murmur2(lost.encode(), PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    try:
        event = track(lost, "2020-01-01T00:00:00Z", "lost")
        await producer.send_and_wait(EVENTS, event, key=b"other", partition=wrong)
    finally:
        await producer.stop()
    # Something else may be told before the event's turn comes; then once more, behind that.
    for number in (1, *[2] * 5):
        failpoint = {
            "SEGSTREAM_FAILPOINT": f"in-transaction:{number}",
            "SEGSTREAM_FAILPOINT_ALLOWED": "true",
        }
        with Worker(environment | failpoint) as worker:
            assert await asyncio.to_thread(worker.child.wait, PATIENCE) == -signal.SIGKILL, worker.log
        if await forwarding_is_owed(scene):
            return
        await nobody_is_in_the_group(scene)
    raise AssertionError("it was never killed with an event to forward")


async def forwarding_is_owed(scene: Scene) -> bool:
    """Tell whether an outbox has an event that is to be forwarded."""
    client: Any = Redis.from_url(scene.redis)
    try:
        entries = [
            OutboxEntry(0, *fields.values())
            for number in range(PARTITIONS)
            for _, fields in await client.xrange(f"segstream:state:{{{number}}}:outbox")
        ]
    finally:
        await client.aclose()
    topics = {
        record.topic for entry in entries for record in Parcel.open(entry).records(out_topics(Settings()))
    }
    return TOPICS.rerouted in topics


async def nobody_is_in_the_group(scene: Scene) -> None:
    """Wait until the worker that was killed is missed."""
    deadline = time.monotonic() + PATIENCE
    while members := await members_of(KafkaSettings(scene.kafka), GROUP):
        assert time.monotonic() < deadline, members
        await asyncio.sleep(0.2)


BRIEF: Final = ConfigResource(
    ResourceType.TOPIC,
    TOPICS.changes,
    incremental_configs=[ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)],
)
MOVED: Final = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(EVENTS, 0, 0)])
EVERYTHING: Final = AclBinding(
    ResourceType.TOPIC,
    EVENTS,
    ResourcePatternType.LITERAL,
    f"User:{OPERATOR}",
    "*",
    AclOperation.ALL,
    AclPermissionType.ALLOW,
)

HARM: Final[dict[str, Callable[[Any], Any]]] = {
    "delete a topic": lambda admin: admin.delete_topics([TOPICS.changes]),
    "make a topic": lambda admin: admin.create_topics([NewTopic("segment-other", 1, 1)]),
    "add partitions": lambda admin: admin.create_partitions([NewPartitions(TOPICS.samples, 2)]),
    "delete records": lambda admin: admin.delete_records([TopicPartition(EVENTS, 0, 0)]),
    "change settings": lambda admin: admin.incremental_alter_configs([BRIEF]),
    "delete a group": lambda admin: admin.delete_consumer_groups([GROUP]),
    "move a group": lambda admin: admin.alter_consumer_group_offsets([MOVED]),
    "grant rights": lambda admin: admin.create_acls([EVERYTHING]),
}
"""What nobody but an administrator of Kafka has to do."""


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize(
    ("user", "unless"), [(WORKER, {"move a group"}), (OPERATOR, set())], ids=[WORKER, OPERATOR]
)
def test_neither_user_can_do_harm_that_its_work_does_not_ask_for(
    broker_with_rules: SecureKafka, user: str, unless: set[str], harm: str
) -> None:
    """Topics, their settings and records, groups and rights are Kafka's administrators'; workers commit what they have read."""
    login: dict[str, str | int | float | bool] = {
        "bootstrap.servers": broker_with_rules.at("SASL_PLAINTEXT"),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": PASSWORD,
    }
    admin = AdminClient(login)  # kept until it has done what it was asked for
    refused = refusal(HARM[harm](admin))
    assert (refused is None) if harm in unless else (refused in REFUSED), refused


def refusal(asked: dict[Any, Any]) -> int | None:
    """Return the code of Kafka's error, None where it has done what it was asked for."""
    (done,) = asked.values()
    try:
        result = done.result(WAIT_SECONDS)
    except KafkaException as error:
        return int(error.args[0].code())
    # Of moving a group it tells by partition.
    errors = [each.error for each in getattr(result, "topic_partitions", ()) if each.error is not None]
    return int(errors[0].code()) if errors else None
