"""The layout of topics: who is called what, making them, and checking that they are as they must be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.survey import (
    CLEANUP,
    RETENTION,
    TIMESTAMPS,
    Difference,
    Survey,
    administrator,
    differences,
    survey,
)
from segstream.core.time import DAY, format_duration
from segstream.errors import LayoutError

_ARRIVAL = {TIMESTAMPS: "LogAppendTime"}
_COMPACTED = {CLEANUP: "compact"}
# One small record per transaction, of which only the last counts; compaction leaves the open segment (1 GB) alone.
_SMALL_SEGMENTS = {"segment.bytes": str(16 * 1024 * 1024)}
_VISIBLE_POLL_SECONDS = 0.05
# Samples are for learning from now on.
_ONE_DAY = {RETENTION: str(DAY)}


@dataclass(frozen=True, slots=True)
class Topics:
    """The names.

    Parameters
    ----------
    events : tuple of str
        Input topics, co-partitioned, keyed by user id.
    changes, memberships, dead_letters : str
        Output, with as many partitions.
    rerouted : str
        Events that lay in another partition than their user's; written and read by workers; as many partitions.
    published : str
        What was told of each partition; as many partitions.
    samples : str
        Feature vectors for the trainer; only partition 0 is used.
    """

    events: tuple[str, ...] = ("events",)
    changes: str = "segment-changes"
    memberships: str = "segment-memberships"
    dead_letters: str = "segment-dead-letters"
    rerouted: str = "segstream-rerouted"
    published: str = "segstream-published"
    samples: str = "segstream-samples"

    @property
    def read(self) -> tuple[str, ...]:
        """All topics that events are read from."""
        return (*self.events, self.rerouted)

    @property
    def co_partitioned(self) -> tuple[str, ...]:
        """All topics that must have the same number of partitions."""
        return (*self.read, self.changes, self.memberships, self.dead_letters, self.published)

    def configuration(self) -> dict[str, dict[str, str]]:
        """Return each topic's settings where they are not the broker's.

        Examples
        --------
        >>> Topics().configuration()["segment-memberships"]
        {'cleanup.policy': 'compact'}
        """
        return {
            **dict.fromkeys(self.read, _ARRIVAL),
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
        async with administrator(settings) as admin:
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
    found = await describe_topics(settings, topics)
    partitions = _count(topics, found)
    warnings = [
        f"topic {each.topic}: {each.what} is {each.found}, {each.wanted} is recommended"
        for each in differences(found, topics.configuration(), {})
    ]
    return Layout(partitions, (*doubts(found, topics), *warnings))


async def describe_topics(settings: KafkaSettings, topics: Topics) -> Survey:
    """Return how the topics are; needs no more than the right to describe them, and creates none.

    Raises
    ------
    ServerError
        Kafka cannot be reached.
    """
    with kafka_errors("check topics"):
        async with administrator(settings) as admin:
            return await survey(admin, topics.configuration())


def compare_topics(
    found: Survey, topics: Topics, partitions: int | None = None, replicas: int | None = None
) -> list[Difference]:
    """Return what is not as it should be.

    Parameters
    ----------
    found : Survey
    topics : Topics
    partitions : int, optional
        N, where it is given; else what most of the co-partitioned topics have.
    replicas : int, optional
        On how many brokers each should be kept, where it is given.
    """
    counts = [topic.partitions for name in topics.co_partitioned if (topic := found.topics.get(name))]
    usual = partitions or (max(counts, key=counts.count) if counts else 0)
    wanted = dict.fromkeys(topics.co_partitioned, usual)
    return differences(found, topics.configuration(), wanted, replicas)


def doubts(found: Survey, topics: Topics) -> list[str]:
    """Return what is not wrong, but worth a line: settings that nobody can check, events that do not stay for long.

    Examples
    --------
    >>> from segstream.adapters.kafka.survey import Found
    >>> doubts(Survey({"events": Found(4, 3, {"retention.ms": "3600000"})}, {}), Topics())
    ['events: records are kept for 1h; a worker that stands still for longer loses events unread']
    """
    found_doubts = []
    if found.unreadable:
        why = next(iter(found.unreadable.values()))
        found_doubts.append(f"cannot check the settings of {', '.join(found.unreadable)} ({why})")
    for name in topics.read:
        kept = (((topic := found.topics.get(name)) and topic.settings) or {}).get(RETENTION, "")
        if kept.isdigit() and int(kept) < DAY:
            found_doubts.append(
                f"{name}: records are kept for {format_duration(int(kept))}; a worker that stands still for longer loses "
                "events unread"
            )
    return found_doubts


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


def _count(topics: Topics, found: Survey) -> int:
    """Return N."""
    missing = [name for name, topic in found.topics.items() if topic is None]
    if missing:
        raise LayoutError(
            f"topics missing, or not to be seen by this client: {', '.join(missing)}; `segstream topics` creates them"
        )
    counts = {name: topic.partitions for name, topic in found.topics.items() if topic is not None}
    del counts[topics.samples]
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise LayoutError(
            f"topics must have the same number of partitions, but {listed}; create them anew with one number"
        )
    return counts[topics.changes]
