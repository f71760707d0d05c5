"""Where logs really end: what the clock of a partition number may rest on."""

from __future__ import annotations

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors


class LogEnds:
    """Asks for the ends of logs, records of open transactions included.

    A `read_committed` consumer is told another end, the first record of an open transaction. Records behind it have
    arrived, and a commit is acknowledged before they can be read: a clock that took this end for the log's would
    overtake them. Positions do reach the end that this class names, commit and abort markers included.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None

    async def ask(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset behind the last record of each log, as it is now.

        Raises
        ------
        ServerError
            Kafka does not answer.
        """
        with kafka_errors("ask where the logs end"):
            if self._consumer is None:
                settings = self._settings.consumer_kwargs("ends") | {"isolation_level": "read_uncommitted"}
                consumer = self._settings.renewing(AIOKafkaConsumer(**settings, group_id=None))
                try:
                    await consumer.start()
                except BaseException:
                    await consumer.stop()
                    raise
                self._consumer = consumer
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
            return ends

    async def close(self) -> None:
        """Close the connection; another question opens it again."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()
