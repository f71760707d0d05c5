"""``segstream reset``: what it would do, and doing it, on the real servers.

Partitions are marked one by one before the first user of any is dropped: then no worker takes up one that is half done,
and after a crash the same command finishes it (see ``segstream.resetting``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import orjson
from aiokafka import TopicPartition

from segstream.adapters.connections import kafka_settings, out_topics, topics_of
from segstream.adapters.kafka.group import members_of
from segstream.adapters.kafka.places import Log, Place, survey
from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.kafka.told_users import told_users
from segstream.adapters.kafka.topics import check_topics
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.listings import RedisMemberLists
from segstream.adapters.redis.models import RedisModels
from segstream.adapters.redis.nodes import Nodes
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.rebuilds import RedisRebuilds
from segstream.adapters.redis.scripts import Call
from segstream.adapters.redis.state import RedisStateStore, read_meta
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.core.origin import Origin
from segstream.core.time import format_duration
from segstream.errors import DefinitionError, PositionError, UsageError
from segstream.library import Library, Version
from segstream.ports import NOTHING_TOLD, Meta
from segstream.resetting import PENDING, Resetter

if TYPE_CHECKING:
    from segstream.adapters.redis.connection import Client
    from segstream.ports import OutRecord, Publisher, Told
    from segstream.settings import Settings


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Parameters
    ----------
    to : Place
        Where to read from.
    topic, partition : str or None, int or None
        Which log only.
    keep_state : bool
        Whether users stay as they are.

    Examples
    --------
    >>> Wish(Place("earliest"), None, 3, False).command
    'segstream reset --partition 3 --to earliest'
    """

    to: Place
    topic: str | None
    partition: int | None
    keep_state: bool

    @property
    def command(self) -> str:
        """The command that asks for it."""
        words = ["segstream reset"]
        words += [] if self.partition is None else [f"--partition {self.partition}"]
        words += [] if self.topic is None else [f"--topic {self.topic}"]
        words += ["--keep-state"] if self.keep_state else []
        return " ".join([*words, f"--to {self.to.text}"])


class Move(NamedTuple):
    """A topic's position.

    Parameters
    ----------
    before : int or None
        The next offset as it was; None if the state has none.
    log : Log
        ``log.place`` is the next offset as it will be.
    """

    before: int | None
    log: Log

    @property
    def beyond(self) -> bool:
        """Whether the position was behind the log's end: it was cut off, or created anew."""
        return self.before is not None and self.before > self.log.end


class Part(NamedTuple):
    """One partition number of a plan.

    Parameters
    ----------
    number : int
    users : int
        How many it has.
    incarnation : int
        As stored.
    unfinished : bool
        Whether a reset of it was begun and not finished.
    moves : dict of str to Move
        By topic.
    """

    number: int
    users: int
    incarnation: int
    unfinished: bool
    moves: dict[str, Move]


class Plan(NamedTuple):
    """What a reset would do.

    Parameters
    ----------
    partitions : int
        N, as the topics have it.
    made_with : int
        N, as the state has it; where it differs between partitions, the greatest that is not the topics'.
    parts : list of Part
    """

    partitions: int
    made_with: int
    parts: list[Part]


class Done(NamedTuple):
    """What became of a partition.

    Parameters
    ----------
    number, users, incarnation : int
        The partition, how many users were dropped, and the incarnation begun.
    positions : dict of str to int
        Per topic, the offset that is read next.
    """

    number: int
    users: int
    incarnation: int
    positions: dict[str, int]


