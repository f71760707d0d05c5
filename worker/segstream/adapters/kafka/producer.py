"""A transactional producer's beginning and end: what aiokafka leaves to its caller."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

_CLOSE_SECONDS = 1.0


def retrieve(future: asyncio.Future[object]) -> None:
    """Look at a future's exception, so that asyncio does not report it as overlooked."""
    if future.done() and not future.cancelled():
        future.exception()


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close ``producer`` as it is, within 3 s, leaving an open transaction to the broker.

    ``AIOKafkaProducer.stop`` would first send what it still holds, for ever when the broker is gone; a fenced or
    broken producer has nothing to say that should be heard. Needs three of its private parts.
    """
    sender = producer._sender.sender_task  # noqa: SLF001
    for _ in range(2):  # the first stops its loop, the second what the loop still waits for
        if sender is not None and not sender.done():
            sender.cancel()
            await asyncio.wait({sender}, timeout=_CLOSE_SECONDS)
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())
    for batch in [batch for batches in accumulator._batches.values() for batch in batches]:  # noqa: SLF001
        retrieve(batch._drain_waiter)  # noqa: SLF001
    if (end := producer._txn_manager.wait_for_transaction_end()) is not None:  # noqa: SLF001
        retrieve(end)
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await producer.stop()
