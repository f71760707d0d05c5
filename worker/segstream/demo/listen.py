"""Reads what the worker publishes, as any service would, and counts it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from segstream.errors import ServerError

_POLL_SECONDS: Final = 0.1
_ASK_SECONDS: Final = 5.0


class Listener(threading.Thread):
    """A ``read_committed`` consumer of changes and dead letters, in a thread of its own.

    Parameters
    ----------
    address : str
        Kafka's.
    changes, dead_letters : str
        The topics.
    partitions : int

    Attributes
    ----------
    changes, dead_letters : int
        How many were read.
    entries, exits : Counter
        By segment.
    gaps : int
        Changes that are missing, by the numbers of those around them: 0, or the listener was too slow for the
        embedded broker, which keeps little.
    """

    def __init__(self, address: str, changes: str, dead_letters: str, partitions: int) -> None:
        super().__init__(name="listener", daemon=True)
        settings = {
            "bootstrap.servers": address,
            "group.id": "segstream-demo",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
        self._consumer = Consumer(settings)
        # Questions have a connection of their own: behind fetches they would wait for up to a minute.
        self._asker = Consumer(settings)
        self._topic = changes
        self._here = [
            TopicPartition(topic, number, OFFSET_BEGINNING)
            for topic in (changes, dead_letters)
            for number in range(partitions)
        ]
        self._ends: dict[tuple[str, int], int] = {}
        self._closing = threading.Event()
        self._sequences: dict[str, int] = {}
        self._fresh: dict[tuple[str, str], dict[str, Any]] = {}
        self._shown: Counter[tuple[str, str]] = Counter()
        self.changes = self.dead_letters = self.gaps = 0
        self.entries: Counter[str] = Counter()
        self.exits: Counter[str] = Counter()
        self.failure: Exception | None = None

    def run(self) -> None:
        """Read until closed."""
        try:
            self._consumer.assign(self._here)
            while not self._closing.is_set():
                for message in self._consumer.consume(1_000, _POLL_SECONDS):
                    self._take(message)
        except (KafkaException, ValueError) as error:
            self.failure = error
        finally:
            self._consumer.close()

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        if self.is_alive():
            self.join(_ASK_SECONDS)
        self._asker.close()

    def caught_up(self) -> bool:
        """Tell whether all that Kafka has now was read.

        Raises
        ------
        ServerError
            Reading has failed.
        """
        if self.failure is not None:
            raise ServerError(f"cannot read what the worker published: {self.failure}")
        for there in self._here:
            reached = self._ends.get((there.topic, there.partition), 0)
            if reached < self.end(there.topic, there.partition):
                return False
        return True

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last record of a partition.

        Raises
        ------
        ServerError
            Kafka does not tell.
        """
        try:
            _, end = self._asker.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_SECONDS)
        except KafkaException as error:
            raise ServerError(
                f"cannot ask Kafka for the end of {topic}: {error}; check the broker"
            ) from error
        return int(end)

    def next_to_show(self) -> dict[str, Any] | None:
        """Return a change read lately of the kind shown least so far, None when nothing new has come."""
        fresh = list(self._fresh)
        if not fresh:
            return None
        kind = min(fresh, key=self._shown.__getitem__)
        self._shown[kind] += 1
        return self._fresh.pop(kind, None)

    def _take(self, message: Message) -> None:
        error, topic, value = message.error(), message.topic(), message.value()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - confluent-kafka names it so
                self._ends[str(topic), int(message.partition() or 0)] = int(message.offset() or 0)
            return
        if topic != self._topic:
            self.dead_letters += 1
            return
        change = orjson.loads(value or b"{}")
        self.changes += 1
        user, sequence = change["user_id"], change["sequence"]
        self.gaps += sequence - self._sequences.get(user, 0) - 1
        self._sequences[user] = sequence
        segment = change["segment"]
        if segment is not None:
            (self.entries if change["change"] == "entered" else self.exits)[segment] += 1
            self._fresh[segment, change["change"]] = change
