"""Bytes that changed on the broker's disk: the worker names the place and waits there, and everything else goes on."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from segstream.core.partitioning import murmur2
from segstream.local.apache_kafka import ApacheKafka
from segstream.local.ports import free_port
from tests.checker import stories
from tests.conftest import Topics
from tests.deployments import Deployments
from tests.health import is_ready, until
from tests.operations import segstream
from tests.workers import Worker, applied, send, track

DEFINITIONS = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  buyer: {when: orders >= 1}
  back:  {when: orders >= 2}
"""
LONG_AGO = "2020-01-01T00:00:00Z"
HERE, ELSEWHERE = (
    next(f"u{n}" for n in range(99) if murmur2(f"u{n}".encode(), 2) == number) for number in (0, 1)
)


@pytest.fixture
async def own(redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[ApacheKafka, Deployments]]:
    """Return a broker whose files this test may change, and deployments on it."""
    with ApacheKafka() as kafka:
        deployments = Deployments(Topics(kafka.address), redis_url, tmp_path)
        yield kafka, deployments
        await deployments.tidy()


def damage(kafka: ApacheKafka, topic: str, what: bytes) -> None:
    """Change a byte of a record where the broker keeps it; it looks at no checksum when it sends."""
    segment = kafka.directory / "log" / f"{topic}-0" / f"{0:020d}.log"
    place = segment.read_bytes().index(what)
    with segment.open("r+b") as file:
        file.seek(place)
        file.write(what[:1].swapcase())


async def logged(worker: Worker, event: str) -> dict[str, object]:
    """Return the first line of an event in a worker's log, as soon as there is one."""
    deadline = time.monotonic() + 60
    while not (found := [orjson.loads(line) for line in worker.log.splitlines() if f'"{event}"' in line]):
        assert worker.running
        assert time.monotonic() < deadline, f"the worker does not say {event}"
        await asyncio.sleep(0.1)
    first: dict[str, object] = found[0]
    return first


async def test_a_damaged_batch_holds_up_its_partition_alone_until_somebody_decides(
    own: tuple[ApacheKafka, Deployments],
) -> None:
    """What is before it counts, the other partition goes on; readiness tells the command that goes on behind it."""
    kafka, deployments = own
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("shop", [events], 2)
    port = free_port()
    environment = scene.environment(deployments.file("shop.yaml", DEFINITIONS), web_port=port)
    for message in ("first", "Spoilt", "last"):
        await send(scene, [(HERE, track(HERE, LONG_AGO, message))])
    damage(kafka, events, b"Spoilt")
    with Worker(environment) as worker:
        said = await logged(worker, "unreadable")
        assert (said["topic"], said["partition"], said["offset"]) == (events, 0, 1)
        await send(scene, [(ELSEWHERE, track(ELSEWHERE, LONG_AGO, number)) for number in range(2)])
        await applied(scene, [worker], 60, share=0.6)  # 3 of 5
        answer = await until(port, worker, lambda answer: "cannot be read" in answer.why())
        assert (answer.status, answer.body["troubles"]) == (503, {"0": said["error"]})
        assert worker.stop() == 0
    told = await stories(scene)
    assert {user: [change["segment"] for change in changes] for user, changes in told.items()} == {
        HERE: ["buyer"],
        ELSEWHERE: ["buyer", "back"],
    }
    verified = await segstream(environment, "verify")
    assert verified.code == 0, verified
    found = re.search(r"`segstream (reset [^`]*)`", str(said["error"]))
    assert found is not None
    reset = await segstream(environment, *found[1].split(), "--yes")
    assert reset.code == 0, reset
    with Worker(environment) as worker:
        await applied(scene, [worker], 60)
        await until(port, worker, is_ready)
        assert worker.stop() == 0
    told = await stories(scene)
    counted = [
        (change["segment"], change["cause"]["message_id"])
        for change in told[HERE]
        if "message_id" in change["cause"]
    ]
    assert counted == [("buyer", "first"), ("back", "last")]
