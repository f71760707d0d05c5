"""Whom the compacted topic has an answer for: what is left to know users by when Redis has lost them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.ends import settled_ends
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.records import next_records

_POLL_MS = 200


async def told_users(
    settings: KafkaSettings, topic: str, partition: int, group: int = 500
) -> AsyncIterator[list[str]]:
    """Yield users with an answer in one partition of the compacted topic, up to its present end.

    A user is named once for each record that compaction has left, and also if a tombstone follows: to find out would
    take memory for all of them. A key that is no text is no user of ours: it is passed over, and said at the end.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    topic, partition : str, int
        Where to read.
    group : int
        Most users at a time.

    Raises
    ------
    ServerError
        Kafka does not answer, or refuses; or a transaction stays open too long, behind which answers are hidden.
    """
    there, strange = TopicPartition(topic, partition), list[int]()
    with kafka_errors(f"read {topic}-{partition}"):
        consumer = AIOKafkaConsumer(**settings.consumer_kwargs(f"users-{partition}"), group_id=None)
        try:
            await consumer.start()
            consumer.assign([there])
            beginning = (await consumer.beginning_offsets([there]))[there]
            end = (await settled_ends(consumer, [there]))[there]
            consumer.seek(there, beginning)
            while await consumer.position(there) < end:
                polled = await next_records(consumer, there, timeout_ms=_POLL_MS, max_records=group)
                if users := _users_of(polled.get(there, ()), strange):
                    yield sorted(users)
        finally:
            await leave(consumer)
    if strange:
        # Not by the workers' log: a command has not set it up, and says what it has to say on stderr in plain words.
        logging.getLogger("segstream").warning(
            "warning: %s-%d: passed over records whose key is no text, the first at offset %d: they are no answers of "
            "segstream's, and stay; does another program write to this topic?",
            *(topic, partition, strange[0]),
        )


def _users_of(records: Iterable[Any], strange: list[int]) -> set[str]:
    """Return the users with an answer in ``records``; of keys that name nobody, the first one's offset is noted."""
    users = set()
    for record in records:
        if record.key and record.value is not None:
            try:
                users.add(record.key.decode())
            except UnicodeDecodeError:
                strange[:] = strange or [record.offset]
    return users
