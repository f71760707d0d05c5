"""Whether this client may do what a worker does, before it begins: else it would find out in the middle.

Brokers tell on request what a client may do with a topic or a group (KIP-430). aiokafka asks about topics in a form
from before that time, and takes the answer about groups for one from before: both are spelled out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    NotCoordinatorError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.reach import explained
from segstream.adapters.kafka.topics import Topics
from segstream.errors import ServerError

_BITS: Final = {"READ": 3, "WRITE": 4}
"""Kafka's numbers of operations (``org.apache.kafka.common.acl.AclOperation``)."""

_NO_COORDINATOR: Final = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)
_NOT_TOLD: Final = -(2**31)
_TRANSACTION: Final = 1
"""A coordinator's kind: 0 of a group, 1 of a transactional id."""


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _MetadataRequest(Request[_MetadataStruct]):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        # Topics are not created by asking for them.
        return request_struct_class(self._topics, False, False, True)  # noqa: FBT003 - by position only


class _GroupsStruct(DescribeGroupsRequest_v3):  # type: ignore[misc]  # aiokafka ships no types
    RESPONSE_TYPE = DescribeGroupsResponse_v3


class _GroupsRequest(Request[_GroupsStruct]):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 15

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[_GroupsStruct]) -> _GroupsStruct:
        return request_struct_class(self._groups, True)  # noqa: FBT003 - by position only


def needed(topics: Topics) -> dict[str, tuple[str, ...]]:
    """Return what a worker does with each topic.

    Examples
    --------
    >>> needed(Topics())["segment-changes"]
    ('WRITE',)
    """
    return {
        **dict.fromkeys(topics.events, ("READ",)),
        **dict.fromkeys((topics.changes, topics.memberships, topics.dead_letters), ("WRITE",)),
        **dict.fromkeys((topics.rerouted, topics.published, topics.samples), ("READ", "WRITE")),
    }


async def check_rights(settings: KafkaSettings, topics: Topics, group: str) -> None:
    """Check what a worker may do with its topics, groups and transactional ids, where the brokers tell.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    topics : Topics
        Those that do not exist are passed over; `check_topics` speaks of them.
    group : str
        The workers' consumer group; what else they are called follows from it.

    Raises
    ------
    ServerError
        Rights are missing, all of them in one line; or Kafka cannot be reached.
    """
    with kafka_errors("check rights"):
        admin = AIOKafkaAdminClient(**settings.kwargs("rights"))
        try:
            async with explained(settings):
                await admin.start()
            missing = [
                *await _topics(admin._client, needed(topics)),  # noqa: SLF001 - it has no way to ask this
                *await _groups(admin, (group, f"{group}-control")),
                *await _transactions(admin._client, f"{group}-0"),  # noqa: SLF001
            ]
        finally:
            await admin.close()
    if missing:
        who = f"User:{settings.username}" if settings.username else "this client"
        raise ServerError(
            f"Kafka at {settings.servers}: {who} has no right to {'; '.join(missing)}; grant them (kafka-acls --add)"
        )


async def _topics(client: AIOKafkaClient, wanted: Mapping[str, tuple[str, ...]]) -> list[str]:
    try:
        answer = await client.send(client.get_random_node(), _MetadataRequest(list(wanted)))
    except NotImplementedError:
        return []  # a broker from before KIP-430, or one that only plays Kafka
    found: list[str] = []
    for code, name, *_, operations in sorted(answer.topics, key=lambda topic: topic[1]):
        if for_code(code) is TopicAuthorizationFailedError:
            found.append(f"topic {name} ({', '.join(wanted[name])})")
        elif not code and (lacking := _lacking(operations, wanted[name])):
            found.append(f"topic {name} ({', '.join(lacking)})")
    return found


async def _groups(admin: AIOKafkaAdminClient, names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        try:
            coordinator = await admin.find_coordinator(name)
            answer: Any = await admin._client.send(coordinator, _GroupsRequest([name]))  # noqa: SLF001
        except GroupAuthorizationFailedError:
            found.append(f"group {name} (READ)")
            continue
        except _NO_COORDINATOR:
            continue  # on a new cluster its topic is made by the first who asks; it will be there when it is needed
        except (IncompatibleBrokerVersion, NotImplementedError):
            continue  # a broker that only plays Kafka
        for code, *_, operations in answer.groups:
            if for_code(code) is GroupAuthorizationFailedError or (
                not code and _lacking(operations, ("READ",))
            ):
                found.append(f"group {name} (READ)")
    return found


async def _transactions(client: AIOKafkaClient, name: str) -> list[str]:
    request = FindCoordinatorRequest(name, _TRANSACTION)
    answer: Any = await client.send(client.get_random_node(), request)
    if for_code(answer.error_code) is TransactionalIdAuthorizationFailed:
        return [f"transactional id {name} (WRITE, and to those of the other partitions)"]
    return []


def _lacking(operations: int, wanted: Iterable[str]) -> list[str]:
    return [] if operations == _NOT_TOLD else [name for name in wanted if not operations >> _BITS[name] & 1]
