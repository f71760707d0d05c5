"""Faust's way to Kafka, whose clients read their password for each connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import faust
from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from segstream.adapters.kafka.client import KafkaSettings


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        return _kafka(self.transport).renewing(super()._create_consumer(loop))


class _Producer(driver.Producer):
    def _new_producer(self, transactional_id: str | None = None) -> Any:
        return _kafka(self.transport).renewing(super()._new_producer(transactional_id))


class RenewingTransport(driver.Transport):
    """Faust's transport over aiokafka.

    Parameters
    ----------
    urls : list of URL
        Brokers.
    app : faust.App
    kafka : KafkaSettings
        How to connect.
    """

    Consumer = _Consumer
    Producer = _Producer

    def __init__(self, urls: Any, app: faust.App, kafka: KafkaSettings) -> None:
        super().__init__(urls, app)
        self.kafka = kafka


class Login(faust.SASLCredentials):
    """User and password; the password is read for each client that Faust makes.

    Parameters
    ----------
    kafka : KafkaSettings
        How to connect.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        arguments = kafka.kwargs("control")
        super().__init__(
            username=kafka.username, ssl_context=arguments.get("ssl_context"), mechanism=kafka.sasl_mechanism
        )

    @property
    def password(self) -> str | None:
        """What is in the file now."""
        return self._kafka.password.read()

    @password.setter
    def password(self, value: str | None) -> None:
        """Faust sets what it was given, which is nothing."""


def _kafka(transport: Any) -> KafkaSettings:
    kafka: KafkaSettings = transport.kafka
    return kafka
