"""``segstream validate`` and ``segstream apply``: the definitions, before and after they count."""

from __future__ import annotations

import asyncio
import getpass
import json as json_module
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.core.time import format_duration, format_time, parse_time
from segstream.errors import DefinitionError, UsageError
from segstream.settings import Settings, load_settings

if TYPE_CHECKING:
    from segstream.core.definitions import Definitions
    from segstream.ports import DefinitionsVersion

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="Definitions, in YAML."),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", exists=True, dir_okay=False, readable=True, help="Definitions, in YAML."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

LEAD: Final = 5_000
"""Milliseconds until a version counts: workers look for new ones once a second, so that none is late."""


def validate(files: Files, *, json: Json = False) -> None:
    """Check definitions without a server: show what was understood, or every mistake with its place."""
    checked = [(file, *_check(file)) for file in files]
    failed = any(mistakes for _, _, mistakes in checked)
    if json:
        documents = [_document(file, definitions, mistakes) for file, definitions, mistakes in checked]
        typer.echo(json_module.dumps({"valid": not failed, "files": documents}, indent=2))
    else:
        for file, definitions, mistakes in checked:
            for mistake in mistakes:
                typer.echo(_with_excerpt(mistake), err=True)
            if definitions is not None:
                typer.echo(_summary(file, definitions))
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
    text = read(file)
    definitions = read_definitions(text, str(file))
    settings = load_settings()
    now = time.time_ns() // 1_000_000
    effective_at = moment(at, "--at") if at is not None else 0 if settings.clock == "event" else now + LEAD
    version, changed = asyncio.run(
        _append(settings, text, definitions.content_hash, effective_at, author or _user(), note, now)
    )
    if json:
        document = {
            "version": version.version,
            "changed": changed,
            "effective_at": _written(version.effective_at),
        }
        typer.echo(json_module.dumps(document | {"content_hash": version.content_hash}))
    elif changed:
        when = "at once" if version.effective_at == 0 else f"from {format_time(version.effective_at)}"
        typer.echo(f"version {version.version}, in force {when}")
    else:
        typer.echo(f"version {version.version} already: nothing differs in meaning, nothing was published")


def read(file: Path) -> str:
    """Return a file's text.

    Raises
    ------
    DefinitionError
        If it is not UTF-8.
    UsageError
        If it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"not UTF-8 (byte {error.start}); save the file as UTF-8", str(file)) from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None


def moment(text: str, option: str) -> int:
    """Return the time (ms) that an option holds.

    Raises
    ------
    UsageError
        If it is not a time.
    """
    try:
        return parse_time(text)
    except ValueError:
        raise UsageError(
            f"{option}: {text!r} is not a time; write for instance 1998-06-30T00:00:00Z"
        ) from None


async def _append(
    settings: Settings, text: str, content_hash: str, effective_at: int, author: str, note: str, now: int
) -> tuple[DefinitionsVersion, bool]:
    """Append a version; return the latest, and whether it is a new one."""
    # redis-py takes a fifth of a second to import, which checking a file need not.
    from segstream.adapters.redis.connection import connect  # noqa: PLC0415
    from segstream.adapters.redis.definitions import RedisDefinitions  # noqa: PLC0415

    client = connect(settings.redis.get_secret_value(), cluster=settings.redis_cluster)
    log = RedisDefinitions(client, settings.redis_prefix)
    try:
        before = await log.load()
        number = await log.append(
            text, content_hash, effective_at=effective_at, author=author, note=note, at=now
        )
        latest = (await log.load(number - 1))[0]
    finally:
        await log.close()
        await client.aclose()
    return latest, number > (before[-1].version if before else 0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _written(at: int) -> str | None:
    return format_time(at) if at else None


def _check(file: Path) -> tuple[Definitions | None, list[DefinitionError]]:
    try:
        text = read(file)
    except DefinitionError as error:
        return None, [error]
    mistakes = find_mistakes(text, str(file))
    return (None, mistakes) if mistakes else (read_definitions(text, str(file)), [])


def _with_excerpt(mistake: DefinitionError) -> str:
    return "\n".join([str(mistake), *(f"  {line}" for line in mistake.excerpt().splitlines())])


def _summary(file: Path, definitions: Definitions) -> str:
    """Say what was understood."""
    document, lines = definitions.document, [f"{file}: valid"]
    lines += _section(
        "features", [f"{name} = {_feature(feature)}" for name, feature in document.features.items()]
    )
    lines += _section("traits", [f"{name}: {kind}" for name, kind in document.traits.items()])
    segments = []
    for segment in definitions.segments:
        leave = f"; leaves when {segment.leave_when.source}" if segment.leave_when is not None else ""
        dwell = f"; stays {format_duration(segment.min_dwell)} at least" if segment.min_dwell else ""
        segments.append(f"{segment.name}: {segment.when.source}{leave}{dwell}")
    lines += _section("segments", segments)
    lines += _section(
        "groups", [f"{group.name}: first of {', '.join(group.segments)}" for group in definitions.groups]
    )
    lines += _section(
        "discovered",
        [
            f"{model.name}: {model.model}, {model.clusters} clusters by {', '.join(item.text for item in model.inputs)}"
            for model in definitions.discovered
        ],
    )
    return "\n".join(lines)


def _section(title: str, items: list[str]) -> list[str]:
    return [f"  {len(items)} {title[:-1] if len(items) == 1 and title.endswith('s') else title}"] * bool(
        items
    ) + [f"    {item}" for item in items]


def _feature(feature: Any) -> str:
    told = feature.model_dump(exclude_none=True, exclude_defaults=True)
    words = [told.pop("op")]
    told.pop("description", None)
    exposed = ", exposed" if told.pop("expose", False) else ""
    for name, value in told.items():
        words.append(f"{name} {' or '.join(value) if isinstance(value, list | tuple) else value}")
    return f"{words[0]}{' ' if words[1:] else ''}{', '.join(words[1:])}{exposed}"


def _document(file: Path, definitions: Definitions | None, mistakes: list[DefinitionError]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": str(file),
        "valid": definitions is not None,
        "mistakes": [
            {"line": mistake.line, "column": mistake.column, "message": mistake.message}
            for mistake in mistakes
        ],
    }
    if definitions is not None:
        document |= {
            "content_hash": definitions.content_hash,
            "definitions": definitions.document.model_dump(
                mode="json", exclude_none=True, exclude_defaults=True
            ),
        }
    return document