class _Nowhere:
    """The publisher of a partition that the topics do not have any more: there is nobody to tell."""

    async def fence(self) -> Told:
        """Fence nobody."""
        return NOTHING_TOLD

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Tell nobody."""

    async def close(self) -> None:
        """Release nothing."""


async def _nobody() -> AsyncIterator[Sequence[str]]:
    """Yield nobody."""
    nobody: tuple[Sequence[str], ...] = ()
    for group in nobody:
        yield group


class Resets:
    """Plans resets and carries them out.

    Parameters
    ----------
    settings : Settings
        As the workers have them.
    redis : Redis or RedisCluster
        Left open.
    """

    def __init__(self, settings: Settings, redis: Client) -> None:
        self._settings, self._redis, self._kafka = settings, redis, kafka_settings(settings)

    async def plan(self, wish: Wish) -> Plan:
        """Return what a reset would do; disturb nobody.

        Raises
        ------
        UsageError
            It cannot be done so.
        PositionError
            Workers are about.
        SegstreamError
            Kafka or Redis fails, or the topics are not as they must be.
        """
        settings = self._settings
        partitions = (await check_topics(self._kafka, topics_of(settings))).partitions
        await self.refuse_members()
        found = await self._look(range(partitions))
        # Partitions that were added may have been begun already.
        others = {meta.partitions for meta, _ in found} - {0, partitions}
        made_with = max(others, default=partitions)
        found += await self._look(range(partitions, made_with))
        if others and (wish.partition is not None or wish.keep_state):
            raise UsageError(
                f"the state was made with {made_with} partitions, the topics have {partitions}: users move between "
                "partitions, so all of them begin anew; leave --partition and --keep-state out"
            )
        numbers = self._numbers(wish, partitions, len(found))
        logs = await self._survey(wish, [number for number in numbers if number < partitions])
        parts = []
        for number in numbers:
            meta, users = found[number]
            moves = {
                there.topic: self._move(wish, meta, there, log)
                for there, log in logs.items()
                if there.partition == number
            }
            if wish.keep_state:
                _refuse_to_keep(number, meta, users, moves)
            unfinished = meta.reset.startswith(PENDING)
            parts.append(Part(number, users, meta.incarnation, unfinished, moves))
        dropped = () if wish.keep_state else numbers
        refuse_new_log(parts, [meta for number, (meta, _) in enumerate(found) if number not in dropped])
        return Plan(partitions, made_with, parts)

    async def refuse_members(self) -> None:
        """Raise ``PositionError`` while workers are members of the group."""
        group = self._settings.group
        members = await members_of(self._kafka, group)
        if members:
            raise PositionError(
                f"the consumer group {group} has {len(members)} member{'s' if len(members) > 1 else ''} "
                f"({', '.join(members)}): stop all workers first. Those that were killed, or have SEGSTREAM_INSTANCE_ID, stay members "
                f"for {format_duration(self._settings.session_timeout)}"
            )

    async def carry_out(self, wish: Wish, plan: Plan, report: Callable[[int, int], None]) -> list[Done]:
        """Do it.

        Parameters
        ----------
        wish, plan : Wish and Plan
        report : callable
            Called with a partition number and the number of its users dropped so far.

        Raises
        ------
        Fenced
            A worker has taken a partition over meanwhile.
        SegstreamError
            Kafka or Redis fails; the same again finishes it.
        """
        await self.refuse_members()
        segments = (await self._library()).segments()
        if wish.keep_state:
            done = [await self._keep(part, segments, plan) for part in plan.parts]
        else:
            done = await self._drop(wish, plan, segments, report)
        rebuilds = RedisRebuilds(self._redis, self._settings.redis_prefix)
        try:
            await rebuilds.request()
        finally:
            await rebuilds.close()
        return done

    async def _keep(self, part: Part, segments: Sequence[str], plan: Plan) -> Done:
        positions = {topic: move.log.place for topic, move in part.moves.items()}
        async with self._resetter(part.number, segments, plan) as resetter:
            incarnation = await resetter.take_over() + 1
            await resetter.move(incarnation, positions)
        return Done(part.number, 0, incarnation, positions)

    async def _drop(
        self, wish: Wish, plan: Plan, segments: Sequence[str], report: Callable[[int, int], None]
    ) -> list[Done]:
        highest = 0
        for part in plan.parts:
            async with self._resetter(part.number, segments, plan) as resetter:
                highest = max(highest, await resetter.take_over())
                await resetter.mark(wish.command)
        # Not before all are marked: that has forwarded what was owed, and nobody forwards any more.
        behind = {} if wish.partition is not None else await self._behind_forwarded(wish, plan)
        done = []
        for part in plan.parts:
            async with self._resetter(part.number, segments, plan) as resetter:
                highest = max(highest, await resetter.take_over())
                users = await resetter.drop(highest + 1, partial(report, part.number))
                # One above all, whatever partition a user is in from now on.
                positions = {topic: move.log.place for topic, move in part.moves.items()}
                positions |= behind.get(part.number, {})
                known = plan.partitions if part.number < plan.partitions else 0
                await resetter.begin(highest + 2, positions, known)
                done.append(Done(part.number, users, highest + 2, positions))
        return done

    async def _behind_forwarded(self, wish: Wish, plan: Plan) -> dict[int, dict[str, int]]:
        """Return the position behind all forwarded records, per partition, where a reset of all of them goes on there."""
        rerouted = self._settings.topic_rerouted
        if wish.topic == rerouted:
            return {}
        logs = [TopicPartition(rerouted, part.number) for part in plan.parts if rerouted in part.moves]
        found = await survey(self._kafka, self._settings.group, logs, Place("latest"))
        if wish.topic is not None:
            for there, log in found.items():
                place_of_forwarded(wish, Meta(), there, log)
        return {there.partition: {there.topic: log.end} for there, log in found.items()}

    @asynccontextmanager
    async def _resetter(self, number: int, segments: Sequence[str], plan: Plan) -> AsyncIterator[Resetter]:
        settings = self._settings
        publisher: Publisher = _Nowhere()
        known: Callable[[], AsyncIterator[Sequence[str]]] = _nobody
        if number < plan.partitions:
            publisher = KafkaPublisher(
                number,
                self._kafka,
                group=settings.group,
                published_topic=settings.topic_published,
                compression=None if settings.compression == "none" else settings.compression,
            )
            known = partial(told_users, self._kafka, settings.topic_memberships, number)
        store = RedisStateStore(self._redis, number, settings.redis_prefix)
        read_model = RedisReadModel(self._redis, settings.segments_prefix, settings.redis_prefix)
        lists = RedisMemberLists(self._redis, settings.segments_prefix, settings.redis_prefix)
        try:
            yield Resetter(
                number,
                store,
                publisher,
                read_model,
                lists,
                told_users=known,
                segments=segments,
                topics=out_topics(settings),
                now=lambda: time.time_ns() // 1_000_000,
            )
        finally:
            for part in (publisher, store, read_model, lists):
                await part.close()

    # --- looking ----------------------------------------------------------------------------------------------

    async def _look(self, numbers: Sequence[int]) -> list[tuple[Meta, int]]:
        """Return the meta and the number of users of each partition."""
        nodes = Nodes(self._redis)
        calls = []
        for number in numbers:
            keys = PartitionKeys(self._settings.redis_prefix, number)
            calls += [Call(keys.meta, ["HGETALL", keys.meta]), Call(keys.users, ["ZCARD", keys.users])]
        try:
            replies = iter(await nodes.run(calls, durably=False))
        finally:
            await nodes.close()
        return [(read_meta(_flat(meta)), users) for meta, users in zip(replies, replies, strict=True)]

    def _numbers(self, wish: Wish, partitions: int, all_of_them: int) -> list[int]:
        if wish.partition is None:
            return list(range(all_of_them))
        if wish.partition >= partitions:
            raise UsageError(
                f"--partition: there is no partition {wish.partition}; the topics have 0 to {partitions - 1}"
            )
        return [wish.partition]

    async def _survey(self, wish: Wish, numbers: Sequence[int]) -> dict[TopicPartition, Log]:
        # Forwarded records go on where they are, unless a state is begun anew (`place_of_forwarded`), or their topic is named.
        given = self._settings.topics
        topics = (*given, self._settings.topic_rerouted)
        if wish.topic is not None and wish.topic not in topics:
            raise UsageError(
                f"--topic: {wish.topic} is not read here; SEGSTREAM_TOPICS has {', '.join(given)}"
            )
        chosen = [wish.topic] if wish.topic is not None else list(given)
        if wish.topic is None and not wish.keep_state and wish.to.offset is None:
            chosen.append(self._settings.topic_rerouted)
        if wish.to.offset is not None and len(chosen) * len(numbers) > 1:
            missing = " and ".join(
                option
                for option, many in (("--topic", len(chosen) > 1), ("--partition", len(numbers) > 1))
                if many
            )
            raise UsageError(
                f"--to: an offset is a place in one log, and there are {len(chosen) * len(numbers)}; add {missing}"
            )
        read = chosen if wish.keep_state else topics
        wanted = [TopicPartition(topic, number) for topic in read for number in numbers]
        if wish.to.offset is None or not wanted:
            return dict(await survey(self._kafka, self._settings.group, wanted, wish.to)) if wanted else {}
        exact = [there for there in wanted if there.topic in chosen]
        others = [there for there in wanted if there.topic not in chosen]
        found = dict(await survey(self._kafka, self._settings.group, exact, wish.to))
        if others:
            found |= await survey(self._kafka, self._settings.group, others, Place("earliest"))
        return found

    def _move(self, wish: Wish, meta: Meta, there: TopicPartition, log: Log) -> Move:
        applied = meta.offsets.get(there.topic)
        before = None if applied is None else applied + 1
        if there.topic == self._settings.topic_rerouted != wish.topic:
            return Move(before, log._replace(place=place_of_forwarded(wish, meta, there, log)))
        if wish.topic in (None, there.topic):
            return Move(before, log)
        if before is None or not log.beginning <= before <= log.end:
            raise UsageError(
                f"--topic: {there.topic}-{there.partition} has no position to go on from either; leave --topic out"
            )
        return Move(before, log._replace(place=before))

    async def _library(self) -> Library:
        """Return what is known of segments; the definitions may be lost too."""
        library = Library()
        definitions = RedisDefinitions(self._redis, self._settings.redis_prefix)
        models = RedisModels(self._redis, self._settings.redis_prefix)
        try:
            for entry in await definitions.load():
                try:
                    meaning = read_definitions(entry.text, f"definitions version {entry.version}")
                except DefinitionError:
                    continue
                library.add_version(Version(entry.version, entry.effective_at, meaning))
            names = library.models()
            for name, number in (await models.numbers(names) if names else {}).items():
                text = await models.snapshot(name, number) if number else None
                if text is not None:
                    library.add_snapshot(Snapshot.from_json(orjson.loads(text)))
        finally:
            await definitions.close()
            await models.close()
        return library


def place_of_forwarded(wish: Wish, meta: Meta, there: TopicPartition, log: Log) -> int:
    """Return where a partition that is begun anew goes on in the topic of forwarded records.

    If all partitions begin anew, behind what is there: the sources forward it again, and of both, with the same offsets
    of the sources, the first would count. If it is one partition, where its state once began, or at the later place
    that was asked for: the others do not forward again.

    Parameters
    ----------
    wish : Wish
        Drops users, and does not name this topic.
    meta : Meta
        The partition's.
    there : TopicPartition
        Its log of forwarded records.
    log : Log
        ``log.place`` is the place that was asked for.

    Raises
    ------
    UsageError
        Only one topic is read again: the log has records of all, and does not say which of them are to count.

    Examples
    --------
    >>> there, log = TopicPartition("segstream-rerouted", 1), Log(0, 9, None, 0)
    >>> place_of_forwarded(Wish(Place("earliest"), None, None, keep_state=False), Meta(), there, log)
    9
    >>> place_of_forwarded(Wish(Place("earliest"), None, 1, keep_state=False), Meta(), there, log)
    0
    """
    if wish.topic is not None:
        if log.end > log.beginning:
            raise UsageError(
                f"--topic: {there.topic}-{there.partition} holds records that were forwarded, of this topic and maybe "
                "others, and some would be lost or count twice; leave --topic out"
            )
        return log.end
    if wish.partition is None:
        return log.end
    begun = Origin.load(meta.origin).begun.get(there.topic, 0)
    return max(log.place, begun) if begun <= log.end else log.place


def refuse_new_log(parts: Sequence[Part], kept: Sequence[Meta]) -> None:
    """Refuse to go on in a log that was cut off or created anew while states remember offsets of what it forwarded.

    They would take what it forwards from now on for repeats.

    Parameters
    ----------
    parts : sequence of Part
        What would be reset.
    kept : sequence of Meta
        Of the partitions whose users stay.

    Raises
    ------
    UsageError
        Saying to begin all partitions anew.
    """
    remembered = {mark for meta in kept for mark in meta.forwarded}
    for part in parts:
        for topic, move in part.moves.items():
            where = f"{topic}-{part.number}"
            if move.beyond and where in remembered:
                raise UsageError(
                    f"{where} ends at offset {move.log.end}, before the position {move.before}, and other partitions have "
                    "applied records that were forwarded from it: what is forwarded from a new log would be taken for "
                    "repeats. All partitions begin anew: leave --partition, --topic and --keep-state out"
                )


def _flat(reply: object) -> list[bytes]:
    """Return names and values in turn, however the client hands a hash over."""
    if isinstance(reply, dict):
        return [word for pair in reply.items() for word in pair]
    return list(reply) if isinstance(reply, list) else []


def _refuse_to_keep(number: int, meta: Meta, users: int, moves: dict[str, Move]) -> None:
    if meta.reset.startswith(PENDING):
        raise UsageError(
            f"partition {number}: a reset that drops its users was begun; finish it with "
            f"`{meta.reset.removeprefix(PENDING)}`"
        )
    if not meta.offsets and not users:
        raise UsageError(f"--keep-state: partition {number} has no state to keep; leave it out")
    for topic, (before, log) in moves.items():
        if before is not None and log.place < before <= log.end:
            raise UsageError(
                f"--keep-state: {topic}-{number} is at offset {before}; to go back to {log.place} would count "
                f"{before - log.place} events twice. Leave --keep-state out to begin anew from there"
            )
