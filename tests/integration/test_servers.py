"""The servers the other tests stand on do what segstream needs of them."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from redis.asyncio import Redis

from tests.conftest import Topics


async def test_a_read_committed_consumer_sees_what_was_committed_and_nothing_that_was_aborted(
    topics: Topics,
) -> None:
    """Promise 2 rests on it: Kafka hides aborted records."""
    topic = await topics.create("events", partitions=3)
    producer = AIOKafkaProducer(bootstrap_servers=topics.address, transactional_id=topics.prefix + "0")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", partition=2)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed", key=b"00042", partition=2)
    finally:
        await producer.stop()

    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=topics.address,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    ) as consumer:
        record = await consumer.getone()
        assert (record.partition, record.key, record.value) == (2, b"00042", b"committed")
        assert record.offset > 0  # after the aborted record and its marker


async def test_a_producer_whose_transactional_id_was_taken_over_is_refused(topics: Topics) -> None:
    """Taking a partition over begins with this: the old owner can tell nothing any more."""
    topic = await topics.create("changes")
    zombie = AIOKafkaProducer(bootstrap_servers=topics.address, transactional_id=topics.prefix + "0")
    heir = AIOKafkaProducer(bootstrap_servers=topics.address, transactional_id=topics.prefix + "0")
    await zombie.start()
    await heir.start()
    try:
        with pytest.raises(ProducerFenced):
            async with zombie.transaction():
                await zombie.send_and_wait(topic, b"stale", partition=0)
    finally:
        await heir.stop()
        await zombie.stop()


async def test_kafka_stamps_records_with_their_arrival(topics: Topics) -> None:
    """LogAppendTime: a partition's clock is driven by arrival, not by what a producer says."""
    topic = await topics.create("events")
    async with AIOKafkaProducer(bootstrap_servers=topics.address) as producer:
        sent = await producer.send_and_wait(topic, b"", timestamp_ms=852_076_800_000)  # 1997-01-01
    assert abs(sent.timestamp - time.time() * 1000) < 60_000


async def test_a_script_in_redis_changes_all_or_nothing_in_one_slot(
    redis_url: str, redis_prefix: str
) -> None:
    """The commit is such a script, called by its hash."""
    meta, user = f"{redis_prefix}{{3}}:meta", f"{redis_prefix}{{3}}:user:00042"
    script = """
    if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[2], ARGV[2])
    return redis.call('HINCRBY', KEYS[1], 'revision', 1)
    """
    client = Redis.from_url(redis_url)
    try:
        await client.hset(meta, "epoch", "7")
        digest = await client.script_load(script)
        assert await client.evalsha(digest, 2, meta, user, "6", b"stale") == 0
        assert await client.get(user) is None
        assert await client.evalsha(digest, 2, meta, user, "7", b"\x00state") == 1
        assert await client.get(user) == b"\x00state"
    finally:
        await client.aclose()
