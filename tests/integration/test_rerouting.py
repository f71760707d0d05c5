"""A topic that nobody keys, two workers, one of which is killed: everybody becomes what a keyed topic would have made."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from redis.asyncio import Redis

from segstream.core.partitioning import murmur2
from segstream.core.time import HOUR, parse_time
from segstream_schemas.keys import ReadModelKeys
from tests.deployments import Deployments
from tests.operations import segstream
from tests.workers import Scene, Worker, applied, ends, read_all

PARTITIONS: Final = 4
ROWS: Final = 2_400
PATIENCE: Final = 90.0

DEFINITIONS: Final = """
version: 1
sources:
  visits:
    topic: {topic}
    keyed: {keyed}
    type: page
    user: visitor.id
    timestamp: seen_at
    timestamp_unit: ms
    properties: {{spent: basket.cents}}
features:
  visits: {{op: count, type: page, expose: true}}
  spent:  {{op: sum, of: properties.spent, topic: {topic}, expose: true}}
  latest: {{op: last_time, type: page}}
segments:
  frequent: {{when: visits >= 12}}
  spender:  {{when: spent > 900}}
  gone:     {{when: since(latest) > 30d}}
"""


def rows() -> list[tuple[str, dict[str, Any]]]:
    """Return visitors and what a web shop's own log says of their visits, long ago."""
    draw = random.Random(11)
    begin = parse_time("1997-01-01T00:00:00Z")
    found = []
    for number in range(ROWS):
        user = f"v{draw.randrange(200):03d}"
        row = {
            "visitor": {"id": user},
            "seen_at": begin + number * HOUR,
            "basket": {"cents": draw.randrange(150)},
        }
        found.append((user, row))
    return found


