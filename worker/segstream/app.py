"""The composition root: settings in, a worker out. Importing this module opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from segstream.adapters.connections import kafka_settings, out_topics, redis_settings, topics_of
from segstream.adapters.control import control_plane
from segstream.adapters.failpoints import arm
from segstream.adapters.kafka.rights import check_rights as kafka_rights
from segstream.adapters.kafka.topics import check_topics
from segstream.adapters.metrics.collector import make_registry
from segstream.adapters.pages import add_pages
from segstream.adapters.positions import refuse_other
from segstream.adapters.redis.connection import connect
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.listings import RedisMemberLists
from segstream.adapters.redis.models import KEPT, RedisModels
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.rebuilds import RedisRebuilds
from segstream.adapters.redis.rights import check_rights as redis_rights
from segstream.adapters.timed import TimedPublisher, TimedStateStore
from segstream.adapters.training import ModelTrainer
from segstream.core.partitioning import partitioner
from segstream.first_version import publish_first
from segstream.flow import Flow
from segstream.hot_path import HotPath
from segstream.librarian import Librarian
from segstream.library import Library
from segstream.models.recipes import recipes_of
from segstream.partition import Options, Partition
from segstream.rebuild_watch import RebuildWatch
from segstream.rebuilding import Rebuilder
from segstream.tally import Tally
from segstream.tally import wall_clock as now

if TYPE_CHECKING:
    from faust import App

    from segstream.models.recipe import Recipe
    from segstream.settings import Settings


class Application:
    """Everything a worker consists of, up to its flows; `HotPath` sets them to work.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = structlog.get_logger("segstream")
        self.kafka, self.topics = kafka_settings(settings), topics_of(settings)
        self.redis = connect(redis_settings(settings))
        self.definitions = RedisDefinitions(self.redis, settings.redis_prefix)
        self.models = RedisModels(self.redis, settings.redis_prefix)
        self.read_model = RedisReadModel(self.redis, settings.segments_prefix, settings.redis_prefix)
        self.library, self.tally = Library(), Tally(now)
        self.partitions = 0
        self.librarian = Librarian(
            self.library,
            self.definitions,
            self.models,
            self.read_model,
            kept=KEPT,
            partitions=lambda: self.partitions,
        )
        self.lists = RedisMemberLists(self.redis, settings.segments_prefix, settings.redis_prefix)
        self.rebuilds = RedisRebuilds(self.redis, settings.redis_prefix)
        self.rebuild_watch = RebuildWatch(self.rebuilds, self.librarian)

    async def prepare(self) -> None:
        """Check topics and rights, and publish the definitions file as version 1 where Redis has none."""
        await kafka_rights(self.kafka, self.topics, self.settings.group)
        layout = await check_topics(self.kafka, self.topics)
        self.partitions = layout.partitions
        for warning in layout.warnings:
            self.log.warning("topics", warning=warning)
        await redis_rights(self.redis, self.settings.redis_prefix, self.settings.segments_prefix)
        refuse_other(await self.rebuilds.partitions(), self.partitions, "partition 0")
        for warning in sorted(
            {kept.text for kept in await self.read_model.durability() if not kept.promised}
        ):
            self.log.warning("redis", warning=warning)
        differs = await publish_first(self.definitions, self.settings.definitions, now())
        if differs is not None:
            self.log.warning("definitions_differ", warning=differs)

    async def refresh(self) -> bool:
        """Bring the library up to date; return whether anything is new."""
        before = self.library.readable
        fresh = await self.librarian.refresh()
        if (readable := self.library.readable) > before:
            definitions = self.library.definitions(readable)
            for line in definitions.unread(self.settings.topics):
                self.log.warning("source_unread", definitions_version=readable, warning=line)
        return fresh

    def recipes(self) -> dict[str, Recipe]:
        """Return what the models of the latest definitions that can be read are to be learned from."""
        return recipes_of(self.library.definitions(self.library.readable), self.settings.model_seed)

    def make_flow(self, number: int, owned: int) -> Flow:
        """Return a new flow for a partition number, one of ``owned`` that share the cache's memory."""
        settings = self.settings
        options = Options(
            partitions=self.partitions,
            partitioner=partitioner(settings.partitioner),
            replay=settings.clock == "event",
            timer_grace=settings.timer_grace,
            max_clock_skew=settings.max_clock_skew,
            cache_bytes=settings.cache_mb * 1024 * 1024 // owned,
            sample_every=settings.sample_every,
            topics=out_topics(settings),
        )
        publisher = TimedPublisher(
            number,
            self.kafka,
            group=settings.group,
            published_topic=settings.topic_published,
            compression=None if settings.compression == "none" else settings.compression,
        )
        publisher.transactions = self.tally.transactions
        store = TimedStateStore(self.redis, number, settings.redis_prefix)
        store.commits = self.tally.commits
        partition = Partition(store, self.library, options, now)
        rebuilder = Rebuilder(number, partition, self.lists, lambda: self.rebuild_watch.requested)
        return Flow(number, partition, self.read_model, publisher, self.refresh, rebuilder)


def create_app(settings: Settings) -> App:
    """Return the Faust app of a worker: the hot path as a service, the trainer as an agent, and the web server.

    Parameters
    ----------
    settings : Settings
    """
    if settings.failpoint:
        arm(settings.failpoint)
    parts = Application(settings)
    hot_path = HotPath(parts)
    trainer = ModelTrainer(parts.models, parts.recipes, settings.model_samples, settings.model_interval, now)
    app = control_plane(settings, parts.kafka, hot_path.service(), trainer)
    add_pages(app, hot_path.health, make_registry(hot_path.parts()))
    return app
