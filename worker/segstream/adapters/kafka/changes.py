"""Reading what has been told: the topic of changes, from a moment on, as any ``read_committed`` consumer sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.ends import settled_ends
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.records import next_records
from segstream.adapters.kafka.survey import administrator, survey
from segstream.errors import LayoutError

Start = Literal["earliest", "latest"] | int

_POLL_MS: Final = 200
_RECORDS: Final = 2_000
"""At once: a few megabytes of memory, whatever is read."""


class ChangeLog:
    """The topic of changes, without a group: reading it leaves no trace. Use it in ``async with``.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    topic : str

    Attributes
    ----------
    partitions : int
        How many there are.
    total : int
        How many offsets lie between the start and the end there was then, markers of transactions included.
    passed : int
        How many of them are behind us.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._begins: dict[TopicPartition, int] = {}
        self._from = 0
        self.partitions = self.total = self.passed = 0

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        LayoutError
            The topic is not there, or not to be seen by this client.
        ServerError
            Kafka cannot be reached.
        """
        with kafka_errors(f"read {self._topic}"):
            async with administrator(self._settings) as admin:
                found = (await survey(admin, [self._topic], settings=False)).topics[self._topic]
            if found is None:
                raise LayoutError(
                    f"topic {self._topic} is missing, or not to be seen by this client; `segstream topics --check` tells "
                    "more"
                )
            consumer = self._settings.renewing(
                AIOKafkaConsumer(**self._settings.consumer_kwargs("changes"), group_id=None)
            )
            try:
                await consumer.start()
            except BaseException:
                await leave(consumer)
                raise
        self._consumer, self.partitions = consumer, found.partitions
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await leave(self._reader)

    @property
    def _reader(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "use it in `async with`"  # noqa: S101 - a mistake in this program
        return self._consumer

    async def start(self, begin: Start, numbers: Sequence[int] = (), *, settled: bool = True) -> None:
        """Go to where reading begins, and note the present end.

        Parameters
        ----------
        begin : {"earliest", "latest"} or int
            Where; a time in ms means the first record published then or later.
        numbers : sequence of int
            Partitions to read; all by default.
        settled : bool
            Wait until all that is there now can be read: until every transaction has ended that is open now, anybody's.
            Otherwise the end is where the first of them begins, and what is committed behind it is left out.

        Raises
        ------
        ServerError
            Kafka does not answer, or a transaction stays open too long.
        """
        consumer = self._reader
        here = [TopicPartition(self._topic, number) for number in numbers or range(self.partitions)]
        with kafka_errors(f"find where to begin in {self._topic}"):
            consumer.assign(here)
            self._ends = await settled_ends(consumer, here) if settled else await consumer.end_offsets(here)
            offsets = await consumer.beginning_offsets(here)
            if begin == "latest":
                offsets = dict(self._ends)
            elif begin != "earliest":
                self._from = begin
                # The embedded broker, which alone has no checksums, finds no offsets by time; it keeps little.
                if self._settings.check_crcs:
                    found = await consumer.offsets_for_times(dict.fromkeys(here, begin))
                    offsets = {
                        there: self._ends[there] if found[there] is None else found[there].offset
                        for there in here
                    }
            for there, offset in offsets.items():
                consumer.seek(there, offset)
        self._begins = offsets
        self.total = sum(max(0, self._ends[there] - offset) for there, offset in offsets.items())
        self.passed = 0

    async def batches(self, *, follow: bool = False) -> AsyncIterator[list[Any]]:
        """Yield records as they come, in order within each partition; those at hand together by their time.

        Parameters
        ----------
        follow : bool
            Go on for ever; otherwise up to the end that `start` noted.

        Raises
        ------
        ServerError
            Reading fails.
        """
        consumer = self._reader
        while follow or self.passed < self.total:
            with kafka_errors(f"read {self._topic}"):
                found = await next_records(consumer, timeout_ms=_POLL_MS, max_records=_RECORDS)
                reached = {there: await consumer.position(there) for there in self._begins}
            self.passed = sum(
                max(0, min(reached[there], self._ends[there]) - begin)
                for there, begin in self._begins.items()
            )
            records = [
                record
                for there, part in found.items()
                for record in part
                if record.timestamp >= self._from and (follow or record.offset < self._ends[there])
            ]
            yield sorted(records, key=lambda record: record.timestamp)
