"""The fenced way out to Kafka: one transaction at a time, ending with what was told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Literal

from aiokafka import AIOKafkaProducer

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.ends import PATIENCE
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.producer import abandon, retrieve
from segstream.adapters.kafka.told import encode_told, read_told
from segstream.errors import ServerError
from segstream.ports import OutRecord, Told

MAX_RECORD_BYTES = 1_000_000
"""Key and value of one record together. Brokers take batches up to 1,048,588 bytes (``message.max.bytes``), of which
82 are Kafka's own with one record in them; the rest is left for headers to come. Keep under it before committing to
the outbox: what is there is published some day, and a record that cannot be would hold its partition up for ever."""

# Several records to a batch: half of what a broker takes, so that neither an estimate nor badly compressing data
# gets near it.
_BATCH_BYTES = 512 * 1024

TRANSACTION_TIMEOUT_MS = 30_000
"""After this the broker ends an open transaction. Until then, or until a new owner fences, `read_committed`
consumers of its partitions wait, so shorter than the usual minute; but longer than a request and its repetition."""

Compression = Literal["gzip", "lz4", "snappy", "zstd"]


class KafkaPublisher:
    """One partition number's `segstream.ports.Publisher` on Kafka.

    Parameters
    ----------
    partition : int
        The partition number of every topic it publishes to, but of those records that name another.
    settings : KafkaSettings
        How to connect.
    group : str
        Consumer group of the workers; ``<group>-<partition>`` is the transactional id.
    published_topic : str
        The compacted topic of what was told.
    compression : str, optional
        ``gzip``; or ``lz4``, ``snappy``, ``zstd`` where aiokafka has their library. None by default.
    transaction_timeout_ms : int
        After this a transaction is given up, here and by the broker.
    patience : float
        Most seconds for which taking over waits for transactions of other groups that share the compacted topic.
    """

    def __init__(
        self,
        partition: int,
        settings: KafkaSettings,
        *,
        group: str = "segstream",
        published_topic: str = "segstream-published",
        compression: Compression | None = None,
        transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS,
        patience: float = PATIENCE,
    ) -> None:
        self._partition, self._settings, self._published_topic = partition, settings, published_topic
        self._transactional_id = f"{group}-{partition}"
        self._key = self._transactional_id.encode()
        self._seconds, self._patience = transaction_timeout_ms / 1000, patience
        self._arguments: dict[str, Any] = {
            "transactional_id": self._transactional_id,
            "transaction_timeout_ms": transaction_timeout_ms,
            "max_batch_size": _BATCH_BYTES,
            "compression_type": compression,
        }
        self._producer: AIOKafkaProducer | None = None
        self._usable = False

    async def fence(self) -> Told:
        """Refuse every earlier owner's sends from now on, then return what was told last (committed).

        Raises
        ------
        ServerError
            Kafka did not do it within the transaction timeout, or a transaction of another group hides for too long
            what was told.
        """
        await self.close()
        try:
            with kafka_errors(f"take over partition {self._partition} ({self._transactional_id})"):
                async with asyncio.timeout(self._seconds):
                    await self._take_over()
                async with asyncio.timeout(self._seconds + self._patience):
                    told = await read_told(
                        self._settings, self._published_topic, self._partition, self._key, self._patience
                    )
        except BaseException:
            await self.close()
            raise
        self._usable = True
        return told

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Publish ``records`` and, at the end, ``told``, all in one transaction.

        When it returns the commit is certain; consumers see it some milliseconds later.

        Parameters
        ----------
        records : sequence of OutRecord
            In this order within each topic; each at most `MAX_RECORD_BYTES`.
        told : Told
            What this makes true.

        Raises
        ------
        Fenced
            Another owner has fenced this one, or the broker ended the transaction for its age.
        ServerError
            Whether it was committed is not known, or a record is too large: start over with `fence`.
        """
        if self._producer is None or not self._usable:
            raise ServerError(
                f"publish partition {self._partition}: its last transaction's end is unknown; fence first"
            )
        _refuse_too_large(records, self._partition)
        # Until this transaction has ended: whatever happens in between, its end is unknown.
        self._usable = False
        with kafka_errors(f"publish partition {self._partition} ({self._transactional_id})"):
            async with asyncio.timeout(self._seconds):
                await self._transact(self._producer, records, told)
        self._usable = True

    async def close(self) -> None:
        """Leave without finishing anything, within 2 s."""
        self._usable = False
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await abandon(producer)

    async def _take_over(self) -> None:
        kwargs = self._settings.kwargs(f"publish-{self._partition}")
        self._producer = self._settings.renewing(AIOKafkaProducer(**kwargs, **self._arguments))
        # InitProducerId: also ends an earlier owner's open transaction and waits for that.
        await self._producer.start()

    async def _transact(self, producer: AIOKafkaProducer, records: Sequence[OutRecord], told: Told) -> None:
        """Send and commit.

        1. All batches are handed over, each topic's first ones before any second, so that one request announces the
           topics to the coordinator and one produces to them.
        2. All must be acknowledged: aiokafka would commit without a batch that failed.
        3. Commit.
        """
        await producer.begin_transaction()
        sent = []  # 1
        for (topic, partition), batch in self._batches(producer, records, told):
            future = await producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(retrieve)
            sent.append(future)
        await asyncio.gather(*sent)  # 2
        await producer.commit_transaction()  # 3

    def _batches(
        self, producer: AIOKafkaProducer, records: Sequence[OutRecord], told: Told
    ) -> Iterator[tuple[tuple[str, int], Any]]:
        """Yield (log, batch): the first batch of each log, then the second …, and ``told`` last."""
        logs: dict[tuple[str, int], list[Any]] = {}
        for topic, key, value, partition, headers in records:
            log = topic, self._partition if partition is None else partition
            batches = logs.get(log)
            if batches is None:
                batches = logs[log] = [producer.create_batch()]
            if (
                batches[-1].append(timestamp=None, key=key, value=value, headers=list(headers)) is None
            ):  # full
                batches.append(producer.create_batch())
                batches[-1].append(timestamp=None, key=key, value=value, headers=list(headers))
        for round_ in zip_longest(*logs.values()):
            yield from ((log, batch) for log, batch in zip(logs, round_, strict=True) if batch is not None)
        last = producer.create_batch()
        last.append(timestamp=None, key=self._key, value=encode_told(told))
        yield (self._published_topic, self._partition), last


def _refuse_too_large(records: Sequence[OutRecord], partition: int) -> None:
    for topic, key, value, _, _ in records:  # what is forwarded has headers, and a quarter of that as value
        if value is not None and len(key) + len(value) > MAX_RECORD_BYTES:
            raise ServerError(
                f"publish partition {partition}: a record of {len(key) + len(value)} bytes for {topic}; "
                f"Kafka takes {MAX_RECORD_BYTES}"
            )
