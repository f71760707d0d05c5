"""Sends the events, no faster than the worker takes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from segstream.core.partitioning import murmur2
from segstream.errors import ServerError
from segstream.incoming import CLOCK_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.demo.purchases import Entry

AHEAD: Final = 8_000
"""Events sent and not yet applied. The embedded broker keeps 5 MB per partition, so of 250 bytes 20,000 in each."""

AHEAD_BYTES: Final = 4_000_000
"""The same for large events: less than one partition keeps, where all of them may be."""

_FLUSH_SECONDS: Final = 15.0


class Feeder:
    """The producer.

    Parameters
    ----------
    address : str
        Kafka's.
    topic : str
    partitions : int
    entries : sequence of Entry
        In the order to send them.
    """

    def __init__(self, address: str, topic: str, partitions: int, entries: Sequence[Entry]) -> None:
        self._producer = Producer(
            {"bootstrap.servers": address, "linger.ms": 5, "enable.idempotence": True, "log_level": 0}
        )
        self._topic, self._partitions, self._entries = topic, partitions, entries
        self._places = _Places(partitions)
        self.sent = 0
        self.controls: dict[int, int] = {}
        """Offset of the control record of each partition, once it is written."""
        self._bytes = [0]
        self._error: KafkaError | None = None

    @property
    def done(self) -> bool:
        """Whether all events are sent."""
        return self.sent == len(self._entries)

    def feed(self, applied: int) -> None:
        """Send more events, given how many records the worker has applied."""
        entries, bytes_before = self._entries, self._bytes
        while (
            self.sent < len(entries)
            and self.sent - applied < AHEAD
            and bytes_before[self.sent] - bytes_before[min(applied, self.sent)] < AHEAD_BYTES
        ):
            entry = entries[self.sent]
            self._send(self._places[entry.key], entry.key.encode(), entry.value)
            bytes_before.append(bytes_before[-1] + len(entry.value))
            self.sent += 1
        self._producer.poll(0)
        self._check()

    def end(self, clock: int) -> None:
        """Send the control record that moves every partition's clock to a moment (ms), and wait until all is written.

        Raises
        ------
        ServerError
            Kafka does not take it.
        """
        for partition in range(self._partitions):
            self._send(partition, b"", b"", [(CLOCK_HEADER, str(clock).encode())])
        deadline = time.monotonic() + _FLUSH_SECONDS
        while self._producer.flush(0.2) and time.monotonic() < deadline:
            self._check()
        self._check()
        if len(self.controls) < self._partitions:
            raise ServerError(
                f"Kafka did not confirm the last records within {_FLUSH_SECONDS:.0f} s; check the broker"
            )

    def close(self) -> None:
        """Forget what is not sent."""
        self._producer.purge()

    def _send(
        self,
        partition: int,
        key: bytes,
        value: bytes,
        headers: list[tuple[str, str | bytes | None]] | None = None,
    ) -> None:
        callback: Any = self._written if headers is None else self._control_written
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, partition, on_delivery=callback, headers=headers or []
                )
            except BufferError:
                self._producer.poll(0.05)
                continue
            except KafkaException as error:
                raise ServerError(f"cannot send an event: {error}; check the broker") from error
            return

    def _written(self, error: KafkaError | None, _message: Message) -> None:
        self._error = self._error or error

    def _control_written(self, error: KafkaError | None, message: Message) -> None:
        self._error = self._error or error
        offset, partition = message.offset(), message.partition()
        if error is None and offset is not None and partition is not None:
            self.controls[partition] = offset

    def _check(self) -> None:
        if self._error is not None:
            raise ServerError(f"Kafka did not take an event: {self._error.str()}; check the broker")


class _Places(dict[str, int]):
    """Partition by key, worked out once per key."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions

    def __missing__(self, key: str) -> int:
        place = self[key] = murmur2(key.encode(), self._partitions)
        return place
