"""``segstream settings`` and ``segstream topics``: what a first start needs."""

from __future__ import annotations

import asyncio
import json as json_module
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from annotated_types import Ge, Le
from pydantic import SecretStr

from segstream.core.time import format_duration
from segstream.errors import UsageError
from segstream.settings import PREFIX, Milliseconds, Settings, load_settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Markdown = Annotated[
    bool, typer.Option("--markdown", help="Print the table of the README: what may be set, and the defaults.")
]


def settings(*, json: Json = False, markdown: Markdown = False) -> None:
    """List all settings: the variable, its value now, and what it means. Secrets are not shown."""
    if json and markdown:
        raise UsageError("--json and --markdown exclude each other; give one of them")
    if markdown:
        typer.echo(settings_table())
        return
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


def settings_table() -> str:
    """Return all settings as a table in Markdown: what each means, what it may be, and what it is if not set."""
    rows = ["| variable | default | may be | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _default(field)
        cells = f"`{default}`" if default else "", _allowed(field), field.description or ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {' | '.join(cells)} |")
    return "\n".join(rows)


_KINDS = (
    ("bool", "`true` or `false`"),
    ("int", "whole number"),
    ("tuple", "names"),
    ("Path", "file"),
    ("SecretStr", "text, kept out of logs"),
)


def _is_duration(field: FieldInfo) -> bool:
    return get_args(Milliseconds)[1] in field.metadata


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()  # as anybody may read it in the source
    if isinstance(value, bool):
        return str(value).lower()
    if _is_duration(field):
        return format_duration(value)
    return "" if value is None else str(_shown(value))


def _allowed(field: FieldInfo) -> str:
    """Say what a setting may be."""
    written = str(field.annotation)
    if "Literal" in written:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    duration = _is_duration(field)
    kind = "duration" if duration else next((words for name, words in _KINDS if name in written), "text")
    show = format_duration if duration else "{:,}".format
    least = [show(int(str(part.ge))) for part in field.metadata if isinstance(part, Ge) and part.ge != 0]
    most = [show(int(str(part.le))) for part in field.metadata if isinstance(part, Le)]
    return ", ".join([kind, *(f"from {end}" for end in least), *(f"up to {end}" for end in most)])


def _shown(value: object) -> Any:
    if isinstance(value, SecretStr):
        return str(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if value is None or isinstance(value, int | str) else str(value)
