"""aiokafka's exceptions, said in our words."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    IllegalOperation,
    IncompatibleBrokerVersion,
    InconsistentGroupProtocolError,
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)

from segstream.errors import Fenced, SegstreamError, ServerError

# The broker knows a later owner. It also says so after it ended a transaction for its age, with no other owner
# about: who is fenced asks the group whether the partition is still its own, and then starts over.
FENCED = (ProducerFenced, InvalidProducerEpoch)

_REFUSED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

_HOSTS = re.compile(r"\('([^']*)', (\d+), [^()]*\)")
"""An address as aiokafka writes it, with the kind of socket it would take."""

# AssertionError: aiokafka's state machine asserts where a connection's end and our call cross.
_DRIVER = (KafkaError, ConsumerStoppedError, IllegalOperation, TimeoutError, OSError, AssertionError)


def translate(error: BaseException, doing: str) -> SegstreamError | None:
    """Return what ``error`` means to us, or ``None`` when it is not Kafka's.

    Parameters
    ----------
    error : BaseException
        As aiokafka raised it.
    doing : str
        What was going on and where, with topic and partition, as in ``"publish partition 3"``.

    Examples
    --------
    >>> translate(ProducerFenced(), "publish partition 3")
    Fenced('publish partition 3: another worker owns it now, or a transaction of this one took too long')
    >>> translate(KafkaError("gone"), "publish partition 3")
    ServerError('publish partition 3: Kafka failed (KafkaError: gone); check the brokers')
    >>> translate(ValueError(), "publish partition 3") is None
    True
    """
    if any(isinstance(link, FENCED) for link in _chain(error)):
        return Fenced(f"{doing}: another worker owns it now, or a transaction of this one took too long")
    if not isinstance(error, _DRIVER):
        return None
    if isinstance(error, _REFUSED):
        return ServerError(
            f"{doing}: Kafka refuses ({_words(error)}); grant this client the right to it (kafka-acls --add)"
        )
    if isinstance(error, KafkaConnectionError):
        return ServerError(
            f"{doing}: Kafka cannot be reached ({_HOSTS.sub(_host, _words(error))}); check the brokers"
        )
    return ServerError(f"{doing}: {_what(error)}")


@contextlib.contextmanager
def kafka_errors(doing: str) -> Iterator[None]:
    """Raise our errors in place of aiokafka's.

    Parameters
    ----------
    doing : str
        As for `translate`.

    Raises
    ------
    Fenced
        The broker knows a later owner.
    ServerError
        Anything else that Kafka or the way to it did.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        # When a task of aiokafka dies of a cancellation of its own, whoever waits for it gets that passed on.
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise ServerError(f"{doing}: Kafka's client gave up; it is started anew") from error
    except Exception as error:
        if (ours := translate(error, doing)) is None:
            raise
        raise ours from error


def _what(error: BaseException) -> str:
    if isinstance(error, IncompatibleBrokerVersion):
        return "this broker does not know such a request, as the embedded one; use Apache Kafka"
    if isinstance(error, InconsistentGroupProtocolError):
        return (
            "another program is a member of SEGSTREAM_GROUP, and shares partitions in another way; find it with "
            "kafka-consumer-groups.sh --describe --members, and give it a group of its own"
        )
    if isinstance(error, UnknownTopicOrPartitionError) and not error.args:
        # The client's own words for what it knows nothing of, after it has asked for as long as it may.
        return "Kafka does not answer, or does not know the topic; check the brokers, then the topic"
    if isinstance(error, TimeoutError):
        return "no answer from Kafka in time; check the brokers"
    return f"Kafka failed ({_words(error)}); check the brokers"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it was raised from: aiokafka wraps what its sender task died of."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _host(found: re.Match[str]) -> str:
    return f"{found[1]}:{found[2]}"


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text.startswith(type(error).__name__) else f"{type(error).__name__}: {text}".rstrip(": ")
