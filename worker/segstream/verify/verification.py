"""``segstream verify`` on the real servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from segstream.adapters.connections import kafka_settings, redis_settings
from segstream.adapters.kafka.changes import ChangeLog
from segstream.adapters.kafka.history import History, refuse_compacted
from segstream.adapters.redis.connection import Client, address, connect
from segstream.adapters.redis.cut import RedisCuts
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.errors import redis_errors
from segstream.core.definitions import Definitions, read_definitions
from segstream.core.partitioning import partitioner
from segstream.core.time import NEVER
from segstream.errors import PositionError, ServerError, UsageError
from segstream.tally import wall_clock
from segstream.verify.file import FileLog
from segstream.verify.partition import Terms
from segstream.verify.walk import Found, Log, Means, Walk
from segstream_schemas import AsyncSegmentReader
from segstream_schemas.errors import ContractError
from segstream_schemas.times import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstream.settings import Settings
    from segstream.verify.against import Difference, Held

MOST_TOLD: Final = 100
"""Changes that are shown of a user, the last ones."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Parameters
    ----------
    partitions : tuple of int
        Which ones; empty for all.
    events : Path or None
        A file to recount from in place of Kafka.
    most : int
        How many differences to tell.
    most_bytes : int
        How many bytes of events to keep at one time.
    """

    partitions: tuple[int, ...] = ()
    events: Path | None = None
    most: int = 10
    most_bytes: int = 1 << 30


class Verdict(NamedTuple):
    """What came out.

    Parameters
    ----------
    partitions : dict of int to Found
    told : dict of str to list of dict
        Of the users that differ, the changes that were published.
    lacking : int
        Offsets that a file does not have.
    """

    partitions: dict[int, Found]
    told: dict[str, list[dict[str, Any]]]
    lacking: int

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not any(found.differing for found in self.partitions.values())

    def differences(self, most: int) -> list[Difference]:
        """Return the first differences."""
        return [each for found in self.partitions.values() for each in found.differences][:most]


class _States(RedisCuts):
    """What Redis holds, private and public."""

    def __init__(self, client: Client, prefix: str, segments_prefix: str) -> None:
        super().__init__(client, prefix)
        self._client = client
        self._reader = AsyncSegmentReader(client, prefix=segments_prefix)

    async def answers(self, users: Sequence[str]) -> dict[str, Held]:
        """Return what others see of users (see ``States``)."""
        try:
            with redis_errors(address(self._client)):
                found = await self._reader.many(users)
        except ContractError as error:
            raise ServerError(str(error)) from error
        return {
            user: {name: milliseconds(stay.since.isoformat()) for name, stay in answer.items()}
            for user, answer in found.items()
        }


class Verification:
    """Verifies partitions one after the other.

    Parameters
    ----------
    settings : Settings
        As the workers have them.
    wish : Wish
    report : callable
        Called with the events read and the users compared so far.

    Raises
    ------
    UsageError
        The wish does not go with the settings.
    """

    def __init__(self, settings: Settings, wish: Wish, report: Callable[[int, int], None]) -> None:
        if wish.events is not None and settings.clock != "event":
            raise UsageError(
                "--events: a file does not tell when events arrived; it is for replays (SEGSTREAM_CLOCK=event)"
            )
        if wish.events is not None and len(settings.topics) > 1:
            raise UsageError(
                f"--events is for one input topic; SEGSTREAM_TOPICS has {', '.join(settings.topics)}"
            )
        self._settings, self._wish, self._report = settings, wish, report
        self._definitions: dict[int, Definitions] = {}
        self._files: list[FileLog] = []
        self._events = self._users = 0

    async def run(self) -> Verdict:
        """Verify, and return what came out.

        Raises
        ------
        PositionError
            A log does not lead to the state; names the gap.
        ServerError
            Redis or Kafka cannot be reached or refuses.
        UsageError
            There is no such partition, or the file is another.
        """
        settings, wish = self._settings, self._wish
        client = connect(redis_settings(settings))
        states = _States(client, settings.redis_prefix, settings.segments_prefix)
        versions = RedisDefinitions(client, settings.redis_prefix)
        try:
            partitions = (await states.cut(0)).meta.partitions
            if not partitions:
                raise PositionError(
                    "there is no state yet: no worker has begun partition 0, or SEGSTREAM_REDIS_PREFIX is another"
                )
            for number in wish.partitions:
                if number >= partitions:
                    raise UsageError(f"--partition {number}: there are partitions 0 to {partitions - 1}")
            if wish.events is None:
                await refuse_compacted(kafka_settings(settings), (*settings.topics, settings.topic_rerouted))
            found = {}
            for number in wish.partitions or range(partitions):
                found[number] = await self._partition(number, partitions, states, versions)
                self._events += found[number].events
                self._users += found[number].users
            if wish.events is not None and self._users and not self._events:
                raise UsageError(
                    f"--events: {wish.events} holds no event of these users; give the file that was replayed, one JSON "
                    "object per line"
                )
        finally:
            await versions.close()
            await states.close()
            await client.aclose()
        told = await self._told(found)
        return Verdict(found, told, sum(file.lacking for file in self._files))

    async def _partition(
        self, number: int, partitions: int, states: _States, versions: RedisDefinitions
    ) -> Found:
        settings, wish = self._settings, self._wish
        terms = Terms(
            number,
            partitions,
            partitioner(settings.partitioner),
            replay=settings.clock == "event",
            timer_grace=settings.timer_grace,
            max_clock_skew=settings.max_clock_skew,
            rerouted=settings.topic_rerouted,
            latest=NEVER if settings.clock == "event" else wall_clock() + settings.max_clock_skew,
        )
        means = Means(
            states,
            partial(self._open, terms),
            partial(self._version, versions),
            wish.most_bytes,
            wish.most,
            lambda events, users: self._report(self._events + events, self._users + users),
        )
        return await Walk(terms, means).run()

    def _open(self, terms: Terms, begun: Mapping[str, int]) -> AbstractAsyncContextManager[Log]:
        settings, events = self._settings, self._wish.events
        ordered = {topic: begun[topic] for topic in (*settings.topics, *begun) if topic in begun}
        if events is None:
            return History(kafka_settings(settings), terms.number, ordered)
        topic = settings.topics[0]
        mappings = next(iter(self._definitions.values())).mappings if self._definitions else {}
        file = FileLog(events, terms, topic, ordered.get(topic, 0), mappings)
        self._files = [file, *(other for other in self._files if other.number != terms.number)]
        return file

    async def _version(self, versions: RedisDefinitions, number: int) -> Definitions:
        if number not in self._definitions:
            for row in await versions.load(number - 1):
                if row.version == number:
                    self._definitions[number] = read_definitions(row.text, f"definitions version {number}")
                    break
            else:
                raise PositionError(
                    f"definitions version {number} has decided here, and Redis does not hold it any more; without it "
                    "nothing can be recounted"
                )
        return self._definitions[number]

    async def _told(self, found: Mapping[int, Found]) -> dict[str, list[dict[str, Any]]]:
        """Return what was published of the users that differ; of a file nothing but that needs no Kafka."""
        users = {each.user.encode() for part in found.values() for each in part.differences}
        numbers = [number for number, part in found.items() if part.differences]
        told: dict[str, list[dict[str, Any]]] = {}
        if not users or self._wish.events is not None:
            return told
        settings = self._settings
        async with ChangeLog(kafka_settings(settings), settings.topic_changes) as log:
            await log.start("earliest", numbers)
            async for records in log.batches():
                for record in records:
                    if record.key in users:
                        changes = told.setdefault(record.key.decode(), [])
                        changes.append(orjson.loads(record.value))
                        del changes[:-MOST_TOLD]
        return told
