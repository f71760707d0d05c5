"""Reading the input again, from where a state was begun to where it is, for a recount."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.records import next_records
from segstream.adapters.kafka.survey import CLEANUP, administrator, survey
from segstream.errors import PositionError, ServerError

_POLL_MS: Final = 500
_RECORDS: Final = 5_000
_SILENCE: Final = 60
"""Polls in a row that bring nothing, half a minute, before it is given up."""


class History:
    """The logs of one partition number, without a group: reading them leaves no trace. Use it in ``async with``.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    number : int
        The partition number.
    begun : mapping of str to int
        The first offset to read of each topic, in the order of the settings.
    """

    def __init__(self, settings: KafkaSettings, number: int, begun: Mapping[str, int]) -> None:
        self._settings = settings
        self._begun = {TopicPartition(topic, number): offset for topic, offset in begun.items()}
        self._queues: dict[TopicPartition, deque[Any]] = {there: deque() for there in self._begun}
        self._consumer = AIOKafkaConsumer(**settings.consumer_kwargs("verify"), group_id=None)

    async def __aenter__(self) -> Self:
        """Connect, and go to where the state was begun.

        Raises
        ------
        PositionError
            The log does not reach back so far.
        ServerError
            Kafka cannot be reached or refuses.
        """
        try:
            with kafka_errors("read the events again"):
                await self._consumer.start()
                self._consumer.assign(list(self._begun))
                beginnings = await self._consumer.beginning_offsets(list(self._begun))
                for there, offset in self._begun.items():
                    self._consumer.seek(there, offset)
            for there, offset in self._begun.items():
                refuse_gap(there.topic, there.partition, offset, beginnings[there])
        except BaseException:
            await leave(self._consumer)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await leave(self._consumer)

    async def read(self, applied: Mapping[str, int]) -> AsyncIterator[Sequence[Any]]:
        """Yield the records up to these offsets, those of several topics by their arrival; called again it goes on.

        Parameters
        ----------
        applied : mapping of str to int
            The last offset to read of each topic.

        Raises
        ------
        PositionError
            The log ends before.
        ServerError
            Reading fails.
        """
        last = {there: applied.get(there.topic, -1) for there in self._begun}
        consumer, silence = self._consumer, 0
        with kafka_errors("read the events again"):
            ends = await consumer.end_offsets(list(last))
        for there, offset in last.items():
            if ends[there] <= offset:
                raise PositionError(
                    f"{there.topic}-{there.partition}: the state is at offset {offset}, but the log ends at "
                    f"{ends[there]}: it was cut off or created anew, so nothing can be recounted from it"
                )
        while True:
            lacking = [there for there, offset in last.items() if not await self._has(there, offset)]
            if records := self._merged(last, lacking):
                yield records
            elif not lacking:
                return
            if not lacking:
                continue
            with kafka_errors("read the events again"):
                found = await next_records(consumer, *lacking, timeout_ms=_POLL_MS, max_records=_RECORDS)
            for there, part in found.items():
                self._queues[there].extend(part)
            silence = 0 if found else silence + 1
            if silence > _SILENCE:
                where = ", ".join(f"{there.topic}-{there.partition}" for there in lacking)
                raise ServerError(f"{where}: Kafka sends nothing for half a minute; check the broker")

    async def _has(self, there: TopicPartition, last: int) -> bool:
        """Tell whether the next record of a log is at hand, or all that is wanted has been read."""
        if self._queues[there]:
            return True
        with kafka_errors("read the events again"):
            position: int = await self._consumer.position(there)
        return position > last

    def _merged(self, last: Mapping[TopicPartition, int], lacking: Sequence[TopicPartition]) -> list[Any]:
        """Take what can be put in order: while a log has nothing at hand, the others wait for it."""
        taken: list[Any] = []
        if lacking:
            return taken
        while heads := [
            queue for there, queue in self._queues.items() if queue and queue[0].offset <= last[there]
        ]:
            taken.append(min(heads, key=lambda queue: queue[0].timestamp).popleft())
            if len(self._queues) > 1 and not all(self._queues.values()):
                break  # whether more of that log comes first is seen by the next look
        return taken


async def refuse_compacted(settings: KafkaSettings, topics: Sequence[str]) -> None:
    """Make sure that no topic is compacted: then records are missing in the middle, and nobody can tell which.

    Where Kafka does not tell a topic's settings, it is taken for one that is not.

    Raises
    ------
    PositionError
        Naming the topic.
    ServerError
        Kafka cannot be reached.
    """
    try:
        with kafka_errors("ask for the settings of topics"):
            async with administrator(settings) as admin:
                found = (await survey(admin, topics)).topics
    except KafkaError:
        return
    for topic, told in found.items():
        if told is not None and "compact" in (told.settings or {}).get(CLEANUP, ""):
            raise PositionError(
                f"{topic} is compacted (cleanup.policy): older events of a user are gone, so its log cannot be recounted"
            )


def refuse_gap(topic: str, number: int, begun: int, beginning: int) -> None:
    """Raise ``PositionError`` if a log begins later than the state that came from it.

    Parameters
    ----------
    topic : str
    number : int
        The partition number.
    begun : int
        The first offset that was read.
    beginning : int
        The first offset that is left.

    Examples
    --------
    >>> refuse_gap("events", 3, 0, 0)
    >>> refuse_gap("events", 3, 0, 120)
    Traceback (most recent call last):
        ...
    segstream.errors.PositionError: events-3: the state was begun at offset 0, but the log begins at 120: offsets 0 to 119 are deleted (retention), so it cannot be recounted; give the events as a file (--events) if they are kept elsewhere
    """
    if beginning > begun:
        raise PositionError(
            f"{topic}-{number}: the state was begun at offset {begun}, but the log begins at {beginning}: offsets {begun} "
            f"to {beginning - 1} are deleted (retention), so it cannot be recounted; give the events as a file (--events) "
            "if they are kept elsewhere"
        )
