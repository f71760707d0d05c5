"""Doing what ``segstream reset`` has planned, on the real servers.

Partitions are marked one by one before the first user of any is dropped: then no worker takes up one that is half done,
and after a crash the same command finishes it (see ``segstream.resetting``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import orjson
from aiokafka import TopicPartition

from segstream.adapters.connections import kafka_settings, out_topics
from segstream.adapters.kafka.places import Place, survey
from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.kafka.told_users import told_users
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.listings import RedisMemberLists
from segstream.adapters.redis.models import RedisModels
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.rebuilds import RedisRebuilds
from segstream.adapters.redis.state import RedisStateStore
from segstream.adapters.reset_plans import place_of_forwarded, refuse_members
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.errors import DefinitionError
from segstream.library import Library, Version
from segstream.ports import NOTHING_TOLD, Meta
from segstream.resetting import Resetter

if TYPE_CHECKING:
    from segstream.adapters.redis.connection import Client
    from segstream.adapters.reset_plans import Part, Plan, Wish
    from segstream.ports import OutRecord, Publisher, Told
    from segstream.settings import Settings


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
    """Carries resets out.

    Parameters
    ----------
    settings : Settings
        As the workers have them.
    redis : Redis or RedisCluster
        Left open.
    """

    def __init__(self, settings: Settings, redis: Client) -> None:
        self._settings, self._redis, self._kafka = settings, redis, kafka_settings(settings)

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
        await refuse_members(self._settings)
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
        found = await survey(self._kafka, self._settings.group, logs, Place("latest"), settled=True)
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
