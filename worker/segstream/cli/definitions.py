"""``segstream validate``, ``plan`` and ``apply``: the definitions, before and after they count."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from segstream.cli.arguments import (
    At,
    Author,
    File,
    Files,
    Json,
    Look,
    Note,
    Sample,
    Timeout,
    Wait,
    Yes,
    duration,
    moment,
    read,
)


def _print_schema(asked: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if not asked:
        return
    from segstream_schemas.definitions import DefinitionsDocument
    from segstream_schemas.json_schema import json_schema

    schema = {"$id": "urn:segstream:definitions:1", **json_schema(DefinitionsDocument, mode="in")}
    typer.echo(json_module.dumps(schema, indent=2))
    raise typer.Exit


def validate(
    files: Files,
    *,
    json: Json = False,
    schema: Annotated[  # noqa: ARG001 (its callback does what it is for)
        bool,
        typer.Option(
            "--schema",
            is_eager=True,
            callback=_print_schema,
            help="Print the JSON Schema of definitions, for editors, and stop.",
        ),
    ] = False,
) -> None:
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


def plan(
    file: File,
    *,
    at: At = None,
    sample: Sample = 3,
    json: Json = False,
) -> None:
    """Show what publishing definitions would change, from the present state; nothing is changed."""
    from segstream.cli.publication import Proposal, look, show
    from segstream.settings import load_settings

    given = moment(at, "--at") if at is not None else None
    found = look(load_settings(), read(file), str(file), Proposal(at=given, samples=sample))
    if json:
        typer.echo(json_module.dumps(found.document(), indent=2, ensure_ascii=False))
    else:
        show(found)


def apply(
    file: File,
    *,
    at: At = None,
    note: Note = "",
    author: Author = None,
    yes: Yes = False,
    look: Look = True,
    sample: Sample = 3,
    wait: Wait = False,
    timeout: Timeout = "10m",
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Publish definitions without any segment: everybody leaves all."),
    ] = False,
    json: Json = False,
) -> None:
    """Publish definitions as the next version, after showing what changes, unless they mean the same as the latest."""
    from segstream.cli.publication import Proposal, propose
    from segstream.settings import load_settings

    limit = duration(timeout, "--timeout") / 1000
    proposal = Proposal(
        at=moment(at, "--at") if at is not None else None,
        author=author,
        note=note,
        yes=yes,
        samples=sample if look else None,
        wait=limit if wait else None,
        json=json,
        allow_empty=allow_empty,
    )
    propose(load_settings(), read(file), str(file), proposal)
