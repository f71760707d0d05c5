"""Where logs begin and end, and what a person means by a place in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.ends import settled_ends
from segstream.adapters.kafka.errors import kafka_errors
from segstream.core.time import parse_time
from segstream.errors import UsageError


class Log(NamedTuple):
    """What there is to read of one partition of a topic.

    Parameters
    ----------
    beginning : int
        Offset of the first record.
    end : int
        Offset behind the last one that is committed.
    committed : int or None
        Where the group says it is.
    place : int
        The offset asked for.
    """

    beginning: int
    end: int
    committed: int | None
    place: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a log, as a person writes it.

    Parameters
    ----------
    text : str
        ``earliest``, ``latest``, an offset, or a time from which on records count.

    Raises
    ------
    UsageError
        If it is none of these.

    Examples
    --------
    >>> Place("120").offset, Place("latest").offset, Place("1998-06-30").time
    (120, None, 899164800000)
    """

    text: str

    def __post_init__(self) -> None:
        """Check the text."""
        if self.text in ("earliest", "latest") or self.offset is not None:
            return
        try:
            parse_time(self.text)
        except ValueError:
            raise UsageError(
                f"--to: {self.text!r} is no place in a log; write earliest, latest, an offset such as 120, or a time "
                "such as 1998-06-30T00:00:00Z"
            ) from None

    @property
    def offset(self) -> int | None:
        """The offset, if it is one."""
        return int(self.text) if self.text.isascii() and self.text.isdigit() else None

    @property
    def time(self) -> int | None:
        """The time in ms, if it is one."""
        words = self.text in ("earliest", "latest") or self.offset is not None
        return None if words else parse_time(self.text)


async def survey(
    settings: KafkaSettings,
    group: str,
    partitions: Collection[TopicPartition],
    place: Place,
    *,
    settled: bool = False,
) -> Mapping[TopicPartition, Log]:
    """Return what there is to read, and where the place is.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    group : str
        Whose committed offsets are asked for; it is not joined.
    partitions : collection of TopicPartition
    place : Place
    settled : bool
        Wait until every transaction has ended that is open now: what is there now then lies before the end.

    Raises
    ------
    UsageError
        An offset outside of the log.
    ServerError
        Kafka does not answer, or refuses; or a transaction stays open too long.
    """
    with kafka_errors("ask where the logs begin and end"):
        consumer = AIOKafkaConsumer(**settings.consumer_kwargs("places"), group_id=group)
        try:
            await consumer.start()
            # Assigned, not subscribed: the group has no member by this.
            consumer.assign(list(partitions))
            beginnings = await consumer.beginning_offsets(list(partitions))
            if settled:
                await settled_ends(consumer, partitions)
            ends = await consumer.end_offsets(list(partitions))
            at = place.time
            times = {} if at is None else await consumer.offsets_for_times(dict.fromkeys(partitions, at))
            committed = {there: await consumer.committed(there) for there in partitions}
        finally:
            await leave(consumer)
    found = {}
    for there in sorted(partitions):
        beginning, end = beginnings[there], ends[there]
        if at is not None:
            first = times.get(there)
            offset = end if first is None else max(min(first.offset, end), beginning)
        else:
            offset = {"earliest": beginning, "latest": end}.get(place.text, place.offset or 0)
        if not beginning <= offset <= end:
            raise UsageError(
                f"--to: offset {offset} is outside of {there.topic}-{there.partition}, which holds {beginning} to {end}"
            )
        found[there] = Log(beginning, end, committed[there], offset)
    return found
