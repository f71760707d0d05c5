"""Faults on purpose: all of it needs real servers; what takes long is left to ``make faults``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.site import Site
from tests.redis_users import RestrictedRedis

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them: ``-m 'not faults'`` leaves them out."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("integration")
            item.add_marker("faults")
            if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def calm_redis() -> Iterator[str]:
    """URL of a Redis to which nothing happens."""
    with RestrictedRedis(durable=False) as redis:
        yield redis.url


@pytest.fixture
async def site(kafka: str, redis_url: str, calm_redis: str, tmp_path: Path) -> Site:
    """Two deployments over the Kafka of all tests."""
    return await Site(kafka, redis_url, calm_redis, tmp_path).open()
