"""Sending the records inside of dead letters again, each of them once.

One Kafka transaction holds some records, back on their topics, and for each a mark in a compacted topic of its own, so
that there is never the one without the other. A replay

1. fences: it begins with ``InitProducerId`` under a transactional id that all replays of a deployment share. An earlier
   one, whether it still runs or was killed half way, can commit nothing from then on, and what it had not committed
   has never been.
2. reads all marks: what was committed before, whoever did it.
3. goes through the letters in order, and sends those without a mark.
4. takes away the marks of records that are gone, and of which the whole topic had no letter.

A record is known by its place (topic, partition, offset) and its bytes. So one that became a dead letter twice, since
its log was read again, is sent again once too; and one that fails again after it was sent again is another record.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import IllegalOperation, TopicAlreadyExistsError, for_code

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import leave
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.letters import Foreign, LetterLog, Mark, look, marks_topic, read_marks
from segstream.adapters.kafka.producer import abandon, retrieve
from segstream.adapters.kafka.survey import CLEANUP, Found, administrator
from segstream.core.letters import REPLAYED_HEADER, Letter, Original, Wanted, mark, original
from segstream.core.partitioning import Partitioner
from segstream.errors import Fenced, LayoutError, SegstreamError

_LETTERS: Final = 500
"""Records of one transaction …"""

_BYTES: Final = 4 << 20
"""… and about how many bytes of them: what a replay holds in memory."""

_BATCH_BYTES: Final = 512 * 1024
"""As the publisher's: half of what brokers take."""

_TIMEOUT_MS: Final = 30_000
"""After this a transaction is given up, here and by the broker; so long readers of the events may have to wait."""

_FORGOTTEN: Final = 10_000
"""Marks taken away by one replay at most, of records that are gone with all their letters."""


class Target(NamedTuple):
    """Where records are sent again.

    Parameters
    ----------
    letters : str
        The topic of dead letters.
    events : tuple of str
        Topics that may be sent to: those this deployment reads.
    partitioner : Partitioner
        As used by their producers.
    transactional_id : str
        The same for all replays of a deployment.
    """

    letters: str
    events: tuple[str, ...]
    partitioner: Partitioner
    transactional_id: str


@dataclass(slots=True)
class Tally:
    """What a replay is going to do, or has done.

    Attributes
    ----------
    sent : Counter
        Records by (reason, topic).
    before : int
        Left out: sent again before. A record told twice counts once, here as anywhere.
    partial : int
        Left out: the letter holds only a part, since the record was too large.
    elsewhere : Counter
        Left out, by topic: topics that are not read here, or are not there.
    foreign : Foreign
        Left out: no dead letters.
    """

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    before: int = 0
    partial: int = 0
    elsewhere: Counter[str] = field(default_factory=Counter)
    foreign: Foreign = field(default_factory=Foreign)


