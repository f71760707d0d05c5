"""Fixtures for everybody: a real Kafka and a real Redis, started once per run, with names of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from tests.leaks import Watch
from tests.redis_users import refused
from tests.servers import choose_kafka, choose_redis, opened


def pytest_configure(config: pytest.Config) -> None:
    """Look through all that is logged and printed for what must not be shown."""
    config.pluginmanager.register(Watch())


def pytest_report_header() -> list[str]:
    """Say which servers this run uses."""
    return [str(choose_kafka()), str(choose_redis())]


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Address (``host:port``) of a Kafka with transactions, that appends its own time and creates no topics itself."""
    yield from opened(choose_kafka())


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis, with all rights; use `redis_prefix` for every key, and `worker_url` for workers and commands.

    At the end of the run Redis must not have refused anything to those.
    """
    for url in opened(choose_redis()):
        yield url
        assert refused(url) == []


class Topics:
    """Creates topics whose names begin with something no other test uses.

    Attributes
    ----------
    address : str
        The Kafka they are on.
    prefix : str
        What every name begins with; good for consumer groups and transactional ids too.
    created : list of str
        The full names so far; deleted after the test.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.prefix = f"test-{uuid.uuid4().hex[:12]}-"
        self.created: list[str] = []

    async def create(self, name: str, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        """Create a topic and return its full name.

        Parameters
        ----------
        name : str
            Name after the prefix.
        partitions : int
            Number of partitions.
        config : dict, optional
            Settings such as ``{"cleanup.policy": "compact"}``.
        """
        topic = self.prefix + name
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config or {})])
        finally:
            await admin.close()
        for _, code, *why in answer.topic_errors:
            assert code == 0, f"Kafka did not create {topic}: {why or code}"
        self.created.append(topic)
        return topic

    async def delete(self) -> None:
        """Delete what was created."""
        if not self.created:
            return
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            await admin.delete_topics(self.created)
        finally:
            await admin.close()


@pytest.fixture
async def topics(kafka: str) -> AsyncIterator[Topics]:
    """Topics of this test's own on the real Kafka."""
    own = Topics(kafka)
    yield own
    await own.delete()


@pytest.fixture
async def redis_prefix(redis_url: str) -> AsyncIterator[str]:
    """Return what every key of this test begins with; such keys are removed afterwards."""
    prefix = f"test-{uuid.uuid4().hex[:12]}:"
    yield prefix
    client = Redis.from_url(redis_url)
    try:
        async for key in client.scan_iter(match=f"{prefix}*", count=1000):
            await client.unlink(key)
    finally:
        await client.aclose()
