"""``segstream segments``."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json, since
from segstream.cli.running import run

if TYPE_CHECKING:
    from segstream.overview import Overview


def segments(
    *,
    since_: Annotated[
        str,
        typer.Option(
            "--since", metavar="DURATION", help="Count entries and exits published within this time."
        ),
    ] = "1h",
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Sizes only: asks Redis alone, not Kafka for entries and exits.")
    ] = False,
    json: Json = False,
) -> None:
    """Show all segments: how many users are in each, its label and group, and recent entries and exits."""
    from segstream.cli.progress import reading
    from segstream.core.time import format_time
    from segstream.overview import survey
    from segstream.settings import load_settings

    begin = None if sizes else since(since_)
    with reading() as progress:
        found = run(survey(load_settings(), begin, progress))
    if json:
        document: dict[str, Any] = {
            "users": found.users,
            "since": None if begin is None else format_time(begin),
            "segments": [row._asdict() for row in found.rows],
        }
        typer.echo(json_module.dumps(document, indent=2, ensure_ascii=False))
        return
    _table(found, since_, counted=begin is not None)


def _table(found: Overview, within: str, *, counted: bool) -> None:
    from segstream.cli.tables import print_table

    columns = ["segment", "size", "share", *(["entries", "exits"] if counted else []), "label", "group"]
    rows = []
    for row in found.rows:
        share = f"{row.size / found.users:.1%}" if found.users else ""
        counts = [f"{row.entries:,}", f"{row.exits:,}"] if counted else []
        rows.append([row.name, f"{row.size:,}", share, *counts, row.label or "", row.group or ""])
    print_table(columns, rows, right=range(1, len(columns) - 2), fold=len(columns) - 2)
    within = f"; entries and exits of the last {within}" if counted else ""
    typer.echo(f"{found.users:,} users{within}")
