"""Feeding the demo's purchases to a Kafka that is there already, as docker-compose.yml does."""

from __future__ import annotations

import subprocess
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.core.partitioning import murmur2
from segstream.demo.load import load
from segstream.demo.purchases import load_purchases
from segstream.local.ports import LOOPBACK, free_port
from tests.conftest import Topics

CLOCK = 899_164_800_000


async def test_purchases_go_to_their_users_partitions_and_a_clock_to_each(topics: Topics) -> None:
    """In their order, by murmur2; the last record of every partition moves the replay's clock."""
    topic = await topics.create("events", 3)
    entries = load_purchases()[:500]
    assert await load(KafkaSettings(topics.address), topic, entries, CLOCK) == 500
    consumer = AIOKafkaConsumer(bootstrap_servers=topics.address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(3)])
        found: dict[int, list[tuple[bytes | None, bytes, bool]]] = {0: [], 1: [], 2: []}
        while sum(map(len, found.values())) < 503:
            for there, records in (await consumer.getmany(timeout_ms=500)).items():
                found[there.partition] += [(each.key, each.value, bool(each.headers)) for each in records]
    finally:
        await consumer.stop()
    for number, records in found.items():
        here = [
            (entry.key.encode(), entry.value, False)
            for entry in entries
            if murmur2(entry.key.encode(), 3) == number
        ]
        assert records == [*here, (None, b"", True)]


def test_the_loader_says_in_one_line_that_kafka_is_not_there() -> None:
    """And ends with 1."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "segstream.demo.load"], env={"SEGSTREAM_KAFKA": nowhere}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("segstream: send the purchases to events:")
    assert done.stderr.splitlines()[-1].startswith("segstream: ")
