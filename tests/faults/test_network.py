"""Connections that are cut, reset, slow or half-open, to Redis and to Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.ledger import entry
from tests.faults.site import Site
from tests.proxy import ProxiedKafka, Proxy
from tests.redis_users import RestrictedRedis, login_at
from tests.workers import Worker


def cut(proxy: Proxy) -> None:
    """End them and refuse new ones."""
    proxy.cut()


def reset(proxy: Proxy) -> None:
    """End them with RST."""
    proxy.reset()


def half_open(proxy: Proxy) -> None:
    """Let one end go and tell the other nothing."""
    proxy.half_open()


def delay(proxy: Proxy) -> None:
    """Let each answer come half a second later."""
    proxy.delay = 0.5


FAULTS: Final[dict[Callable[[Proxy], None], tuple[str, float]]] = {
    cut: ("connections cut and refused", 5.0),
    reset: ("connections reset", 1.0),
    half_open: ("connections half-open", 1.0),
    delay: ("answers delayed by 500 ms", 15.0),
}
"""What it is called, and for how many seconds it lasts."""


async def disturb(
    site: Site, proxy: Proxy, worker: Worker, fault: Callable[[Proxy], None], times: int
) -> None:
    """Bring it about while the worker is at work, heal it, let the worker go on; so many times."""
    for _ in range(times):
        await site.feed(600)
        await site.applied(worker, least=await site.position() + 100)
        fault(proxy)
        await asyncio.sleep(FAULTS[fault][1])
        proxy.heal()
    await site.feed(100)
    await site.applied(worker)
    assert await asyncio.to_thread(worker.stop) == 0


async def test_a_worker_whose_connections_to_redis_are_cut_tells_everything_once(
    kafka: str, calm_redis: str, tmp_path: Path
) -> None:
    """In the middle of its work; they are refused for a while."""
    with RestrictedRedis() as redis, Proxy(redis.port) as proxy:
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        environment = site.environment(redis=login_at(redis.url, proxy.address))
        with entry("Redis: connections cut, once", "by a proxy", seed=site.seed) as row:
            with Worker(environment) as worker:
                await disturb(site, proxy, worker, cut, 1)
                assert "partition_interrupted" in worker.log
            row.tell(await site.check_same(), site.sent)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
async def test_bad_connections_to_redis_change_nothing(
    kafka: str, calm_redis: str, tmp_path: Path, fault: Callable[[Proxy], None]
) -> None:
    """Three times in the middle of the work."""
    with RestrictedRedis() as redis, Proxy(redis.port) as proxy:
        site = await Site(kafka, redis.url, calm_redis, tmp_path).open()
        name, seconds = FAULTS[fault]
        with entry(f"Redis: {name}", f"by a proxy, for {seconds:g} s each", 3, seed=site.seed) as row:
            with Worker(site.environment(redis=login_at(redis.url, proxy.address))) as worker:
                await disturb(site, proxy, worker, fault, 3)
            row.tell(await site.check_same(), site.sent)


@pytest.fixture(scope="module")
def bad_line() -> Iterator[tuple[Proxy, ProxiedKafka]]:
    """Return a Kafka, and the proxy before one of its listeners."""
    with Proxy() as proxy, ProxiedKafka(proxy) as kafka:
        yield proxy, kafka


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
async def test_bad_connections_to_kafka_change_nothing(
    bad_line: tuple[Proxy, ProxiedKafka],
    redis_url: str,
    calm_redis: str,
    tmp_path: Path,
    fault: Callable[[Proxy], None],
) -> None:
    """Three times in the middle of the work."""
    proxy, kafka = bad_line
    site = await Site(kafka.address, redis_url, calm_redis, tmp_path).open()
    name, seconds = FAULTS[fault]
    with entry(f"Kafka: {name}", f"by a proxy, for {seconds:g} s each", 3, seed=site.seed) as row:
        with Worker(site.environment(kafka=proxy.address)) as worker:
            await disturb(site, proxy, worker, fault, 3)
        row.tell(await site.check_same(), site.sent)
