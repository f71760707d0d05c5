"""New versions of the definitions and of the models, taken over while a worker runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from segstream.core.time import parse_time
from tests.checker import assert_same, check_everywhere, hashes_of, stories
from tests.deployments import Deployments, orders
from tests.workers import Scene, Worker, applied, send, track

PATIENCE = 60

BEFORE = """
version: 1
features:
  orders:  {op: count, event: Order Completed}
  revenue: {op: sum, of: properties.revenue, event: Order Completed}
segments:
  buyer:   {when: orders >= 1}
  regular: {when: orders >= 3}
  big:     {when: revenue >= 100}
"""

AFTER = """
version: 1
features:
  orders:  {op: count, event: Order Completed}
  revenue: {op: sum, of: properties.revenue, event: Order Completed}
segments:
  regular:  {when: orders >= 2}
  big:      {when: revenue >= 50}
  small:    {when: revenue < 50}
groups:
  worth: {first_of: [big, small]}
"""


async def test_new_definitions_bring_every_user_up_to_date_without_an_event(deployments: Deployments) -> None:
    """`segstream apply` on a running worker: all users end where the new version puts them, once, for its sake."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("shop", [events], 2)
    first, second = deployments.file("1.yaml", BEFORE), deployments.file("2.yaml", AFTER)
    people = {f"u{number:04d}": [40.0] * (number % 4 + 1) for number in range(1500)}
    sent = [
        (user, track(user, "2020-01-01T00:00:00Z", f"{user}-{turn}", revenue=revenue))
        for user, basket in people.items()
        for turn, revenue in enumerate(basket)
    ]
    environment = scene.environment(first)
    await send(scene, sent)
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        old = await check_everywhere(scene, await stories(scene))
        assert old == {
            "buyer": set(people),
            "regular": {user for user, basket in people.items() if len(basket) >= 3},
            "big": {user for user, basket in people.items() if sum(basket) >= 100},
        }
        answer = await segstream(environment, "apply", str(second), "--yes", "--json")
        assert (answer["version"], answer["changed"]) == (2, True)
        await until(worker, lambda: swept(scene, 2))
        told = await stories(scene)
        assert worker.stop() == 0
    assert await check_everywhere(scene, told) == {
        "regular": {user for user, basket in people.items() if len(basket) >= 2},
        "big": {user for user, basket in people.items() if sum(basket) >= 50},
        "small": {user for user, basket in people.items() if sum(basket) < 50},
    }
    later = [change for changes in told.values() for change in changes if change["cause"]["type"] != "event"]
    assert later
    for change in later:
        assert change["cause"] == {"type": "definition", "version": 2}
        assert change["definitions_version"] == 2
        assert parse_time(change["at"]) >= parse_time(answer["effective_at"])
    for user, basket in people.items():  # who stays where they are is not told again
        changes = [(change["change"], change["segment"]) for change in told[user] if change in later]
        assert changes.count(("exited", "buyer")) == 1
        assert (("entered", "regular") in changes) == (len(basket) == 2)
        assert (("entered", "big") in changes) == (sum(basket) == 80)


LEARNED = """
version: 1
features:
  orders:     {op: count, event: Order Completed}
  basket:     {op: mean, of: properties.revenue, event: Order Completed}
segments:
  regular: {when: orders >= 3}
discovered:
  behaviour: {model: kmeans, clusters: 3, features: [orders, basket]}
"""


