"""From the settings to Kafka and Redis: the one place that knows which setting goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.topics import Topics
from segstream.adapters.redis.connection import RedisSettings
from segstream.coherence import certificates, kafka_password, redis_password, sentinel_password
from segstream.outbox import Topics as OutTopics

if TYPE_CHECKING:
    from segstream.settings import Settings


def kafka_settings(settings: Settings) -> KafkaSettings:
    """Return how to connect to Kafka."""
    return KafkaSettings(
        servers=settings.kafka,
        security=settings.kafka_security,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=kafka_password(settings),
        certificates=certificates(settings, "kafka"),
        check_crcs=settings.kafka_check_crcs,
    )


def redis_settings(settings: Settings) -> RedisSettings:
    """Return how to connect to Redis."""
    return RedisSettings(
        url=settings.redis.get_secret_value(),
        username=settings.redis_username,
        password=redis_password(settings),
        certificates=certificates(settings, "redis"),
        cluster=settings.redis_cluster,
        sentinels=settings.redis_sentinels,
        service=settings.redis_sentinel_service,
        sentinel_username=settings.redis_sentinel_username,
        sentinel_password=sentinel_password(settings),
    )


def out_topics(settings: Settings) -> OutTopics:
    """Return the names of the topics that an outbox goes to."""
    return OutTopics(
        settings.topic_changes,
        settings.topic_memberships,
        settings.topic_dead_letters,
        settings.topic_rerouted,
    )


def topics_of(settings: Settings) -> Topics:
    """Return the names of all topics."""
    return Topics(
        events=settings.topics,
        changes=settings.topic_changes,
        memberships=settings.topic_memberships,
        dead_letters=settings.topic_dead_letters,
        rerouted=settings.topic_rerouted,
        published=settings.topic_published,
        samples=settings.topic_samples,
    )
