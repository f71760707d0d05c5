"""Where logs really end: what the clock of a partition number may rest on, and how far is to be read to have read all."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.errors import kafka_errors
from segstream.errors import SegstreamError, ServerError

PATIENCE: Final = 50.0
"""Most seconds to wait for others' transactions: as long as one of a worker that was killed stays open (30), until the
broker has seen that (10), and some more."""

APART: Final = 3.0
"""Seconds for the logs of one partition number that are asked apart: the clocks of all others wait for it."""

_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5
"""Seconds between two looks whether a transaction has ended, at first and at last: mostly it is just being committed."""


class LogEnds:
    """Asks for the ends of logs, records of open transactions included.

    A `read_committed` consumer is told another end, the first record of an open transaction. Records behind it have
    arrived, and a commit is acknowledged before they can be read: a clock that took this end for the log's would
    overtake them. Positions do reach the end that this class names, commit and abort markers included.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.

    Attributes
    ----------
    silent : dict of int to SegstreamError
        The partition numbers whose logs were not told when last asked, and why: their logs may have no leader.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.silent: dict[int, SegstreamError] = {}
        self._consumer: AIOKafkaConsumer | None = None

    async def ask(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset behind the last record of each log, as it is now.

        Of a partition number with a log that does not answer none is returned: see `silent`.

        Raises
        ------
        ServerError
            Kafka does not answer for any.
        """
        # A question about several logs fails if one of them has no leader. Who was silent does not delay the others again.
        common = [there for there in partitions if there.partition not in self.silent]
        apart = _by_number(there for there in partitions if there.partition in self.silent)
        consumer = await self._connected()
        told = [await _ask(consumer, common)]
        if isinstance(told[0], SegstreamError) and len(numbers := _by_number(common)) > 1:
            apart, told = numbers + apart, []
        questions = [common, *apart] if told else apart
        told += await asyncio.gather(*(_ask(consumer, logs, APART) for logs in apart))
        ends: dict[TopicPartition, int] = {}
        silent: dict[int, SegstreamError] = {}
        for logs, answer in zip(questions, told, strict=True):
            if isinstance(answer, SegstreamError):
                silent |= {there.partition: answer for there in logs}
            else:
                ends |= answer
        # If nobody answers it is no matter of single logs.
        self.silent = silent if ends else {}
        if silent and not ends:
            raise next(iter(silent.values()))
        return ends

    async def _connected(self) -> AIOKafkaConsumer:
        with kafka_errors("ask where the logs end"):
            if self._consumer is None:
                settings = self._settings.consumer_kwargs("ends") | {"isolation_level": "read_uncommitted"}
                consumer = self._settings.renewing(AIOKafkaConsumer(**settings, group_id=None))
                try:
                    await consumer.start()
                except BaseException:
                    await leave(consumer)
                    raise
                self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Close the connection; another question opens it again."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await leave(consumer)


async def _ask(
    consumer: AIOKafkaConsumer, logs: Sequence[TopicPartition], seconds: float | None = None
) -> dict[TopicPartition, int] | SegstreamError:
    """Return the ends of logs, or what went wrong; the client's own patience ends the question if ``seconds`` do not."""
    if not logs:
        return {}
    where = "the logs" if seconds is None else f"the logs of partition {logs[0].partition}"
    try:
        with kafka_errors(f"ask where {where} end"):
            async with asyncio.timeout(seconds):
                ends: dict[TopicPartition, int] = await consumer.end_offsets(list(logs))
    except SegstreamError as error:
        return error
    return ends


def _by_number(logs: Iterable[TopicPartition]) -> list[list[TopicPartition]]:
    """Return the logs of each partition number."""
    found: dict[int, list[TopicPartition]] = {}
    for there in logs:
        found.setdefault(there.partition, []).append(there)
    return list(found.values())


async def settled_ends(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition], patience: float = PATIENCE
) -> dict[TopicPartition, int]:
    """Return the present ends of logs, as soon as a `read_committed` consumer can read all that is before them.

    An open transaction, whoever's, hides everything behind its first record, also what others have committed there. It
    ends when its producer, or the next one under its id, ends it; else at its timeout, by the broker.

    Parameters
    ----------
    consumer : AIOKafkaConsumer
        A `read_committed` one, started.
    partitions : collection of TopicPartition
        The logs; they need not be assigned to it.
    patience : float
        Most seconds to wait.

    Raises
    ------
    ServerError
        A transaction was open for longer. Kafka's own errors pass as they are.
    """
    clock = asyncio.get_running_loop().time
    asked_at, pause = clock(), _FIRST_LOOK
    # A consumer is told one kind of end, and another one would have to connect first: takeovers wait for this.
    uncommitted = copy.copy(consumer._fetcher)  # noqa: SLF001
    uncommitted._isolation_level = READ_UNCOMMITTED  # noqa: SLF001
    ends: dict[TopicPartition, int] = await uncommitted.end_offsets(
        list(partitions),
        consumer._request_timeout_ms,  # noqa: SLF001
    )
    while True:
        visible = await consumer.end_offsets(list(partitions))
        hidden = next((there for there in partitions if visible[there] < ends[there]), None)
        if hidden is None:
            return ends
        if clock() - asked_at > patience:
            raise ServerError(
                f"{hidden.topic}-{hidden.partition}: since {patience:g} s a transaction that begins at offset "
                f"{visible[hidden]} hides what lies behind it; it ends when its producer or its timeout ends it: see who "
                f"holds it with kafka-transactions.sh find-hanging, or wait and try again"
            )
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK)