@pytest.mark.faults
async def test_a_model_goes_on_learning_where_it_stood_when_its_trainer_is_killed(
    deployments: Deployments,
) -> None:
    """Snapshots reach every partition and every user; a new trainer goes on counting, and forgets nothing saved."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("shop", [events], 2)
    definitions = deployments.file("learned.yaml", LEARNED)
    learning = {"sample_every": 1, "model_samples": 300, "model_interval": "1s", "session_timeout": "6s"}
    environment = scene.environment(definitions, instance_id="only", **learning)
    await send(scene, orders(1000, seed=1, users=100))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        await until(worker, lambda: assigned_by_newest(scene, 1))
        worker.child.kill()
    before = await training(scene)
    known = await check_everywhere(scene, await stories(scene))
    assert set().union(*(known[name] for name in known if "." in name)) == set().union(*known.values())
    await send(scene, orders(2000, seed=2, first=1000, users=120))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        await until(worker, lambda: assigned_by_newest(scene, before["number"] + 1))
        assert worker.stop() == 0
    after = await training(scene)
    assert after["number"] > before["number"]
    assert after["offset"] > before["offset"]
    assert after["trainer"]["count"] > before["trainer"]["count"] >= 300
    assert after["next_id"] >= before["next_id"] >= 3  # no name of a cluster is given twice
    told = await stories(scene)
    await check_everywhere(scene, told)
    for changes in told.values():
        versions = [change["model_version"].get("behaviour", 0) for change in changes]
        assert versions == sorted(versions)


async def test_a_backlog_is_decided_by_the_version_of_its_time(deployments: Deployments) -> None:
    """A worker that comes late and finds two versions tells what one told that saw the second come."""
    (events,) = await deployments.inputs("events", partitions=2)
    live = await deployments.scene("live", [events], 2)
    late = await deployments.scene("late", [events], 2)
    first, second = deployments.file("1.yaml", BEFORE), deployments.file("2.yaml", AFTER)
    with Worker(live.environment(first)) as worker:
        await send(live, orders(500, seed=1))
        await applied(live, [worker], PATIENCE)
        answer = await segstream(live.environment(first), "apply", str(second), "--yes", "--json")
        await until(worker, lambda: swept(live, 2))
        await send(live, orders(500, seed=2, first=500))
        await applied(live, [worker], PATIENCE)
        assert worker.stop() == 0
    for path, since in ((first, "1970-01-01T00:00:00Z"), (second, answer["effective_at"])):
        await segstream(late.environment(first), "apply", str(path), "--yes", "--at", since)
    with Worker(late.environment(first)) as worker:
        await applied(late, [worker], PATIENCE)
        await until(worker, lambda: swept(late, 2))
        assert worker.stop() == 0
    told = await stories(live)
    assert_same(await stories(late), told)
    await check_everywhere(late, told)


async def segstream(environment: dict[str, str], *arguments: str) -> Any:
    """Run a command; return the JSON it prints, if it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "segstream",
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return json.loads(output) if "--json" in arguments else None


async def until(worker: Worker, condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition while a worker runs."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, worker.log[-3000:]
        await asyncio.sleep(0.1)


async def swept(scene: Scene, version: int) -> bool:
    """Tell whether every partition has a version of the definitions in force, and has told what follows."""
    return all(
        json.loads(meta["bases"])[-1][3] == version and not meta.get("sweep") and not outbox
        for meta, outbox in await metas(scene)
    )


async def assigned_by_newest(scene: Scene, at_least: int) -> bool:
    """Tell whether every user's answer rests on the newest snapshot, numbered so high at least."""
    number = (await training(scene)).get("number", 0)
    answers = await hashes_of(scene)
    return (
        number >= at_least
        and all(not meta.get("sweep") and not outbox for meta, outbox in await metas(scene))
        and all(json.loads(meta["bases"])[-1][4].get("behaviour") == number for meta, _ in await metas(scene))
        and all(any(name.startswith("s:behaviour.") for name in answer) for answer in answers.values())
    )


async def training(scene: Scene) -> dict[str, Any]:
    """Return the saved learning state of the model; empty before the first."""
    client = Redis.from_url(scene.redis)
    try:
        learning = await client.hget(f"{scene.prefix}state:models:behaviour", "learning")
        found: dict[str, Any] = json.loads(learning or "{}")
        return found
    finally:
        await client.aclose()


async def metas(scene: Scene) -> list[tuple[dict[str, str], int]]:
    """Return each partition's meta, and how long its outbox is."""
    client: Any = Redis.from_url(scene.redis, decode_responses=True)
    try:
        bases = [f"{scene.prefix}state:{{{number}}}:" for number in range(scene.partitions)]
        return [(await client.hgetall(f"{base}meta"), await client.xlen(f"{base}outbox")) for base in bases]
    finally:
        await client.aclose()
