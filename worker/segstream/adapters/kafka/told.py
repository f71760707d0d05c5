"""Reading back what was told last of a partition, from the compacted topic that ends every transaction."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.ends import PATIENCE, settled_ends
from segstream.adapters.kafka.records import next_records
from segstream.errors import ServerError
from segstream.ports import NOTHING_TOLD, Told
from segstream_schemas import Published

# Each transaction leaves two offsets, the record and its commit marker. The last record is nearly always within
# the first window; aborted transactions, compaction and other groups push it back, so the window then grows.
_FIRST_WINDOW = 16
_WINDOW_GROWTH = 16
_POLL_MS = 200


def encode_told(told: Told) -> bytes:
    """Return the record's value.

    Examples
    --------
    >>> encode_told(Told(1, 4, 17))
    b'{"incarnation":1,"epoch":4,"partition_sequence":17,"owner":""}'
    """
    return Published(**told._asdict()).model_dump_json().encode()


def decode_told(value: bytes | None) -> Told:
    """Read a record's value; unknown fields are ignored.

    Raises
    ------
    ValueError
        It is not such a record.

    Examples
    --------
    >>> decode_told(b'{"incarnation":1,"epoch":4,"partition_sequence":17,"new":true}')
    Told(incarnation=1, epoch=4, partition_sequence=17, owner='')
    """
    published = Published.model_validate_json(value or b"")
    return Told(published.incarnation, published.epoch, published.partition_sequence, published.owner)


async def read_told(
    settings: KafkaSettings, topic: str, partition: int, key: bytes, patience: float = PATIENCE
) -> Told:
    """Return the last committed record under ``key``, or `NOTHING_TOLD`.

    Call it after ``InitProducerId``: by then every transaction of earlier owners has ended, markers and all, and the
    end that the broker names lies behind them. Other groups that share the topic may have a transaction open: until it
    has ended, nothing that was committed behind its first record can be read, so that is waited for.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    topic, partition : str, int
        Where to read.
    key : bytes
        The partition's key; several groups may share the topic.
    patience : float
        Most seconds to wait for others' transactions.

    Raises
    ------
    ServerError
        The record cannot be read as one of ours, or another's transaction has not ended in time. Kafka's own errors
        pass as they are.
    """
    there = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(**settings.consumer_kwargs(f"told-{partition}"), group_id=None)
    try:
        await consumer.start()
        consumer.assign([there])
        beginning = (await consumer.beginning_offsets([there]))[there]
        end = (await settled_ends(consumer, [there], patience))[there]
        window, upper = _FIRST_WINDOW, end
        while upper > beginning:
            lower = max(beginning, upper - window)
            if (told := await _last_in(consumer, there, lower, upper, key)) is not None:
                return told
            window, upper = window * _WINDOW_GROWTH, lower
        return NOTHING_TOLD
    finally:
        await leave(consumer)


async def _last_in(
    consumer: AIOKafkaConsumer, there: TopicPartition, lower: int, upper: int, key: bytes
) -> Told | None:
    """Return the last record under ``key`` with an offset in [lower, upper), or None."""
    last = None
    consumer.seek(there, lower)
    # Markers and compacted records move the position on without showing.
    while await consumer.position(there) < upper:
        for record in (await next_records(consumer, there, timeout_ms=_POLL_MS)).get(there, ()):
            if record.offset < upper and record.key == key:
                last = record
    if last is None:
        return None
    try:
        return decode_told(last.value)
    except ValueError as error:
        raise ServerError(
            f"{there.topic}-{there.partition}, offset {last.offset}: not a record of what was told; "
            "does another program write to this topic?"
        ) from error
