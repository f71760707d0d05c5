"""The control plane: a Faust app that runs the hot path as a service, the trainer as an agent, and the web server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import faust

from segstream.adapters.faust_transport import Login, RenewingTransport
from segstream.adapters.kafka.consumer import heartbeat_ms
from segstream.adapters.pages import OwnPages

if TYPE_CHECKING:
    from segstream.adapters.kafka.client import KafkaSettings
    from segstream.adapters.service import SegmentationService
    from segstream.adapters.training import ModelTrainer
    from segstream.settings import Settings


REQUEST_TIMEOUT: Final = 90.0
"""Seconds, Faust's own default; it refuses a session that is longer than a request may take."""


class _App(faust.App):
    """An app without tables, whose web server serves our pages only, and whose hot path stops before all else.

    Attributes
    ----------
    hot_path : SegmentationService
        Set by `control_plane`.
    kafka : KafkaSettings
        Set by `control_plane`.
    """

    hot_path: SegmentationService
    kafka: KafkaSettings

    async def on_stop(self) -> None:
        """Stop the hot path while the pages can still say so, and before Faust waits for a Kafka that may be gone."""
        await self.hot_path.stop()
        await super().on_stop()

    def _create_directories(self) -> None:
        # Faust would make a directory for its tables where the worker was started, which may be read-only.
        return

    def _new_transport(self) -> RenewingTransport:
        return RenewingTransport(self.conf.broker_consumer, self, self.kafka)

    def _new_producer_transport(self) -> RenewingTransport:
        return RenewingTransport(self.conf.broker_producer, self, self.kafka)

    def _new_web(self) -> OwnPages:
        return OwnPages(self)


def control_plane(
    settings: Settings, kafka: KafkaSettings, service: SegmentationService, trainer: ModelTrainer
) -> faust.App:
    """Return the Faust app that runs a worker.

    Its consumer group, ``<group>-control``, reads nothing but samples.

    Parameters
    ----------
    settings : Settings
    kafka : KafkaSettings
        How to connect.
    service : SegmentationService
        The hot path.
    trainer : ModelTrainer
        Fed with the samples by whichever worker owns their one partition.
    """
    app = _App(
        f"{settings.group}-control",
        broker=[f"aiokafka://{server.strip()}" for server in settings.kafka.split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        web_enabled=settings.web_port > 0,
        web_bind=settings.web_host,
        web_port=settings.web_port or 6066,
        broker_session_timeout=settings.session_timeout / 1000,
        broker_request_timeout=max(REQUEST_TIMEOUT, settings.session_timeout / 1000),
        broker_heartbeat_interval=heartbeat_ms(settings.session_timeout) / 1000,
    )
    app.hot_path, app.kafka = service, kafka
    app.service(service)  # type: ignore[arg-type]  # an instance will do, since it needs its parts
    samples = app.topic(
        settings.topic_samples, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes
    )

    @app.agent(samples, name="trainer")
    async def train(stream: faust.StreamT[bytes]) -> None:
        # An exception here would acknowledge the sample and end the agent: the trainer catches and reports.
        async for event in stream.events():
            await trainer.learn(event.message.offset, event.value)

    @app.timer(interval=1.0)  # type: ignore[untyped-decorator]  # faust's timer has no types
    async def offer() -> None:
        await trainer.tick()

    @app.on_partitions_revoked.connect(weak=False)
    async def give_up(*_args: object, **_kwargs: object) -> None:
        trainer.give_up()

    return app


def _credentials(kafka: KafkaSettings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """Return Faust's form of how to get in."""
    if kafka.security.startswith("SASL"):
        return Login(kafka)
    context = kafka.kwargs("control").get("ssl_context")
    return None if context is None else faust.SSLCredentials(context)
