"""The embedded broker: topics with the partitions they were given, records in and out."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from segstream.errors import LocalServerError
from segstream.local.mock_kafka import MockKafka


async def test_topics_have_the_partitions_they_were_given() -> None:
    """The demo needs four of one and one of another; the rest come with four when first asked for."""
    with MockKafka({"events": 7, "segstream-samples": 1}) as broker:
        broker.create_topic("later", 2)
        async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
            found = {
                topic: len(await producer.partitions_for(topic))
                for topic in ("events", "segstream-samples", "later", "unasked")
            }
    assert found == {"events": 7, "segstream-samples": 1, "later": 2, "unasked": 4}


async def test_a_record_sent_in_a_transaction_is_received_by_a_group() -> None:
    """Everything the worker's way through needs is there, and at once."""
    with MockKafka({"events": 2}) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id="segstream-1")
        async with producer, producer.transaction():
            await producer.send_and_wait("events", b"value", key=b"00042", partition=1)
        async with AIOKafkaConsumer(
            "events",
            bootstrap_servers=broker.address,
            group_id="readers",
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        ) as consumer:
            record = await consumer.getone()
            assert (record.partition, record.offset, record.key, record.value) == (1, 0, b"00042", b"value")
            await consumer.commit()


def test_a_topic_can_be_created_once() -> None:
    """The second time is told as an error of ours."""
    with (
        MockKafka({"events": 2}) as broker,
        pytest.raises(LocalServerError, match="'events' with 3 partitions"),
    ):
        broker.create_topic("events", 3)


def test_it_can_be_started_again_and_is_empty_then() -> None:
    """Closing forgets everything; closing twice is harmless."""
    broker = MockKafka({"events": 2})
    with broker:
        assert broker.address
    assert not broker.address
    with broker:
        broker.create_topic("other", 1)
    broker.close()
    with pytest.raises(LocalServerError, match="not running"):
        broker.create_topic("events", 1)
