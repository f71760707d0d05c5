"""``segstream version``."""

from __future__ import annotations

import json as json_module

import typer

from segstream.cli.arguments import Json


def version(*, json: Json = False) -> None:
    """Print the program's version."""
    import platform
    from importlib import metadata

    try:
        number = metadata.version("segstream")
    except metadata.PackageNotFoundError:
        number = "unknown (not installed)"
    python = platform.python_version()
    typer.echo(
        json_module.dumps({"segstream": number, "python": python})
        if json
        else f"segstream {number}, Python {python}"
    )
