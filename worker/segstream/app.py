"""The composition root: settings in, a worker out. Importing this module opens nothing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import structlog

from segstream.adapters.control import control_plane
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.consumer import GroupSettings, make_consumer
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.kafka.producer import make_producer
from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.kafka.topics import Topics, check_topics
from segstream.adapters.redis.connection import connect
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.models import KEPT, RedisModels
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.state import RedisStateStore
from segstream.adapters.service import SegmentationService
from segstream.adapters.training import Trainer
from segstream.catalog import catalog_of
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.core.partitioning import partitioner
from segstream.core.types import ValueKind
from segstream.errors import SettingsError
from segstream.flow import Flow
from segstream.library import Library, Version
from segstream.models.recipe import Recipe
from segstream.outbox import Topics as OutTopics
from segstream.partition import Options, Partition
from segstream.runner import Pace

if TYPE_CHECKING:
    from faust import App

    from segstream.settings import Settings


def now() -> int:
    """Return the time in ms since 1970."""
    return time.time_ns() // 1_000_000


def kafka_settings(settings: Settings) -> KafkaSettings:
    """Return how to connect to Kafka."""
    return KafkaSettings(
        servers=settings.kafka,
        security=settings.kafka_security,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value() if settings.kafka_password else None,
        ca_file=settings.kafka_ca_file,
        check_crcs=settings.kafka_check_crcs,
    )


def topics_of(settings: Settings) -> Topics:
    """Return the names of all topics."""
    return Topics(
        events=settings.topics,
        changes=settings.topic_changes,
        memberships=settings.topic_memberships,
        dead_letters=settings.topic_dead_letters,
        published=settings.topic_published,
        samples=settings.topic_samples,
    )


class Application:
    """Everything a worker consists of.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = structlog.get_logger("segstream")
        self.kafka, self.topics = kafka_settings(settings), topics_of(settings)
        self.redis = connect(settings.redis.get_secret_value(), cluster=settings.redis_cluster)
        self.definitions = RedisDefinitions(self.redis, settings.redis_prefix)
        self.models = RedisModels(self.redis, settings.redis_prefix)
        self.read_model = RedisReadModel(self.redis, settings.segments_prefix, settings.redis_prefix)
        self.library = Library()
        self.partitions = 0
        self._described = 0
        self._read: dict[str, int] = {}

    # --- what the service is given -----------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Check the topics, and publish the definitions file as version 1 where Redis has none."""
        layout = await check_topics(self.kafka, self.topics)
        self.partitions = layout.partitions
        for warning in layout.warnings:
            self.log.warning("topics", warning=warning)
        for kept in await self.read_model.durability():
            if not kept.promised:
                self.log.warning("redis", warning=kept.text)
        await self._publish_file()

    async def _publish_file(self) -> None:
        path = self.settings.definitions
        if path is None:
            if not await self.definitions.load():
                raise SettingsError(
                    "there are no definitions: set SEGSTREAM_DEFINITIONS to a file, or publish one with `segstream apply`"
                )
            return
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"SEGSTREAM_DEFINITIONS: cannot read {path}: {error}") from None
        wanted = read_definitions(text, str(path)).content_hash
        number = await self.definitions.initial(
            text, wanted, effective_at=0, author="worker", note=f"first start with {path.name}", at=now()
        )
        latest = (await self.definitions.load(number - 1))[0]
        if latest.content_hash != wanted:
            self.log.warning(
                "definitions_differ",
                warning=f"{path} differs from version {number}, which stays in force; `segstream apply` changes it",
            )

    async def refresh(self) -> bool:
        """Bring the library up to date; return whether anything is new."""
        versions = await self.definitions.load(self.library.latest)
        for entry in versions:
            definitions = read_definitions(entry.text, f"definitions version {entry.version}")
            self.library.add_version(Version(entry.version, entry.effective_at, definitions))
        fresh = bool(versions)
        fresh = await self._refresh_snapshots() or fresh
        if self._described != self.library.latest:
            catalog = catalog_of(self.library.definitions(self.library.latest), self.partitions)
            await self.read_model.describe(catalog, self.library.latest)
            self._described = self.library.latest
        return fresh

    async def _refresh_snapshots(self) -> bool:
        # Also those before the newest: a partition may rest on one while its sweep goes on.
        names, fresh = self.library.models(), False
        for name, newest in (await self.models.numbers(names) if names else {}).items():
            for number in range(max(self._read.get(name, 0), newest - KEPT) + 1, newest + 1):
                text = await self.models.snapshot(name, number)
                try:
                    if text is not None:
                        self.library.add_snapshot(Snapshot.from_json(json.loads(text)))
                        fresh = True
                except (ValueError, KeyError, TypeError) as error:
                    self.log.error("bad_snapshot", model=name, number=number, error=str(error))  # noqa: TRY400 - no trace
            self._read[name] = newest
        return fresh

    def recipes(self) -> dict[str, Recipe]:
        """Return what the models of the latest definitions are to be learned from."""
        found = {}
        for model in self.library.definitions(self.library.latest).discovered:
            bends = {ValueKind.NUMBER: "log", ValueKind.DURATION: "log_days"}
            found[model.name] = Recipe(
                name=model.name,
                features=tuple(item.text for item in model.inputs),
                clusters=model.clusters,
                model=model.model,
                transforms=tuple(bends.get(item.kind, "linear") for item in model.inputs),
                seed=self.settings.model_seed,
            )
        return found

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
            topics=OutTopics(settings.topic_changes, settings.topic_memberships, settings.topic_dead_letters),
        )
        publisher = KafkaPublisher(
            number,
            self.kafka,
            group=settings.group,
            published_topic=settings.topic_published,
            compression=None if settings.compression == "none" else settings.compression,
        )
        store = RedisStateStore(self.redis, number, settings.redis_prefix)
        partition = Partition(store, self.library, options, now)
        return Flow(number, partition, self.read_model, publisher, self.refresh)

    def make_service(self) -> SegmentationService:
        """Return the hot path's service."""
        settings = self.settings
        group = GroupSettings(
            group=settings.group,
            instance=settings.instance_id,
            session_timeout_ms=settings.session_timeout,
            heartbeat_ms=max(settings.session_timeout // 10, 300),
        )
        return SegmentationService(
            topics=settings.topics,
            make_consumer=lambda listener: make_consumer(self.kafka, group, settings.topics, listener),
            make_producer=lambda: make_producer(self.kafka, "samples"),
            log_ends=LogEnds(self.kafka),
            make_flow=self.make_flow,
            prepare=self.prepare,
            refresh=self.refresh,
            recipes=self.recipes,
            pace=Pace(
                batch=settings.batch,
                publish_interval=settings.publish_interval / 1000,
                sweep_rate=settings.sweep_rate,
            ),
            start_from=settings.start_from,
            samples_topic=settings.topic_samples,
            replay=settings.clock == "event",
            partitions=lambda: self.partitions,
            drain_timeout=settings.drain_timeout / 1000,
            now=now,
        )


def create_app(settings: Settings) -> App:
    """Return the Faust app of a worker: the hot path as a service, the trainer as an agent, and the web server.

    Parameters
    ----------
    settings : Settings
    """
    parts = Application(settings)
    trainer = Trainer(parts.models, parts.recipes, settings.model_samples, settings.model_interval, now)
    return control_plane(settings, parts.kafka, parts.make_service(), trainer)