async def send(scene: Scene, placed: list[tuple[int, bytes | None, dict[str, Any]]]) -> None:
    """Send rows to these partitions, with these keys."""
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka, linger_ms=20)
    await producer.start()
    try:
        for partition, key, row in placed:
            await producer.send(scene.events[0], json.dumps(row).encode(), key=key, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


async def forwarded_too(scene: Scene, workers: list[Worker]) -> int:
    """Wait until what was forwarded is applied and told; return how many records that are."""
    client, deadline = Redis.from_url(scene.redis), time.monotonic() + PATIENCE
    try:
        while True:
            logs = await read_all(scene, scene.topic("rerouted"))
            behind, left = 0, 0
            for number, records in enumerate(logs):
                key = f"{scene.prefix}state:{{{number}}}"
                offset = await client.hget(f"{key}:meta", f"offset:{scene.topic('rerouted')}")
                behind += bool(records) and int(offset or -1) < records[-1].offset
                left += await client.xlen(f"{key}:outbox")
            if not behind and not left:
                return sum(map(len, logs))
            assert all(worker.running for worker in workers)
            assert time.monotonic() < deadline, f"{behind} partitions behind, {left} entries in outboxes"
            await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def answers(scene: Scene, users: list[str]) -> dict[str, tuple[dict[str, float], list[str]]]:
    """Return what everybody can read of users: exposed features and segments."""
    client, keys = (
        Redis.from_url(scene.redis, decode_responses=True),
        ReadModelKeys(f"{scene.prefix}segments"),
    )
    found = {}
    try:
        for user in users:
            told = {str(name): value for name, value in (await client.hgetall(keys.user(user))).items()}
            features = {name: float(value) for name, value in told.items() if name.startswith("f:")}
            found[user] = features, sorted(name for name in told if name.startswith("s:"))
    finally:
        await client.aclose()
    return found


async def test_an_unkeyed_topic_is_applied_once_though_a_worker_is_killed(deployments: Deployments) -> None:
    """Shuffled over four partitions; counted in plain Python, compared with a keyed topic, and recounted by `verify`."""
    shuffled, keyed = await deployments.inputs("shuffled", "keyed", partitions=PARTITIONS)
    scene = await deployments.scene("shuffled", [shuffled], PARTITIONS)
    other = await deployments.scene("keyed", [keyed], PARTITIONS)
    events, draw = rows(), random.Random(5)
    await send(scene, [(draw.randrange(PARTITIONS), None, row) for _, row in events])
    await send(other, [(murmur2(user.encode(), PARTITIONS), user.encode(), row) for user, row in events])
    definitions = deployments.file("shuffled.yaml", DEFINITIONS.format(topic=shuffled, keyed="false"))
    # Small batches, each told at once, so that the worker is killed in the middle of many.
    environment = scene.environment(definitions, session_timeout="6s", batch=25, publish_interval="10ms")
    with Worker(environment) as first, Worker(environment) as second:
        await applied(scene, [first, second], PATIENCE, share=0.3)
        os.kill(first.child.pid, signal.SIGKILL)
        await applied(scene, [second], PATIENCE)
        forwarded = await forwarded_too(scene, [second])
        assert second.stop() == 0
    with Worker(
        other.environment(deployments.file("keyed.yaml", DEFINITIONS.format(topic=keyed, keyed="true")))
    ) as worker:
        await applied(other, [worker], PATIENCE)
        assert worker.stop() == 0
    # A quarter of them lay in the right partition by chance; none of the others may have been forwarded twice unseen.
    assert ROWS / 2 < forwarded < ROWS
    visits = Counter(user for user, _ in events)
    spent: Counter[str] = Counter()
    for user, row in events:
        spent[user] += row["basket"]["cents"]
    found = await answers(scene, sorted(visits))
    assert {user: features for user, (features, _) in found.items()} == {
        user: {"f:visits": visits[user], "f:spent": spent[user]} for user in visits
    }
    assert found == await answers(other, sorted(visits))
    assert [len(records) for records in await read_all(scene, scene.topic("dead_letters"))] == [
        0
    ] * PARTITIONS
    changes = [change for part in await read_all(scene, scene.topic("changes")) for change in part]
    causes = [json.loads(change.value)["cause"] for change in changes]
    assert {cause["topic"] for cause in causes if cause["type"] == "event"} == {shuffled}
    verified = await segstream(environment, "verify", "--json")
    assert verified.code == 0, verified.out + verified.err


async def test_begun_anew_everything_is_forwarded_and_applied_again(deployments: Deployments) -> None:
    """Though the first forwarded records are gone: those left would hide the new ones with lower offsets in the source."""
    (shuffled,) = await deployments.inputs("anew", partitions=PARTITIONS)
    scene = await deployments.scene("anew", [shuffled], PARTITIONS)
    events, draw = rows()[:400], random.Random(6)
    await send(scene, [(draw.randrange(PARTITIONS), None, row) for _, row in events])
    definitions = deployments.file("anew.yaml", DEFINITIONS.format(topic=shuffled, keyed="false"))
    environment = scene.environment(definitions)
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        first = await forwarded_too(scene, [worker])
        assert worker.stop() == 0
    logs = await read_all(scene, scene.topic("rerouted"))
    middles = {
        TopicPartition(scene.topic("rerouted"), number): RecordsToDelete(records[len(records) // 2].offset)
        for number, records in enumerate(logs)
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    await admin.delete_records(middles)
    await admin.close()
    refused = await segstream(environment, "reset", "--topic", shuffled, "--to", "earliest", "--yes")
    assert (refused.code, "leave --topic out" in refused.err) == (2, True), refused.err
    ran = await segstream(environment, "reset", "--to", "earliest", "--yes", "--json")
    assert ran.code == 0, ran.err
    begun = {part["partition"]: part["offsets"] for part in json.loads(ran.out)["partitions"]}
    for there, end in (await ends(scene, [scene.topic("rerouted")])).items():
        assert begun[there.partition][there.topic]["to"] == end
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await forwarded_too(scene, [worker]) > first
        assert worker.stop() == 0
    visits = Counter(user for user, _ in events)
    found = await answers(scene, sorted(visits))
    assert {user: features["f:visits"] for user, (features, _) in found.items()} == dict(visits)
    verified = await segstream(environment, "verify", "--json")
    assert verified.code == 0, verified.out + verified.err
