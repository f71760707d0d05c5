"""The control plane: a Faust app that runs the hot path as a service, the trainer as an agent, and the web server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import faust

if TYPE_CHECKING:
    from faust.web import Request, Response, View

    from segstream.adapters.kafka.client import KafkaSettings
    from segstream.adapters.service import SegmentationService
    from segstream.adapters.training import Trainer
    from segstream.settings import Settings

LIVE_LIMIT: Final = 30.0
"""Seconds without a look at Kafka after which the process counts as stuck: a hundred times the usual wait."""

SILENT_LIMIT: Final = 20.0
"""Seconds without an answer from Kafka after which a worker is not ready; it is asked once a second."""


class _App(faust.App):
    """An app without tables."""

    def _create_directories(self) -> None:
        # Faust would make a directory for its tables where the worker was started, which may be read-only.
        return


def control_plane(
    settings: Settings, kafka: KafkaSettings, service: SegmentationService, trainer: Trainer
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
    trainer : Trainer
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
        broker_heartbeat_interval=max(settings.session_timeout / 10_000, 0.3),
    )
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

    @app.page("/health/live")
    async def live(view: View, request: Request) -> Response:  # noqa: ARG001 - given by the web server
        late = time.monotonic() - service.polled_at
        body = {"live": late < LIVE_LIMIT, "polled_seconds_ago": round(late, 1)}
        return view.json(body, status=200 if late < LIVE_LIMIT else 503)

    @app.page("/health/ready")
    async def ready(view: View, request: Request) -> Response:  # noqa: ARG001 - given by the web server
        troubles = {} if service.joined else {"group": "not joined yet"}
        silence = time.monotonic() - service.answered_at
        if service.joined and silence > SILENT_LIMIT:
            troubles["kafka"] = f"no answer for {silence:.0f} s"
        troubles |= {
            str(number): runner.trouble for number, runner in service.runners.items() if runner.trouble
        }
        body = {"ready": not troubles, "partitions": sorted(service.runners), "troubles": troubles}
        return view.json(body, status=503 if troubles else 200)

    return app


def _credentials(kafka: KafkaSettings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """Return Faust's form of how to get in."""
    arguments = kafka.kwargs("control")
    context = arguments.get("ssl_context")
    if kafka.security.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.username,
            password=kafka.password,
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return None if context is None else faust.SSLCredentials(context)
