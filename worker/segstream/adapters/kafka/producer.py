"""A transactional producer's end: what aiokafka leaves to its caller. Uses several of its private parts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer

from segstream.adapters.kafka.client import KafkaSettings

_CLOSE_SECONDS = 1.0


def make_producer(settings: KafkaSettings, role: str) -> AIOKafkaProducer:
    """Return a plain producer, not started, for records that may be lost.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    role : str
        What it does; the end of its client id.
    """
    return settings.renewing(AIOKafkaProducer(**settings.kwargs(role), acks=1))


def retrieve(future: asyncio.Future[Any]) -> None:
    """Look at a future's exception, so that asyncio does not report it as overlooked."""
    if future.done() and not future.cancelled():
        future.exception()


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close ``producer`` as it is, within 2 s, leaving an open transaction to the broker.

    ``AIOKafkaProducer.stop`` would first send what it still holds, for ever when the broker is gone; a fenced or
    broken producer has nothing to say that should be heard.
    """
    sender = producer._sender  # noqa: SLF001
    # Its loop does not keep its tasks where anybody else could find them.
    tasks = {task for task in asyncio.all_tasks() if _self_of(task) is sender}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
    # Those that ended by an error nobody waited for: of a fenced producer all that was in its hands.
    waiting = producer._message_accumulator._batches.values()  # noqa: SLF001
    for future in (*tasks, *(batch._drain_waiter for batches in waiting for batch in batches)):  # noqa: SLF001
        retrieve(future)
    if (end := producer._txn_manager.wait_for_transaction_end()) is not None:  # noqa: SLF001
        retrieve(end)
    producer._closed = True  # noqa: SLF001 - or it would warn that nobody closed it
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await producer.client.close()


def _self_of(task: asyncio.Task[Any]) -> object:
    """Return the object whose method ``task`` runs, or None."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame.f_locals.get("self") if frame is not None else None
