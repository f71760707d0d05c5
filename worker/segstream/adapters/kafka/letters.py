"""Reading the topic of dead letters, and which of the records in them have been sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import orjson

from segstream.adapters.kafka.changes import ChangeLog
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.survey import Found, administrator, survey
from segstream.core.letters import Letter, letter_in, mark
from segstream.errors import ServerError

_SILENCE_SECONDS: Final = 60.0
"""After so long without a record a log that is not at its end is given up."""


def marks_topic(letters: str) -> str:
    """Return the name of the compacted topic that has a record for each record sent again.

    Examples
    --------
    >>> marks_topic("segment-dead-letters")
    'segment-dead-letters-replayed'
    """
    return f"{letters}-replayed"


class Mark(NamedTuple):
    """What is kept of a record that was sent again.

    Parameters
    ----------
    known_by : int
        See `segstream.core.letters.mark`.
    origin : (str, int, int)
        Topic, partition and offset of the original.
    letter : (int, int)
        Partition and offset of the letter.
    """

    known_by: int
    origin: tuple[str, int, int]
    letter: tuple[int, int]

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """Return a letter's."""
        content = letter.content
        origin = content.topic, content.partition, content.offset
        return cls(mark(letter), origin, (letter.partition, letter.offset))

    @property
    def key(self) -> bytes:
        """What compaction keeps the last of."""
        return "-".join(map(str, (*self.origin, f"{self.known_by:016x}"))).encode()

    def encode(self) -> bytes:
        """Return the record's value."""
        topic, partition, offset = self.origin
        return orjson.dumps(
            {
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "letter_partition": self.letter[0],
                "letter_offset": self.letter[1],
                "known_by": f"{self.known_by:016x}",
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read a record's value.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is not one.
        """
        found = orjson.loads(value)
        return cls(
            int(found["known_by"], 16),
            (str(found["topic"]), int(found["partition"]), int(found["offset"])),
            (int(found["letter_partition"]), int(found["letter_offset"])),
        )


class Foreign(NamedTuple):
    """Records on the topic of dead letters that are none.

    Parameters
    ----------
    records : int
        How many.
    first : str
        Where the first one lies that was found.

    Examples
    --------
    >>> print(Foreign(2, "segment-dead-letters-0, offset 17"))
    2 records are no dead letters, the first found is segment-dead-letters-0, offset 17: left out; does another program write to this topic?
    """

    records: int = 0
    first: str = ""

    def __str__(self) -> str:
        """Say so in one line."""
        what = (
            f"{self.first} is no dead letter"
            if self.records == 1
            else f"{self.records:,} records are no dead letters, the first found is {self.first}"
        )
        return f"{what}: left out; does another program write to this topic?"


class LetterLog:
    """The topic of dead letters. Reading it leaves no trace, and takes the memory of one fetch. Use it in ``async with``.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    topic : str

    Attributes
    ----------
    passed, total : int
        How many offsets of how many have been read, markers of transactions included.
    foreign : Foreign
        What has been read and is no dead letter.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._log = ChangeLog(settings, topic)
        self.foreign = Foreign()
        self._until: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        LayoutError
            The topic is not there, or not to be seen by this client.
        ServerError
            Kafka cannot be reached.
        """
        await self._log.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._log.__aexit__(kind, error, trace)

    @property
    def passed(self) -> int:
        """How many offsets have been read."""
        return self._log.passed

    @property
    def total(self) -> int:
        """Of how many."""
        return self._log.total

    async def letters(self, since: int | None = None) -> AsyncIterator[list[Letter]]:
        """Yield all letters told since a moment (ms), in order within each partition, up to the present end.

        Raises
        ------
        ServerError
            Reading fails, or nothing comes for a minute.
        """
        await self._log.start("earliest" if since is None else max(since, 0))
        async for records in patiently(self._log, self._topic):
            found = []
            for record in records:
                try:
                    content = letter_in(record.value or b"")
                except ValueError:
                    here = f"{record.topic}-{record.partition}, offset {record.offset}"
                    self.foreign = Foreign(self.foreign.records + 1, self.foreign.first or here)
                    continue
                found.append(Letter(record.partition, record.offset, record.timestamp, content))
            yield found


async def patiently(log: ChangeLog, topic: str) -> AsyncIterator[list[Any]]:
    """Yield what a log has up to its end, unless it is silent for too long.

    Raises
    ------
    ServerError
        Reading fails, or nothing comes for a minute.
    """
    clock = asyncio.get_running_loop().time
    passed, heard = log.passed, clock()
    async for records in log.batches():
        yield records
        if log.passed != passed:
            passed, heard = log.passed, clock()
        elif clock() - heard > _SILENCE_SECONDS:
            raise ServerError(f"read {topic}: Kafka sends nothing for a minute; check the brokers")


async def look(settings: KafkaSettings, *topics: str) -> dict[str, Found | None]:
    """Return what there is of some topics.

    Raises
    ------
    ServerError
        Kafka cannot be reached.
    """
    with kafka_errors("look for topics"):
        async with administrator(settings) as admin:
            return (await survey(admin, topics)).topics


async def read_marks(settings: KafkaSettings, topic: str) -> AsyncIterator[Mark]:
    """Yield the mark of each record that was sent again, as far as that is certain; nothing without the topic.

    Raises
    ------
    ServerError
        Kafka cannot be reached, or another program writes to the topic.
    """
    if (await look(settings, topic))[topic] is None:
        return
    async with ChangeLog(settings, topic) as log:
        await log.start("earliest")
        async for records in patiently(log, topic):
            for record in records:
                if record.value is None:
                    continue  # is not needed any more
                try:
                    yield Mark.decode(record.value)
                except (ValueError, KeyError, TypeError):
                    raise ServerError(
                        f"{topic}-{record.partition}, offset {record.offset}: not a record of what was sent again; does "
                        "another program write to this topic?"
                    ) from None
