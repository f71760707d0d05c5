"""``segstream topics``: makes the topics, or checks that they are as they must be."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json
from segstream.cli.running import run
from segstream.errors import LayoutError

if TYPE_CHECKING:
    from segstream.adapters.kafka.survey import Difference, Survey
    from segstream.adapters.kafka.topics import Topics
    from segstream.settings import Settings

PARTITIONS = 12
"""Where nothing says how many: divisible by 2, 3, 4 and 6, so that as many workers share them evenly."""


def topics(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Create nothing; needs only the right to describe topics.")
    ] = False,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many partitions each has (the samples have one); by default as those that exist, else 12.",
        ),
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="On how many brokers each partition is kept; by default 1.")
    ] = None,
    json: Json = False,
) -> None:
    """Create the topics that are missing, and say what is not as it must be: partitions, compaction, time, retention."""
    from segstream.adapters.connections import topics_of
    from segstream.adapters.kafka.survey import told_together
    from segstream.adapters.kafka.topics import compare_topics, doubts
    from segstream.settings import load_settings

    settings = load_settings()
    names = topics_of(settings)
    created, found = run(_make(settings, names, None if check else (partitions, replication or 1)))
    differences = compare_topics(found, names, partitions, replication)
    warnings = doubts(found, names)
    if json:
        typer.echo(json_module.dumps(_document(created, found, differences, warnings), indent=2))
    else:
        for name in created:
            typer.echo(f"created {name}")
        _table(found)
        for line in (*(f"warning: {each}" for each in warnings), *told_together(differences)):
            typer.echo(line, err=True)
    if differences:
        count = len(differences)
        typer.echo(f"{count} {'difference' if count == 1 else 'differences'}", err=True)
        raise typer.Exit(1)


async def _make(
    settings: Settings, names: Topics, wanted: tuple[int | None, int] | None
) -> tuple[list[str], Survey]:
    """Create what is missing, if asked to, and return what was created and how everything is now."""
    from segstream.adapters.connections import kafka_settings
    from segstream.adapters.kafka.topics import create_topics, describe_topics

    kafka = kafka_settings(settings)
    found = await describe_topics(kafka, names)
    if wanted is None or None not in found.topics.values():
        return [], found
    partitions, replication = wanted
    number = _number(found, names, partitions)
    created = await create_topics(kafka, names, number, replication_factor=replication)
    return created, await describe_topics(kafka, names)


def _number(found: Survey, names: Topics, wanted: int | None) -> int:
    """Return with how many partitions to create what is missing: as many as those that exist have.

    Raises
    ------
    LayoutError
        They have another number than wanted, or not all the same: creating more would make it worse.
    """
    counts = {name: topic.partitions for name in names.co_partitioned if (topic := found.topics[name])}
    numbers = {*counts.values()} or {wanted or PARTITIONS}
    if len(numbers) == 1 and (wanted is None or wanted in numbers):
        return numbers.pop()
    listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
    advice = (
        "leave --partitions out to create the others with as many"
        if len(numbers) == 1
        else "create them anew with one number"
    )
    asked = f", not {wanted}" if wanted else ""
    raise LayoutError(
        f"nothing was created: all must have the same number of partitions, but {listed}{asked}; {advice}"
    )


def _document(
    created: list[str], found: Survey, differences: list[Difference], warnings: list[str]
) -> dict[str, Any]:
    return {
        "valid": not differences,
        "created": created,
        "topics": {name: topic._asdict() if topic else None for name, topic in found.topics.items()},
        "differences": [each._asdict() for each in differences],
        "warnings": warnings,
    }


def _table(found: Survey) -> None:
    from segstream.cli.tables import print_table
    from segstream.core.time import format_duration

    def retention(value: str) -> str:
        return (
            "for ever" if value.startswith("-") else format_duration(int(value)) if value.isdigit() else value
        )

    rows = []
    for name, topic in found.topics.items():
        if topic is None:
            rows.append((name, "missing", "", "", "", ""))
            continue
        told = topic.settings or {}
        rows.append(
            (
                name,
                str(topic.partitions),
                str(topic.replicas),
                told.get("cleanup.policy", "?"),
                told.get("message.timestamp.type", "?"),
                retention(told.get("retention.ms", "?")),
            )
        )
    print_table(("topic", "partitions", "replicas", "cleanup", "time is", "kept"), rows, right=(1, 2, 5))
