"""``segstream local``."""

from __future__ import annotations

import json as json_module
import shlex
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from segstream.cli.arguments import Broker, Json, Kafka

if TYPE_CHECKING:
    from segstream.local.pair import LocalPair

LOOK_SECONDS: Final = 0.5
"""Between two looks whether both still run."""


def local(
    *,
    kafka: Kafka = Broker.EMBEDDED,
    partitions: Annotated[
        int, typer.Option(min=1, max=1_000, help="How many partitions each topic has (the samples have one).")
    ] = 4,
    json: Json = False,
) -> None:
    """Run a Kafka and a Redis for development until Ctrl-C, with all topics; nothing is left behind.

    The variables to set go to stdout, as lines for a shell or with --json as one object.
    """
    from segstream.adapters.connections import topics_of
    from segstream.demo.interrupts import Interrupted, Interrupts
    from segstream.local.pair import LocalPair
    from segstream.settings import load_settings

    servers = LocalPair(kafka.value, topics_of(load_settings()), partitions)
    running = False
    try:
        with Interrupts() as interrupts:
            try:
                typer.echo("starting", err=True)
                servers.open()
                running = True
                _tell(servers, kafka, partitions, json=json)
                while True:
                    servers.check()
                    time.sleep(LOOK_SECONDS)
            finally:
                interrupts.ignore()
                servers.close()
    except Interrupted as interrupted:
        # It is how this ends; only before it ran something was cut short.
        raise typer.Exit(0 if running else interrupted.exit_code) from None


def _tell(servers: LocalPair, kafka: Broker, partitions: int, *, json: bool) -> None:
    from segstream.settings import PREFIX

    variables = {f"{PREFIX}{name.upper()}": value for name, value in servers.settings().items()}
    if kafka is Broker.APACHE:
        del variables[f"{PREFIX}KAFKA_CHECK_CRCS"]  # as by default
    if json:
        told = {"kafka": servers.kafka_address, "redis": servers.redis_url, "environment": variables}
        typer.echo(json_module.dumps(told))
    else:
        typer.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    kind = "Apache Kafka" if kafka is Broker.APACHE else "the embedded broker, which keeps 5 MB per partition"
    for line in (
        f"Kafka  {servers.kafka_address}   ({kind}; {partitions} partitions)",
        f"Redis  {servers.redis_url}   (in memory)",
        "Both run until Ctrl-C. Set the variables in another terminal, then: segstream worker",
    ):
        typer.echo(line, err=True)
