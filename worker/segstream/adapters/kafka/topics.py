"""The layout of topics: who is called what, making them, and checking that they are as they must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.errors import LayoutError

_TIMESTAMPS, _CLEANUP = "message.timestamp.type", "cleanup.policy"
_ARRIVAL = {_TIMESTAMPS: "LogAppendTime"}
_COMPACTED = {_CLEANUP: "compact"}
# One small record per transaction, of which only the last counts; compaction leaves the open segment (1 GB) alone.
_SMALL_SEGMENTS = {"segment.bytes": str(16 * 1024 * 1024)}
_VISIBLE_POLL_SECONDS = 0.05
# Samples are for learning from now on.
_ONE_DAY = {"retention.ms": str(24 * 60 * 60 * 1000)}


@dataclass(frozen=True, slots=True)
class Topics:
    """The names.

    Parameters
    ----------
    events : tuple of str
        Input topics, co-partitioned, keyed by user id.
    changes, memberships, dead_letters : str
        Output, with as many partitions.
    published : str
        What was told of each partition; as many partitions.
    samples : str
        Feature vectors for the trainer; only partition 0 is used.
    """

    events: tuple[str, ...] = ("events",)
    changes: str = "segment-changes"
    memberships: str = "segment-memberships"
    dead_letters: str = "segment-dead-letters"
    published: str = "segstream-published"
    samples: str = "segstream-samples"

    @property
    def co_partitioned(self) -> tuple[str, ...]:
        """All topics that must have the same number of partitions."""
        return (*self.events, self.changes, self.memberships, self.dead_letters, self.published)

    def configuration(self) -> dict[str, dict[str, str]]:
        """Return each topic's settings where they are not the broker's.

        Examples
        --------
        >>> Topics().configuration()["segment-memberships"]
        {'cleanup.policy': 'compact'}
        """
        return {
            **dict.fromkeys(self.events, _ARRIVAL),
            self.changes: {},
            self.memberships: _COMPACTED,
            self.dead_letters: {},
            self.published: _COMPACTED | _SMALL_SEGMENTS,
            self.samples: _ONE_DAY,
        }


class Layout(NamedTuple):
    """What `check_topics` found.

    Parameters
    ----------
    partitions : int
        N, the number of partitions of every topic but the samples.
    warnings : tuple of str
        What is not wrong but not as recommended, a line each.
    """

    partitions: int
    warnings: tuple[str, ...]


async def create_topics(
    settings: KafkaSettings, topics: Topics, partitions: int, *, replication_factor: int = 1
) -> list[str]:
    """Create the topics that are missing; those that exist stay as they are.

    A broker without the admin protocol (the embedded one) creates topics when asked for them, with as many
    partitions as it likes; `check_topics` tells whether that is right.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    topics : Topics
        Their names.
    partitions : int
        N, for all but the samples, which get one.
    replication_factor : int
        On how many brokers each partition is kept.

    Returns
    -------
    list of str
        Those created.

    Raises
    ------
    LayoutError
        Kafka refuses some, with its reasons.
    ServerError
        Kafka cannot be reached.
    """
    wanted = [
        NewTopic(
            name, 1 if name == topics.samples else partitions, replication_factor, topic_configs=configuration
        )
        for name, configuration in topics.configuration().items()
    ]
    with kafka_errors("create topics"):
        async with _admin(settings) as admin:
            cluster = await admin.describe_cluster()
            if cluster["controller_id"] not in {broker["node_id"] for broker in cluster["brokers"]}:
                before = {topic["topic"] for topic in await admin.describe_topics()}
                await admin.describe_topics([topic.name for topic in wanted])
                return [topic.name for topic in wanted if topic.name not in before]
            answer = await admin.create_topics(wanted)
            outcome = {name: (for_code(code), why) for name, code, *why in answer.topic_errors}
            created = [name for name, (error, _) in outcome.items() if not error.errno]
            await _until_visible(admin, created, settings.request_timeout_ms)
    refused = [
        f"{name} ({' '.join(filter(None, why)) or error.description})"
        for name, (error, why) in outcome.items()
        if error.errno and error is not TopicAlreadyExistsError
    ]
    if refused:
        raise LayoutError(f"Kafka did not create {', '.join(refused)}")
    return created


async def check_topics(settings: KafkaSettings, topics: Topics) -> Layout:
    """Check that all topics exist and are co-partitioned.

    Needs no more than the right to describe them, and creates none. Where the topics' settings may be read too,
    those that matter are compared with what is recommended.

    Raises
    ------
    LayoutError
        Topics are missing or not co-partitioned; one line that names all of them.
    ServerError
        Kafka cannot be reached.
    """
    with kafka_errors("check topics"):
        async with _admin(settings) as admin:
            # Asking for all: asking for one by name would create it where brokers do that.
            found = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
            partitions = _count(topics, found)
            return Layout(partitions, tuple(await _warnings(admin, topics)))


async def _until_visible(admin: AIOKafkaAdminClient, names: Sequence[str], timeout_ms: int) -> None:
    """Wait until the broker that is asked knows what the controller has created, leaders included."""
    async with asyncio.timeout(timeout_ms / 1000):
        while True:
            leaders = {
                topic["topic"]: [partition["leader"] for partition in topic["partitions"]]
                for topic in await admin.describe_topics()
            }
            if all(leaders.get(name) and min(leaders[name]) >= 0 for name in names):
                return
            await asyncio.sleep(_VISIBLE_POLL_SECONDS)


def _count(topics: Topics, found: Mapping[str, int]) -> int:
    """Return N."""
    missing = [name for name in (*topics.co_partitioned, topics.samples) if not found.get(name)]
    if missing:
        raise LayoutError(
            f"topics missing, or not to be seen by this client: {', '.join(missing)}; `segstream topics` creates them"
        )
    counts = {name: found[name] for name in topics.co_partitioned}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise LayoutError(
            f"topics must have the same number of partitions, but {listed}; create them anew with one number"
        )
    return counts[topics.changes]


async def _warnings(admin: AIOKafkaAdminClient, topics: Topics) -> list[str]:
    wanted = {
        name: {key: value for key, value in configuration.items() if key in (_TIMESTAMPS, _CLEANUP)}
        for name, configuration in topics.configuration().items()
    }
    try:
        actual = await _describe(admin, [name for name, configuration in wanted.items() if configuration])
    except KafkaError as error:
        return [f"cannot check the topics' settings ({error})"]
    return [
        f"topic {name}: {key} is {actual[name][key]}, {value} is recommended"
        for name, configuration in wanted.items()
        for key, value in configuration.items()
        if value not in actual.get(name, {}).get(key, value).split(",")
    ]


async def _describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the topics' settings."""
    asked = dict.fromkeys((_TIMESTAMPS, _CLEANUP), "")
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, asked) for name in names]
    settings: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _why, _kind, name, entries in response.resources:
            if code:
                raise for_code(code)(name)
            settings[name] = {key: value for key, value, *_ in entries}
    return settings


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**settings.kwargs("admin"))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
