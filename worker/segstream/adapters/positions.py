"""Where a partition number that has been taken over goes on reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.consumer import starting_offset
from segstream.adapters.kafka.errors import kafka_errors
from segstream.core.origin import Origin
from segstream.errors import PositionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segstream.partition import Partition


async def find_positions(
    consumer: AIOKafkaConsumer, here: Iterable[TopicPartition], partition: Partition, start_from: str
) -> dict[TopicPartition, int]:
    """Return the next offset of each of a partition number's logs.

    The topic of forwarded records is begun at its first record, whatever ``start_from`` says: another worker may have
    forwarded something before this partition was taken over, also on a first start, and that arrived after the source
    was begun. What an earlier deployment has left there cannot be told apart and counts too; a reset of all partitions
    before the first start leaves it out. Where a topic is begun is committed at once: "latest" must not mean another place after a restart.

    Parameters
    ----------
    consumer : AIOKafkaConsumer
        The member.
    here : iterable of TopicPartition
        The logs.
    partition : Partition
        Taken over.
    start_from : str
        Where a first start begins input topics.

    Raises
    ------
    PositionError
        State and log do not fit together.
    SegstreamError
        Kafka does not answer, or the commit fails.
    """
    applied = partition.meta.offsets
    known, rerouted = bool(applied), partition.options.topics.rerouted
    offsets = {}
    # What is wrong with an input topic is told before what is with the topic of forwarded records.
    for there in sorted(here, key=lambda there: (there.topic == rerouted, there.topic)):
        with kafka_errors(f"find the position of {there.topic}-{there.partition}"):
            committed = None if known else await consumer.committed(there)
            first = "earliest" if there.topic == rerouted else start_from
            offsets[there] = await starting_offset(
                consumer, there, applied.get(there.topic), committed, first
            )
    if not known and partition.meta.incarnation > 1:  # a reset leaves positions behind
        number = next(iter(offsets)).partition
        raise PositionError(
            f"partition {number}: Redis holds no state, but changes of it were published. Bring the state back, or begin "
            f"anew from what the log holds with `segstream reset --partition {number} --to earliest`"
        )
    begun = {there.topic: offset - 1 for there, offset in offsets.items() if there.topic not in applied}
    if begun:
        partition.meta.offsets |= begun
        beginnings = {topic: offset + 1 for topic, offset in begun.items()}
        partition.meta.origin = Origin.load(partition.meta.origin).begin(beginnings).dump()
        await partition.commit(partition.draft())
    return offsets


def check_partitions(number: int, partition: Partition, partitions: int) -> None:
    """Raise ``PositionError`` unless the state was made with as many partitions as the topics have.

    Parameters
    ----------
    number : int
        The partition number.
    partition : Partition
        Taken over.
    partitions : int
        N, as the topics have it.
    """
    refuse_other(partition.meta.partitions, partitions, f"partition {number}")


def refuse_other(made_with: int, partitions: int, where: str) -> None:
    """Raise ``PositionError`` if a state was made with another number of partitions than the topics have.

    Parameters
    ----------
    made_with : int
        N, as the state has it; 0 without any.
    partitions : int
        N, as the topics have it.
    where : str
        Whose state it is.

    Examples
    --------
    >>> refuse_other(0, 4, "partition 1"), refuse_other(4, 4, "partition 1")
    (None, None)
    """
    if made_with not in (0, partitions):
        raise PositionError(
            f"{where}: its state was made with {made_with} partitions, the topics have {partitions}: users move between "
            "partitions. Restore the number of partitions, or begin anew: with `segstream reset --to earliest` if the "
            "topics were created anew, with `segstream reset --to latest` if partitions were added, since what is there "
            "lies in other partitions than it would now"
        )
