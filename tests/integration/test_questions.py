"""Ctrl-C at a command's question: the first one ends it, with nothing done."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from segstream.core.dead_letters import dead_letter
from segstream.core.records import LogRecord, Rejected
from segstream_schemas import RejectionReason
from tests.deployments import SHOP, Deployments, orders
from tests.leaks import look
from tests.operations import segstream
from tests.workers import OUTPUTS, Scene, Worker, applied, read_all, send

PATIENCE: Final = 60.0
AT_ITS_TERMINAL: Final = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'segstream', *sys.argv[1:]])"
)
"""Only what a terminal controls gets a signal when Ctrl-C is pressed there."""


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        self.said = b""
        self._ours, theirs = pty.openpty()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", AT_ITS_TERMINAL, *words],
                env={**os.environ, **environment},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
        finally:
            os.close(theirs)

    def read(self, until: bytes | None) -> None:
        """Read on until it has said something, or has closed the terminal."""
        deadline = time.monotonic() + PATIENCE
        while until is None or until not in self.said:
            ready, _, _ = select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"it did not {'say ' + repr(until) if until else 'end'}: {self.said!r}"
            try:
                part = os.read(self._ours, 65_536)
            except OSError:  # how Linux says that nobody has the other end open any more
                part = b""
            if not part:
                assert until is None, self.said
                return
            self.said += part

    def press(self, keys: bytes) -> None:
        """Write as if somebody typed."""
        os.write(self._ours, keys)

    def wait(self) -> int:
        """Return the exit code."""
        self.read(None)
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """End it if it still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@contextmanager
def terminal(environment: Mapping[str, str], *words: str) -> Iterator[Terminal]:
    """Run a command at a terminal."""
    opened = Terminal(environment, *words)
    try:
        yield opened
    finally:
        opened.close()


def interrupted(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Press Ctrl-C once at the question; return the exit code, and what was said after the question."""
    with terminal(environment, *words) as at:
        at.read(b"[y/N]")
        at.press(b"\x03")
        code = at.wait()
    said = at.said.decode()
    look(said, f"said by {words[0]}")
    return code, said.partition("[y/N]")[2]


async def test_one_ctrl_c_at_a_question_ends_the_command_with_nothing_done(deployments: Deployments) -> None:
    """Exit code 130, no traceback, and in Kafka and Redis all is as it was."""
    (events,) = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("asked", [events], 1)
    first = deployments.file("shop.yaml", SHOP)
    second = deployments.file("2.yaml", SHOP.replace("keen:", "eager:"))
    environment = scene.environment(first)
    await send(scene, orders(50, seed=1))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        assert await asyncio.to_thread(worker.stop) == 0
    published = await segstream(environment, "apply", str(second), "--yes")
    assert published.code == 0, published.err
    await put_letter(scene)
    before = await everything(scene)
    for words in (
        ("apply", str(first)),
        ("rollback",),
        ("reset", "--to", "earliest"),
        ("dead-letters", "replay"),
    ):
        code, said = await asyncio.to_thread(interrupted, environment, *words)
        assert (code, said.replace("^C", "").replace(":", "").strip()) == (130, ""), words
        assert await everything(scene) == before, words


async def put_letter(scene: Scene) -> None:
    """Write a dead letter, as a worker does."""
    record = LogRecord(scene.events[0], 0, 0, 0, b"u1", b"no event")
    letter = dead_letter(record, Rejected(RejectionReason.NOT_JSON, "No JSON.", "line 1 column 1"))
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    try:
        await producer.send_and_wait(scene.topic("dead_letters"), letter, key=b"u1", partition=0)
    finally:
        await producer.stop()


async def everything(scene: Scene) -> tuple[dict[bytes, bytes | None], dict[str, int]]:
    """Return what Redis holds of a deployment, as it is dumped, and how many records each topic has."""
    client = Redis.from_url(scene.redis)
    try:
        held = {key: await client.dump(key) async for key in client.scan_iter(match=f"{scene.prefix}*")}
    finally:
        await client.aclose()
    topics = (*scene.events, *(scene.topic(name) for name in OUTPUTS))
    return held, {name: sum(map(len, await read_all(scene, name))) for name in topics}
