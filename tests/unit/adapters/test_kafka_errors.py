"""What aiokafka's exceptions mean to us."""

from __future__ import annotations

import inspect

import aiokafka.errors
import pytest

from segstream.adapters.kafka.errors import FENCED, translate
from segstream.errors import Fenced, ServerError


def exceptions() -> list[type[Exception]]:
    """All exception classes of the installed aiokafka but the base of those with a number, which is never raised."""
    classes = [value for value in vars(aiokafka.errors).values() if inspect.isclass(value)]
    base = aiokafka.errors.BrokerResponseError
    return [value for value in classes if issubclass(value, Exception) and value is not base]


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_driver_means_something_to_us(kind: type[Exception]) -> None:
    """None escapes untranslated, whatever the installed version has grown; the text says where it happened."""
    ours = translate(kind.__new__(kind), "publish partition 3")
    assert type(ours) is (Fenced if kind in FENCED else ServerError)
    assert str(ours).startswith("publish partition 3: ")


def test_what_sounds_like_being_fenced_was_looked_at() -> None:
    """A new class for a fenced producer has to be added to ours, or its owner would retry for ever."""
    sounding = {
        kind.__name__
        for kind in exceptions()
        if "Fenced" in kind.__name__ or "ProducerEpoch" in kind.__name__
    }
    # TransactionCoordinatorFenced is about a broker that is not the coordinator any more: worth a retry.
    assert sounding == {"ProducerFenced", "InvalidProducerEpoch", "TransactionCoordinatorFenced"}


def test_being_fenced_shows_through_what_it_is_wrapped_in() -> None:
    """The driver raises a plain error from the one its sender died of."""
    wrapped = aiokafka.errors.KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = aiokafka.errors.ProducerFenced()
    assert type(translate(wrapped, "publish")) is Fenced


def test_a_broker_that_lacks_a_request_is_no_broken_one() -> None:
    """Nothing about it is to be checked: another broker is needed."""
    lacking = translate(
        aiokafka.errors.IncompatibleBrokerVersion("DescribeGroups"), "ask who is in the group shop"
    )
    assert str(lacking) == (
        "ask who is in the group shop: this broker does not know such a request, as the embedded one; use Apache Kafka"
    )


def test_a_group_that_another_program_uses_is_no_broken_broker() -> None:
    """Whoever reads it has to look for that program, and is told by what."""
    said = str(translate(aiokafka.errors.InconsistentGroupProtocolError(), "join the consumer group"))
    assert said == (
        "join the consumer group: another program is a member of SEGSTREAM_GROUP, and shares partitions in another way; "
        "find it with kafka-consumer-groups.sh --describe --members, and give it a group of its own"
    )


def test_a_client_that_waits_in_vain_does_not_say_that_a_topic_is_gone() -> None:
    """A frozen broker makes it forget what it knew of the topics; nobody is to look for one that was deleted."""
    said = str(translate(aiokafka.errors.UnknownTopicOrPartitionError(), "publish partition 3"))
    assert said == (
        "publish partition 3: Kafka does not answer, or does not know the topic; check the brokers, then the topic"
    )


def test_a_mistake_of_ours_stays_what_it_is() -> None:
    """Only Kafka's failures are retried; a bug must not look like one."""
    assert translate(KeyError("topic"), "publish") is None
