"""A worker does all of its work with no more rights than `deploy/` gives it: those of Strimzi's KafkaUser and redis.acl."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import pytest

from segstream.adapters.kafka.topics import Topics
from tests.deployed_rights import PARTITIONS, PASSWORD, WORKER, environment_of
from tests.deployments import SHOP, orders
from tests.operations import segstream
from tests.secure_servers import SecureKafka, SecureRedis
from tests.workers import Scene, Worker, ends, read_all, send

WAIT: Final = 90
TOPICS: Final = Topics()

DEFINITIONS: Final = SHOP + (
    "discovered:\n  behaviour: {model: kmeans, clusters: 2, features: [orders, revenue_30d, since(last_order)]}\n"
)


async def test_a_worker_needs_no_other_rights(
    broker_with_rules: SecureKafka, redis_with_rules: SecureRedis, tmp_path: Path
) -> None:
    """It starts without a warning, applies, tells, trains, adopts what was trained, and Redis has refused it nothing."""
    definitions = tmp_path / "shop.yaml"
    definitions.write_text(DEFINITIONS)
    environment = environment_of(WORKER, broker_with_rules, redis_with_rules) | {
        "SEGSTREAM_DEFINITIONS": str(definitions),
        "SEGSTREAM_INSTANCE_ID": "segstream-0",
        "SEGSTREAM_SAMPLE_EVERY": "1",
        "SEGSTREAM_MODEL_SAMPLES": "50",
        "SEGSTREAM_MODEL_INTERVAL": "1s",
        "SEGSTREAM_WEB_PORT": "0",
        "SEGSTREAM_LOG_FORMAT": "json",
    }
    scene = Scene(broker_with_rules.address, redis_with_rules.url, "", TOPICS.events, PARTITIONS)
    client = redis_with_rules.client()
    try:
        client.acl_log_reset()
        with Worker(environment) as worker:
            await send(scene, [*orders(1_000, seed=3), ("u1", b"no event")])
            # The trainer's group begins where the samples end: what is sent later is what it learns.
            await _until(worker, lambda: _applied(client, 1), scene)
            await send(scene, orders(1_000, seed=4))
            await _until(worker, lambda: _applied(client, 2_001) and _trained(client), scene)
            await _commands(environment, tmp_path)
            assert worker.stop() == 0
            assert '"cannot check' not in worker.log
            assert "refuses" not in worker.log
        refused = [entry for entry in client.acl_log() if not entry["object"].startswith("client")]
        assert refused == []
        for topic in (TOPICS.changes, TOPICS.memberships, TOPICS.dead_letters, TOPICS.published):
            assert any(await read_all(scene, topic)), topic
    finally:
        client.close()


async def _commands(environment: dict[str, str], folder: Path) -> None:
    """Run the commands for which the worker's rights are enough: they answer, and complain of nothing."""
    other = folder / "other.yaml"
    other.write_text(DEFINITIONS.replace("revenue_30d >= 150", "revenue_30d >= 140"))
    user = orders(1, seed=3)[0][0]
    words: tuple[tuple[str, ...], ...] = (
        ("user", user, "--json"),
        ("explain", user, "--json"),
        ("plan", str(other), "--json"),
        ("segments", "--sizes"),
        ("topics", "--check"),
        ("apply", str(other), "--yes"),
        ("history",),
    )
    for each in words:
        ran = await segstream(environment, *each, seconds=WAIT)
        assert (ran.code, "refuse" in ran.err, "permission" in ran.err) == (0, False, False), (each, ran)


def test_a_reader_reads_and_may_not_write_or_see_what_is_private(redis_with_rules: SecureRedis) -> None:
    """The second user of ``redis.acl``: for campaign engines."""
    admin = redis_with_rules.client()
    admin.hset("segments:user:u1", mapping={"v": "1:1"})
    admin.set("segstream:{0}:user:u1", "private")
    client: Any = _login(redis_with_rules, "segments-reader")
    try:
        assert client.hgetall("segments:user:u1") == {"v": "1:1"}
        for command in (
            ("GET", "segstream:{0}:user:u1"),
            ("HGETALL", "segstream:{0}:meta"),
            ("DEL", "segments:user:u1"),
            ("HSET", "segments:user:u1", "v", "2:1"),
            ("KEYS", "*"),
        ):
            with pytest.raises(Exception, match=r"(?i)no permissions|NOPERM"):
                client.execute_command(*command)
    finally:
        client.close()
        admin.close()


def _login(server: SecureRedis, user: str) -> Any:
    from redis import Redis  # noqa: PLC0415 - beside the asynchronous one that the tests use

    return Redis.from_url(server.url, username=user, password=PASSWORD, decode_responses=True)


def _applied(client: Any, records: int) -> bool:
    """Tell whether so many records are applied and all of it is published."""
    metas = [client.hgetall(f"segstream:{{{number}}}:meta") for number in range(PARTITIONS)]
    done = sum(int(meta.get(f"offset:{TOPICS.events[0]}", -1)) + 1 for meta in metas)
    waiting = sum(client.xlen(f"segstream:{{{number}}}:outbox") for number in range(PARTITIONS))
    return done >= records and not waiting


def _trained(client: Any) -> bool:
    """Tell whether a model is there and somebody is in one of its segments."""
    return bool(client.keys("segments:members:behaviour.*"))


async def _until(worker: Worker, true: Any, scene: Scene) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, (
            f"{await ends(scene, [*TOPICS.co_partitioned])}\n{worker.log[-4000:]}"
        )
        await asyncio.sleep(0.05)
