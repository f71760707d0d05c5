"""What topics there are, asked without any right but to describe them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.reach import explained

TIMESTAMPS: Final = "message.timestamp.type"
CLEANUP: Final = "cleanup.policy"
RETENTION: Final = "retention.ms"
_ASKED: Final = (TIMESTAMPS, CLEANUP, RETENTION)


class Found(NamedTuple):
    """A topic as it is.

    Parameters
    ----------
    partitions : int
    replicas : int
        On how many brokers each partition is kept; of the partition that has fewest.
    settings : dict of str to str or None
        Those that matter here; None where Kafka does not tell them.
    """

    partitions: int
    replicas: int
    settings: dict[str, str] | None


class Survey(NamedTuple):
    """Topics as they are.

    Parameters
    ----------
    topics : dict of str to Found or None
        In the order asked; None for one that is missing, or not to be seen by this client.
    unreadable : dict of str to str
        Why the settings of topics cannot be read, by topic.
    """

    topics: dict[str, Found | None]
    unreadable: dict[str, str]


class Difference(NamedTuple):
    """Something about a topic that is not as it should be.

    Parameters
    ----------
    topic : str
    what : str
        ``missing``, ``partitions``, ``replicas``, or the name of a setting.
    found, wanted : str
        What it is, and what it should be.
    remedy : str
        What to do.

    Examples
    --------
    >>> str(Difference("events", "partitions", "4", "8", "create it anew"))
    'events: partitions is 4, not 8; create it anew'
    """

    topic: str
    what: str
    found: str
    wanted: str
    remedy: str

    def __str__(self) -> str:
        """Return it in one line."""
        if self.what == "missing":
            return f"{self.topic}: missing, or not to be seen by this client; {self.remedy}"
        return f"{self.topic}: {self.what} is {self.found}, not {self.wanted}; {self.remedy}"


def told_together(differences: Iterable[Difference]) -> list[str]:
    """Return a line for each kind of difference, with the topics that have it.

    Examples
    --------
    >>> found = [Difference(name, "partitions", "4", "8", "go on with 4") for name in ("events", "crm")]
    >>> told_together(found)
    ['events, crm: partitions is 4, not 8; go on with 4']
    """
    alike: dict[Difference, list[str]] = {}
    for each in differences:
        alike.setdefault(each._replace(topic=""), []).append(each.topic)
    return [str(kind._replace(topic=", ".join(names))) for kind, names in alike.items()]


async def survey(admin: AIOKafkaAdminClient, names: Iterable[str], *, settings: bool = True) -> Survey:
    """Return what there is of ``names``, with their settings as far as Kafka tells them.

    Parameters
    ----------
    admin : AIOKafkaAdminClient
    names : iterable of str
        Topics.
    settings : bool
        Whether to ask for settings at all.

    Raises
    ------
    KafkaError
        As aiokafka has it, when the topics themselves cannot be described.
    """
    # Asking for all: asking for one by name would create it where brokers do that.
    described = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    names = list(names)
    there = [name for name in names if described.get(name)]
    told, unreadable = await _describe(admin, there if settings else [])
    topics = {
        name: Found(
            len(described[name]), min(len(part["replicas"]) for part in described[name]), told.get(name)
        )
        if name in there
        else None
        for name in names
    }
    return Survey(topics, unreadable)


def differences(
    survey: Survey,
    wanted: Mapping[str, Mapping[str, str]],
    partitions: Mapping[str, int],
    replicas: int | None = None,
) -> list[Difference]:
    """Return what is not as it should be.

    Parameters
    ----------
    survey : Survey
    wanted : mapping of str to mapping of str to str
        Settings by topic.
    partitions : mapping of str to int
        How many partitions each topic must have; topics that are not in it may have any number.
    replicas : int, optional
        On how many brokers each should be kept.

    Examples
    --------
    >>> found = Survey({"answers": Found(4, 1, {"cleanup.policy": "delete"}), "samples": None}, {})
    >>> for each in differences(found, {"answers": {"cleanup.policy": "compact"}}, {"answers": 8}):
    ...     print(each.what, each.found, each.wanted)
    partitions 4 8
    cleanup.policy delete compact
    missing
    """
    found: list[Difference] = []
    for name, topic in survey.topics.items():
        if topic is None:
            remedy = "`segstream topics` creates it, or grant this client the right to describe it"
            found.append(Difference(name, "missing", "", "", remedy))
            continue
        if (number := partitions.get(name, topic.partitions)) != topic.partitions:
            found.append(Difference(name, "partitions", str(topic.partitions), str(number), _PARTITIONS))
        if replicas is not None and topic.replicas != replicas:
            found.append(Difference(name, "replicas", str(topic.replicas), str(replicas), _REASSIGN))
        found += _settings(name, topic, wanted.get(name, {}))
    return sorted(found, key=lambda each: each.what == "missing")


_PARTITIONS: Final = (
    "the number decides where users' states are, so it cannot change: go on with the one there is, or stop the workers "
    "and begin anew with other topics, group and prefix"
)
_REASSIGN: Final = "add replicas with Kafka's kafka-reassign-partitions"


def _settings(name: str, topic: Found, wanted: Mapping[str, str]) -> list[Difference]:
    actual, found = topic.settings or {}, []
    for setting in (TIMESTAMPS, CLEANUP):
        value, is_now = wanted.get(setting), actual.get(setting)
        if value is None or is_now is None:
            continue
        # Compacted, and deleted by age too: whoever has been silent for so long would be forgotten.
        forgets = is_now != value and actual.get(RETENTION) != "-1"
        if value not in is_now.split(",") or forgets:
            found.append(Difference(name, setting, is_now, value, _alter(name, setting, value)))
    return found


def _alter(name: str, setting: str, value: str) -> str:
    return f"kafka-configs --alter --entity-type topics --entity-name {name} --add-config {setting}={value}"


async def _describe(
    admin: AIOKafkaAdminClient, names: Sequence[str]
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the topics' settings, and why those of others cannot be read."""
    if not names:
        return {}, {}
    asked = dict.fromkeys(_ASKED, "")
    settings: dict[str, dict[str, str]] = {}
    unreadable: dict[str, str] = {}
    try:
        responses = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, asked) for name in names]
        )
    except KafkaError as error:
        return {}, dict.fromkeys(names, str(error))
    for response in responses:
        for code, why, _kind, name, entries in response.resources:
            if code:
                kind = for_code(code)
                unreadable[name] = why or f"{kind.__name__}: {kind.description}"
            else:
                settings[name] = {key: value for key, value, *_ in entries}
    return settings, unreadable


@asynccontextmanager
async def administrator(settings: KafkaSettings) -> AsyncIterator[Any]:
    """Open the client that asks and creates, and close it at the end."""
    admin = AIOKafkaAdminClient(**settings.kwargs("admin"))
    try:
        async with explained(settings):
            await admin.start()
        yield admin
    finally:
        await admin.close()
