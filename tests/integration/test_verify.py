"""``segstream verify`` on the real purchases, Apache Kafka and Redis: equal, and then not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from redis.asyncio import Redis

from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.core.definitions import read_definitions
from segstream.core.partitioning import murmur2
from segstream.core.time import DAY, format_time, parse_time
from segstream.core.user import User
from segstream.demo.purchases import END, load_purchases
from tests.deployments import SHOP, Deployments, orders
from tests.workers import Scene, Worker, applied, ends, send

DEMO = Path(__file__).parents[2] / "worker/segstream/demo/definitions.yaml"
PATIENCE = 240


async def verify(environment: dict[str, str], *words: str) -> tuple[int, str, str]:
    """Run the command; return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segstream", "verify", *words),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def verified(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """Run the command, which must find nothing, and return its document."""
    code, out, err = await verify(environment, "--json", *words)
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    assert [(each["user_id"], each["what"]) for each in found["differences"]] == []
    assert (code, found["equal"]) == (0, True)
    return found


async def rewrite(scene: Scene, user: str) -> tuple[str, int]:
    """Make Redis say that a user is in a segment since a day earlier; return which, and since when it should be."""
    number = murmur2(user.encode(), scene.partitions)
    key = f"{scene.prefix}state:{{{number}}}:user:{user}"
    client = Redis.from_url(scene.redis)
    try:
        packed = await client.get(key)
        assert isinstance(packed, bytes)
        state = User.decode(user, packed)
        name, (since, until) = next(iter(state.held.items()))
        state.held = {**state.held, name: (since - DAY, until)}
        await client.set(key, state.encode())
    finally:
        await client.aclose()
    return name, since


async def publish(scene: Scene, *versions: tuple[int, str]) -> None:
    """Publish definitions, each with the moment it comes into force."""
    client = Redis.from_url(scene.redis)
    log = RedisDefinitions(client, f"{scene.prefix}state")
    try:
        for at, text in versions:
            content_hash = read_definitions(text).content_hash
            await log.append(text, content_hash, effective_at=at, author="test", note="", at=0)
    finally:
        await log.close()
        await client.aclose()


@pytest.mark.timeout(600)
async def test_the_purchases_are_recounted_and_a_false_state_is_found(deployments: Deployments) -> None:
    """Promise 6, with two workers and a version that comes into force in the middle: equal; one lie, and it is named."""
    (events,) = await deployments.inputs("events", partitions=4)
    scene = await deployments.scene("shop", [events], 4)
    text = DEMO.read_text()
    sooner = text.replace("> 60d and since(last_order) <= 180d", "> 45d and since(last_order) <= 180d")
    sooner = sooner.replace("  big_baskets:\n", "  large_baskets:\n    renamed_from: big_baskets\n")
    assert sooner != text
    await publish(scene, (0, text), (parse_time("1997-09-15T12:00:00Z"), sooner))
    environment = scene.environment(deployments.file("shop.yaml", text), clock="event")
    entries = load_purchases()
    await send(scene, [(entry.key, entry.value) for entry in entries], clock=END)
    with Worker(environment) as one, Worker(environment) as two:
        await applied(scene, [one, two], 120)
        assert (one.stop(), two.stop()) == (0, 0)
    found = await verified(environment)
    assert (found["total"]["users"], found["total"]["events"]) == (23_570, len(entries))
    assert found["total"]["memberships"] >= 23_570  # everybody is in one segment of the group
    assert {tuple(part["versions"]) for part in found["partitions"]} == {(1, 2)}

    file = deployments.file("events.ndjson", "\n".join(entry.value.decode() for entry in entries) + "\n")
    again = await verified(environment, "--partition", "1", "--events", str(file))
    wrong = deployments.file("wrong.yaml", "version: 1\nsegments: {}\n")
    code, out, err = await verify(environment, "--events", str(wrong))
    assert (code, out) == (2, "")
    assert err.startswith(
        f"segstream: --events: {wrong} holds no event of these users; give the file that was replayed"
    )
    assert again["partitions"] == [{**found["partitions"][1]}]

    user = "00042"
    name, since = await rewrite(scene, user)
    number = murmur2(user.encode(), 4)
    code, out, err = await verify(environment, "--partition", str(number))
    assert (code, err) == (1, "")
    earlier, right = format_time(since - DAY), format_time(since)
    assert (
        f"user {user}, partition {number}: is in {name} since {earlier}, and should be since {right}" in out
    )
    assert (
        f"    {right}  entered {name}, by " in out.partition("  recounted\n")[2].partition("  published\n")[0]
    )
    assert f"    {right}  entered {name}, by " in out.partition("  published\n")[2]


@pytest.mark.long
async def test_running_workers_are_verified_within_little_memory(deployments: Deployments) -> None:
    """While events are applied, with a megabyte for them, each slice of users is compared as of its own moment."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("live", [events], 2)
    environment = scene.environment(deployments.file("shop.yaml", SHOP), batch=20)
    sent = orders(4_000, seed=7)
    await send(scene, sent[:2_000])
    with Worker(environment) as worker:
        await applied(scene, [worker], 60, share=0.3)
        await send(scene, sent[2_000:])
        during = await verified(environment, "--memory", "1")
        await applied(scene, [worker], 60)
        after = await verified(environment, "--memory", "1")
        assert worker.stop() == 0
    assert during["total"]["users"] >= 190
    assert after["total"]["users"] == 200
    assert max(part["passes"] for part in after["partitions"]) > 1


async def test_a_log_that_does_not_reach_back_is_refused(deployments: Deployments) -> None:
    """What retention has deleted is named; so is a position that was moved by hand, and a file in place of a live log."""
    (events,) = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("old", [events], 1)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    code, out, err = await verify(environment)
    assert (code, out) == (1, "")
    assert err.startswith("segstream: there is no state yet")
    await send(scene, orders(50, seed=1))
    with Worker(environment) as worker:
        await applied(scene, [worker], 60)
        assert worker.stop() == 0
    await verified(environment)
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(events, 0): RecordsToDelete(before_offset=12)})
    await admin.close()
    code, out, err = await verify(environment)
    assert (code, out) == (1, "")
    assert err.startswith(
        f"segstream: {events}-0: the state was begun at offset 0, but the log begins at 12: offsets 0 to 11 are deleted"
    )
    code, _, err = await verify(environment, "--events", str(DEMO))
    assert code == 2
    assert err.startswith("segstream: --events: a file does not tell when events arrived")
    end = (await ends(scene, [events]))[TopicPartition(events, 0)]
    moved = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segstream", "reset", "--keep-state", "--to", str(end), "--yes"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await moved.wait() == 0
    code, _, err = await verify(environment)
    assert code == 1
    assert err.startswith(
        "segstream: partition 0: `segstream reset --keep-state` has moved its position, so the log alone does not lead to"
    )
