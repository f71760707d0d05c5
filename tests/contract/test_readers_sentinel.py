"""The readers ask Sentinel where the master is, also after a failover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from redis import Redis
from redis.exceptions import RedisError

from segstream.local.redis import LocalRedis
from segstream_schemas import AsyncSegmentReader, ReadModelKeys, SegmentReader
from tests.contract.reading import Awaiting, Blocking, Reading

pytestmark = pytest.mark.integration

SERVICE = "answers"
SECONDS = 60.0


class SentinelServer(LocalRedis):
    """A Sentinel that watches one master."""

    def __init__(self, master: LocalRedis) -> None:
        super().__init__(durable=False)
        self._master = master

    def _command(self) -> list[str]:
        binary, *_ = super()._command()
        file = self.directory / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._master.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000\n",
            encoding="utf-8",
        )
        return [binary, str(file), "--sentinel"]


class Trio:
    """A master, a replica and a Sentinel."""

    def __init__(self, stack: ExitStack) -> None:
        self.master = stack.enter_context(LocalRedis(durable=False))
        # It has the master's address from the start, and syncs without a delay.
        options = {"replicaof": f"127.0.0.1 {self.master.port}", "repl-diskless-sync-delay": "0"}
        self.replica = stack.enter_context(LocalRedis(durable=False, options=options))
        self.sentinel = stack.enter_context(SentinelServer(self.master))


@pytest.fixture
def trio(redis_url: str) -> Iterator[Trio]:  # noqa: ARG001 - skips where there is no Redis at all
    """Start the three."""
    with ExitStack() as stack:
        yield Trio(stack)


def until(true: Callable[[], object], what: str) -> None:
    """Wait until something is so; an error of Redis is not yet."""
    give_up = time.monotonic() + SECONDS
    while True:
        with suppress(RedisError):
            if true():
                return
        assert time.monotonic() < give_up, f"{what} did not happen in time"
        time.sleep(0.05)


async def test_answers_are_read_from_the_master_of_the_moment(trio: Trio) -> None:
    """First the one there is, then the replica that took over; a reader may also read from a replica."""
    key = ReadModelKeys().user("7")
    value = '{"since":"1997-06-11T00:00:00.001Z","expires_at":null}'
    with Redis.from_url(trio.master.url) as client:
        client.hset(key, "s:loyal", value)
    with Redis.from_url(trio.replica.url) as replica, Redis.from_url(trio.sentinel.url) as sentinel:
        await asyncio.to_thread(until, lambda: replica.exists(key), "replication")
        await asyncio.to_thread(
            until, lambda: sentinel.execute_command("SENTINEL", "REPLICAS", SERVICE), "Sentinel's discovery"
        )
        addresses = [("127.0.0.1", trio.sentinel.port)]
        readers: list[Reading] = [
            Blocking(SegmentReader.from_sentinel(addresses, SERVICE)),
            Awaiting(AsyncSegmentReader.from_sentinel(addresses, SERVICE)),
            Blocking(SegmentReader.from_sentinel(addresses, SERVICE, replica=True)),
            Awaiting(AsyncSegmentReader.from_sentinel(addresses, SERVICE, replica=True)),
        ]
        try:
            for reader in readers:
                assert list(await reader.ask("segments_of", "7")) == ["loyal"]
            trio.master.kill()
            await asyncio.to_thread(
                until, lambda: replica.info("replication")["role"] == "master", "the failover"
            )
            replica.hset(key, "s:new", value)
            for reader in readers[:2]:
                found = await _asked(reader)
                assert sorted(found) == ["loyal", "new"]
        finally:
            for reader in readers:
                await reader.close()


async def _asked(reader: Reading) -> list[str]:
    """Ask until Sentinel has told of the new master."""
    give_up = time.monotonic() + SECONDS
    while True:
        try:
            return list(await reader.ask("segments_of", "7"))
        except RedisError:
            assert time.monotonic() < give_up, "the reader did not find the new master in time"
            await asyncio.sleep(0.05)
