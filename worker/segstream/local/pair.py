"""A Kafka and a Redis of one's own together, with the topics in place: what a worker needs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Literal

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.topics import Topics, create_topics
from segstream.errors import LocalServerError
from segstream.local.apache_kafka import ApacheKafka
from segstream.local.mock_kafka import MockKafka
from segstream.local.redis import LocalRedis


class LocalPair:
    """Both servers; whoever calls `open` calls `close`, whatever happens in between.

    Parameters
    ----------
    kafka : {"embedded", "apache"}
    topics : Topics
        Created at the start.
    partitions : int
        N.

    Attributes
    ----------
    kafka_address, redis_url : str
        Empty while nothing runs.
    """

    def __init__(self, kafka: Literal["embedded", "apache"], topics: Topics, partitions: int) -> None:
        self._kafka, self._topics, self._partitions = kafka, topics, partitions
        self._stack = ExitStack()
        # In memory: what is gone at the end need not be written first.
        self._redis = LocalRedis(durable=False)
        self._apache: ApacheKafka | None = None
        self.kafka_address = self.redis_url = ""

    def open(self) -> None:
        """Start both.

        Raises
        ------
        LocalServerError
            One does not start.
        """
        # What closes a server is noted before it starts: Ctrl-C may come in between.
        self._stack.callback(self._redis.close)
        self._redis.start()
        self.redis_url = self._redis.url
        self.kafka_address = self._start_apache() if self._kafka == "apache" else self._start_embedded()

    def close(self) -> None:
        """Stop both, and remove what they left."""
        self._stack.close()
        self.kafka_address = self.redis_url = ""

    def check(self) -> None:
        """Raise ``LocalServerError`` if one has ended."""
        for server in (self._redis, self._apache):
            if server is not None and not server.running:
                raise LocalServerError(
                    f"{server.name} has ended, and what it held is gone: was it killed? Start anew"
                )

    def settings(self) -> dict[str, str]:
        """Return the settings, by name, with which a worker finds them.

        Examples
        --------
        >>> LocalPair("embedded", Topics(), 4).settings()["kafka_check_crcs"]
        'false'
        """
        return {
            "kafka": self.kafka_address,
            "kafka_check_crcs": str(self._kafka == "apache").lower(),
            "redis": self.redis_url,
        }

    def _start_embedded(self) -> str:
        topics = dict.fromkeys(self._topics.configuration(), self._partitions) | {self._topics.samples: 1}
        broker = MockKafka(topics)
        self._stack.callback(broker.close)
        broker.start()
        return broker.address

    def _start_apache(self) -> str:
        broker = self._apache = ApacheKafka()
        self._stack.callback(broker.close)
        broker.start()
        asyncio.run(create_topics(KafkaSettings(broker.address), self._topics, self._partitions))
        return broker.address
