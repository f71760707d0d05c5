"""``segstream settings`` and ``segstream topics``: what a first start needs."""

from __future__ import annotations

import asyncio
import json as json_module
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from segstream.settings import PREFIX, Settings, load_settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def settings(*, json: Json = False) -> None:
    """List all settings: the variable, its value now, and what it means. Secrets are not shown."""
    now = load_settings()
    listed = [
        (f"{PREFIX}{name.upper()}", _shown(getattr(now, name)), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    if json:
        typer.echo(json_module.dumps({name: value for name, value, _ in listed}, indent=2))
        return
    for name, value, meaning in listed:
        typer.echo(f"{name}={'' if value is None else value}\n    {meaning}")


def topics(
    *,
    partitions: Annotated[
        int, typer.Option(min=1, help="How many partitions each has (the samples have one).")
    ] = 12,
    replication: Annotated[int, typer.Option(min=1, help="On how many brokers each partition is kept.")] = 1,
    json: Json = False,
) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    # Kafka's client takes half a second to import.
    from segstream.adapters.kafka.topics import create_topics  # noqa: PLC0415
    from segstream.app import kafka_settings, topics_of  # noqa: PLC0415

    now = load_settings()
    names = topics_of(now)
    created = asyncio.run(
        create_topics(kafka_settings(now), names, partitions, replication_factor=replication)
    )
    if json:
        typer.echo(json_module.dumps({"created": created}))
        return
    for name in created:
        typer.echo(f"created {name}")
    if not created:
        typer.echo("all topics are there already")


def _shown(value: object) -> Any:
    if isinstance(value, SecretStr):
        return str(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if value is None or isinstance(value, int | str) else str(value)
