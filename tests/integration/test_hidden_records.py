"""Records that are committed behind somebody's open transaction: whoever must know all of them waits until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from segstream.adapters.kafka.changes import ChangeLog
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.places import Place, survey
from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.kafka.told_users import told_users
from segstream.errors import ServerError
from segstream.ports import Told
from tests.conftest import Topics


@asynccontextmanager
async def open_transaction(topics: Topics, name: str) -> AsyncIterator[AIOKafkaProducer]:
    """Hold a transaction open over the first record of a topic, with two committed ones behind it."""
    options = {"bootstrap_servers": topics.address}
    holder = AIOKafkaProducer(transactional_id=f"{topics.prefix}holder", **options)
    writer = AIOKafkaProducer(**options)
    await holder.start()
    await writer.start()
    try:
        await holder.begin_transaction()
        await holder.send_and_wait(name, b"given up", key=b"eve", partition=0)
        for user in (b"ada", b"bob"):
            await writer.send_and_wait(name, b"{}", key=user, partition=0)
        yield holder
    finally:
        await holder.stop()
        await writer.stop()


async def users(settings: KafkaSettings, name: str) -> list[Any]:
    """Return the users that a compacted topic has an answer for."""
    return [user async for group in told_users(settings, name, 0) for user in group]


async def changes(settings: KafkaSettings, name: str) -> list[Any]:
    """Return what a topic holds up to its present end, as users."""
    async with ChangeLog(settings, name) as log:
        await log.start("earliest")
        return [record.key.decode() async for records in log.batches() for record in records]


async def behind(settings: KafkaSettings, name: str) -> list[Any]:
    """Return the place behind all that a topic holds."""
    there = TopicPartition(name, 0)
    found = await survey(settings, "nobody", [there], Place("latest"), settled=True)
    return [found[there].end]


@pytest.mark.parametrize(
    ("look", "there"), [(users, ["ada", "bob"]), (changes, ["ada", "bob"]), (behind, [4])]
)
async def test_who_must_know_all_that_is_committed_waits_for_open_transactions(
    topics: Topics, look: Callable[[KafkaSettings, str], Awaitable[list[Any]]], there: list[Any]
) -> None:
    """Answers to take back, records sent again, the place behind what was forwarded: nothing is taken for not there."""
    name = await topics.create("changes")
    async with open_transaction(topics, name) as holder:
        looking = asyncio.ensure_future(look(KafkaSettings(topics.address), name))
        await asyncio.wait({looking}, timeout=1)
        await holder.abort_transaction()
        async with asyncio.timeout(20):
            assert await looking == there


async def test_who_follows_changes_does_not_wait(topics: Topics) -> None:
    """They come as soon as anybody may read them."""
    name = await topics.create("changes")
    async with (
        open_transaction(topics, name) as holder,
        ChangeLog(KafkaSettings(topics.address), name) as log,
    ):
        async with asyncio.timeout(20):
            await log.start("latest", settled=False)
            assert log.total == 0
        await holder.abort_transaction()
        seen: list[str] = []
        async with asyncio.timeout(20):
            async for records in log.batches(follow=True):
                seen += [record.key.decode() for record in records]
                if len(seen) == 2:
                    break
        assert seen == ["ada", "bob"]


async def test_an_owner_that_cannot_know_what_was_told_says_why_and_may_try_again(topics: Topics) -> None:
    """Not "nothing was told": that would tell everything twice. The transaction may be another group's."""
    name = await topics.create("published", 1, {"cleanup.policy": "compact"})
    settings = KafkaSettings(topics.address)
    owner = KafkaPublisher(0, settings, group=topics.prefix, published_topic=name, patience=0.5)
    async with open_transaction(topics, name) as holder:
        with pytest.raises(
            ServerError, match=r"published-0: since 0\.5 s a transaction that begins at offset 0 hides"
        ):
            await owner.fence()
        await holder.abort_transaction()
    await owner.fence()
    await owner.publish([], Told(1, 1, 1))
    assert await owner.fence() == Told(1, 1, 1)
    await owner.close()
