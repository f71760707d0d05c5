"""``segstream settings``."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from segstream.cli.arguments import Json
from segstream.errors import SettingsError, UsageError

Markdown = Annotated[
    bool,
    typer.Option(
        "--markdown", help="Print the table of deploy/configuration.md: what may be set, and the defaults."
    ),
]


def settings(*, json: Json = False, markdown: Markdown = False) -> None:
    """List all settings: the variable, its value now, where that is from, and what it means. Secrets are not shown."""
    from segstream.cli.settings_list import listed, settings_table
    from segstream.settings import Settings, load_settings

    if json and markdown:
        raise UsageError("--json and --markdown exclude each other; give one of them")
    if markdown:
        typer.echo(settings_table())
        return
    try:
        rows, wrong = listed(load_settings()), None
    except SettingsError as error:
        # Whoever has made a mistake needs the list most: as it is without anything set.
        rows, wrong = listed(Settings.model_construct()), error
    if json and wrong is None:
        document = {
            row.variable: {
                "value": row.value,
                "default": row.default or None,
                "source": row.source,
                "meaning": row.meaning,
            }
            for row in rows
        }
        typer.echo(json_module.dumps(document, indent=2))
    elif not json:
        for row in rows:
            origin = (
                ""
                if row.source == "default" or wrong
                else f" (from {row.source}; default {row.default or 'none'})"
            )
            value = row.default if wrong else row.value or ""
            typer.echo(f"{row.variable}={value}\n    {row.meaning}{origin}")
    if wrong is not None:
        raise wrong
