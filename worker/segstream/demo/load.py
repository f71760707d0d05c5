"""Sends the demo's purchases to a Kafka that is there already: ``python -m segstream.demo.load``.

Where Kafka is and which topic is the first to read comes from the settings, as for a worker. The workers must replay
(``SEGSTREAM_CLOCK=event``): the purchases are of 1997 and 1998. Sent a second time they count a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import TYPE_CHECKING

from segstream.adapters.connections import kafka_settings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.producer import make_producer
from segstream.demo.purchases import END, load_purchases
from segstream.errors import LayoutError, SegstreamError
from segstream.incoming import CLOCK_HEADER
from segstream.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segstream.adapters.kafka.client import KafkaSettings
    from segstream.demo.purchases import Entry

_AHEAD = 20_000
"""Records handed over and not yet confirmed, of 250 bytes each: 5 MB."""


async def load(kafka: KafkaSettings, topic: str, entries: Iterable[Entry], clock: int) -> int:
    """Send events, then to each partition the record that moves a replay's clock; return how many events.

    Each goes to its key's partition by murmur2, and all are written when this returns.

    Parameters
    ----------
    kafka : KafkaSettings
        How to connect.
    topic : str
        Where to.
    entries : iterable of Entry
        In this order within each partition.
    clock : int
        Where the replay's clock is moved to, in ms.

    Raises
    ------
    LayoutError
        There is no such topic.
    ServerError
        Kafka does not take them.
    """
    sent = 0
    with kafka_errors(f"send the purchases to {topic}"):
        producer = make_producer(kafka, "load")
        try:
            await producer.start()
            if not (partitions := await producer.partitions_for(topic)):
                raise LayoutError(f"there is no topic {topic}; `segstream topics` creates it")
            for entry in entries:
                await producer.send(topic, entry.value, key=entry.key.encode())
                sent += 1
                if sent % _AHEAD == 0:
                    await producer.flush()
            for number in sorted(partitions):
                headers = [(CLOCK_HEADER, str(clock).encode())]
                await producer.send_and_wait(topic, b"", partition=number, headers=headers)
            await producer.flush()
        finally:
            with contextlib.suppress(Exception):
                await producer.stop()
    return sent


def main() -> int:
    """Send the purchases; return the exit code."""
    # What goes wrong is said once, below.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        settings = load_settings()
        topic = settings.topics[0]
        sent = asyncio.run(load(kafka_settings(settings), topic, load_purchases(), END))
    except SegstreamError as error:
        sys.stderr.write(f"segstream: {error}\n")
        return 1
    sys.stdout.write(f"sent {sent:,} events to {topic}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
