"""``segstream validate`` and ``segstream apply``: the definitions, before and after they count."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from segstream.cli.arguments import File, Files, Json, moment


def validate(files: Files, *, json: Json = False) -> None:
    """Check definitions without a server: show what was understood, or every mistake with its place."""
    from segstream.cli.understood import check, document, summary, with_excerpt

    checked = [(file, *check(file)) for file in files]
    failed = any(mistakes for _, _, mistakes in checked)
    if json:
        documents = [document(file, definitions, mistakes) for file, definitions, mistakes in checked]
        typer.echo(json_module.dumps({"valid": not failed, "files": documents}, indent=2))
    else:
        for file, definitions, mistakes in checked:
            for mistake in mistakes:
                typer.echo(with_excerpt(mistake), err=True)
            if definitions is not None:
                typer.echo(summary(file, definitions))
    if failed:
        count = sum(len(mistakes) for _, _, mistakes in checked)
        typer.echo(f"{count} mistake{'s' if count > 1 else ''}", err=True)
        raise typer.Exit(1)


def apply(
    file: File,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="From when it counts, as in 2026-01-31T12:00Z; by default 5 s from now, at once in replays.",
        ),
    ] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    author: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who; by default this machine's user.")
    ] = None,
    json: Json = False,
) -> None:
    """Publish definitions as the next version, unless they mean the same as the latest."""
    import asyncio

    from segstream.cli.publication import publish
    from segstream.core.time import format_time
    from segstream.settings import load_settings

    given = moment(at, "--at") if at is not None else None
    version, changed = asyncio.run(publish(load_settings(), file, given, author, note))
    if json:
        document = {
            "version": version.version,
            "changed": changed,
            "effective_at": format_time(version.effective_at) if version.effective_at else None,
        }
        typer.echo(json_module.dumps(document | {"content_hash": version.content_hash}))
    elif changed:
        when = "at once" if version.effective_at == 0 else f"from {format_time(version.effective_at)}"
        typer.echo(f"version {version.version}, in force {when}")
    else:
        typer.echo(f"version {version.version} already: nothing differs in meaning, nothing was published")