class Replay:
    """One replay.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    target : Target
    wanted : Wanted
        Which letters.
    progress : callable
        Told how many offsets of how many are behind.
    """

    def __init__(
        self, settings: KafkaSettings, target: Target, wanted: Wanted, progress: Callable[[int, int], object]
    ) -> None:
        self._settings, self._target, self._wanted, self._progress = settings, target, wanted, progress
        self._marks = marks_topic(target.letters)
        self._known: set[int] = set()
        self._seen: set[int] = set()
        self._forgettable: dict[int, Mark] = {}
        self._planned: set[int] | None = None
        self._topics: dict[str, Found | None] = {}

    async def plan(self) -> Tally:
        """Return what `carry_out` would do now.

        Raises
        ------
        LayoutError
            There is no topic of dead letters.
        ServerError
            Kafka cannot be reached or refuses.
        """
        self._topics = await look(self._settings, *self._target.events)
        self._known = {found.known_by async for found in read_marks(self._settings, self._marks)}
        tally = Tally()
        self._planned = {mark(letter) async for letters in self._choose(tally) for letter in letters}
        return tally

    async def carry_out(self, report: Callable[[int], object]) -> Tally:
        """Send what was planned, and nothing that has been told or sent since; return what was sent.

        Parameters
        ----------
        report : callable
            Told after each transaction how many records have been sent so far.

        Raises
        ------
        SegstreamError
            Another replay has begun meanwhile.
        ServerError
            Kafka cannot be reached or refuses. What was reported is sent; the same again goes on from there.
        """
        await self._make_topic()
        try:
            async with self._fenced() as producer:  # 1
                await self._read_marks()  # 2
                tally, sent = Tally(), 0
                async for letters in self._choose(tally):  # 3
                    await self._commit(producer, letters, [])
                    sent += len(letters)
                    report(sent)
                everything = self._wanted.since is None
                if everything and self._forgettable:  # 4
                    await self._commit(producer, [], self._forgettable.values())
        except Fenced:
            raise SegstreamError(
                "another replay of these dead letters has begun, or Kafka took too long over a transaction; what was "
                "reported is sent, and the same again sends what is left"
            ) from None
        return tally

    async def _choose(self, tally: Tally) -> AsyncIterator[list[Letter]]:
        """Yield the letters to send in order, as many at once as go into a transaction."""
        chosen: list[Letter] = []
        size = 0
        self._seen = set()
        async with LetterLog(self._settings, self._target.letters) as log:
            async for letters in log.letters(self._wanted.since):
                for letter in letters:
                    self._forgettable.pop(mark(letter), None)
                    if not self._wanted.fits(letter) or not self._sendable(letter, tally):
                        continue
                    chosen.append(letter)
                    size += len(letter.content.value or "")
                    if len(chosen) == _LETTERS or size >= _BYTES:
                        yield chosen
                        chosen, size = [], 0
                self._progress(log.passed, log.total)
            tally.foreign = log.foreign
        if chosen:
            yield chosen

    def _sendable(self, letter: Letter, tally: Tally) -> bool:
        """Tell whether a letter's record is to be sent, and count it."""
        content = letter.content
        known_by = mark(letter)
        if self._planned is not None and known_by not in self._planned:
            return False
        if known_by in self._seen:  # told twice
            return False
        self._seen.add(known_by)
        if known_by in self._known:
            tally.before += 1
        elif content.truncated:
            tally.partial += 1
        elif self._topics.get(content.topic) is None:
            tally.elsewhere[content.topic] += 1
        else:
            tally.sent[content.reason, content.topic] += 1
            return True
        return False

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            **self._settings.kwargs("replay"),
            transactional_id=self._target.transactional_id,
            transaction_timeout_ms=_TIMEOUT_MS,
            max_batch_size=_BATCH_BYTES,
        )
        try:
            with kafka_errors(f"begin to send dead letters again ({self._target.transactional_id})"):
                async with asyncio.timeout(_TIMEOUT_MS / 1000):
                    await producer.start()
            yield producer
        finally:
            await abandon(producer)

    async def _commit(
        self, producer: AIOKafkaProducer, letters: Sequence[Letter], obsolete: Iterable[Mark]
    ) -> None:
        """Send records and their marks, and take away marks that nothing needs, in one transaction."""
        with kafka_errors(f"send dead letters again ({self._target.transactional_id})"):
            async with asyncio.timeout(_TIMEOUT_MS / 1000):
                await producer.begin_transaction()
                sent = []
                try:
                    for topic, partition, batch in self._batches(producer, letters, obsolete):
                        future = await producer.send_batch(batch, topic, partition=partition)
                        future.add_done_callback(retrieve)
                        sent.append(future)
                except IllegalOperation:
                    # An earlier one has failed meanwhile and ended the transaction: its error says why.
                    await asyncio.gather(*sent)
                    raise
                await asyncio.gather(*sent)
                await producer.commit_transaction()

    def _batches(
        self, producer: AIOKafkaProducer, letters: Iterable[Letter], obsolete: Iterable[Mark]
    ) -> list[tuple[str, int, Any]]:
        batches: list[tuple[str, int, Any]] = []
        open_: dict[tuple[str, int], Any] = {}

        def add(topic: str, partition: int, record: Original) -> None:
            content = {"key": record.key, "value": record.value, "headers": list(record.headers)}
            batch = open_.get((topic, partition))
            if batch is None or batch.append(timestamp=None, **content) is None:
                batch = open_[topic, partition] = producer.create_batch()
                batch.append(timestamp=None, **content)
                batches.append((topic, partition, batch))

        for letter in letters:
            topic = letter.content.topic
            record = self._again(letter)
            add(topic, self._partition(letter, record.key), record)
            found = Mark.of(letter)
            add(self._marks, 0, Original(found.key, found.encode(), ()))
        for gone in obsolete:
            add(self._marks, 0, Original(gone.key, None, ()))
        return batches

    def _again(self, letter: Letter) -> Original:
        """Return the record as it is sent: as it was, and a header that says where from."""
        record = original(letter.content)
        place = f"{self._target.letters}-{letter.place}".encode()
        kept = tuple(header for header in record.headers if header[0] != REPLAYED_HEADER)
        return record._replace(headers=(*kept, (REPLAYED_HEADER, place)))

    def _partition(self, letter: Letter, key: bytes | None) -> int:
        """Return where a producer would put it: by its key; without one, where it was."""
        found = self._topics[letter.content.topic]
        partitions = found.partitions if found is not None else 1
        if key is not None:
            return self._target.partitioner(key, partitions)
        return letter.content.partition % partitions

    async def _read_marks(self) -> None:
        """Read all marks, and note those whose record is gone and the letter that was sent, too."""
        topics = await look(self._settings, self._target.letters, *self._target.events)
        there = {
            TopicPartition(name, number)
            for name, found in topics.items()
            for number in range(found.partitions if found is not None else 0)
        }
        with kafka_errors("ask where the logs begin"):
            consumer = AIOKafkaConsumer(**self._settings.consumer_kwargs("replay"), group_id=None)
            try:
                await consumer.start()
                begins = await consumer.beginning_offsets(list(there))
            finally:
                await leave(consumer)
        self._known, self._forgettable = set(), {}
        async for found in read_marks(self._settings, self._marks):
            self._known.add(found.known_by)
            topic, number, offset = found.origin
            record = begins.get(TopicPartition(topic, number))
            letter = begins.get(TopicPartition(self._target.letters, found.letter[0]))
            gone = record is not None and offset < record and letter is not None and found.letter[1] < letter
            if gone and len(self._forgettable) < _FORGOTTEN:
                self._forgettable[found.known_by] = found

    async def _make_topic(self) -> None:
        """Create the topic of marks where it is missing.

        Raises
        ------
        LayoutError
            It cannot be created, or is not compacted.
        """
        found = await look(self._settings, self._target.letters, self._marks)
        marks, letters = found[self._marks], found[self._target.letters]
        if marks is not None:
            policy = (marks.settings or {}).get(CLEANUP, "compact")
            if policy != "compact":
                raise LayoutError(
                    f"{self._marks}: {CLEANUP} is {policy}, so it would forget what was sent again; kafka-configs --alter "
                    f"--entity-type topics --entity-name {self._marks} --add-config {CLEANUP}=compact"
                )
            return
        replicas = letters.replicas if letters is not None else 1
        new = NewTopic(self._marks, 1, replicas, topic_configs={CLEANUP: "compact"})
        with kafka_errors(f"create {self._marks}"):
            async with administrator(self._settings) as admin:
                answer = await admin.create_topics([new])
        for name, code, *why in answer.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise LayoutError(
                    f"Kafka did not create {name} ({' '.join(filter(None, why)) or error.description}); let somebody who "
                    f"may create it: one partition, {CLEANUP}=compact"
                )
