"""``segstream history``, ``diff`` and ``rollback``: the versions of the definitions."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segstream.cli.arguments import (
    At,
    Author,
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
from segstream.cli.running import run
from segstream.errors import SegstreamError, UsageError

if TYPE_CHECKING:
    from segstream.planning import Standing
    from segstream.ports import DefinitionsVersion
    from segstream.settings import Settings

_WHICH: Final = "A file, a version's number, or: active."
First = Annotated[str, typer.Argument(metavar="A", help=_WHICH)]
Second = Annotated[str, typer.Argument(metavar="B", help=_WHICH)]


def history(*, json: Json = False) -> None:
    """Show all versions of the definitions: who published each, when and why, and where it is in force."""
    from segstream.planning import stand
    from segstream.settings import load_settings

    standing = run(stand(load_settings()))
    if json:
        typer.echo(json_module.dumps(_document(standing), indent=2, ensure_ascii=False))
    elif standing.versions:
        _table(standing)
    else:
        typer.echo("no version has been published yet")


def diff(a: First, b: Second, *, json: Json = False) -> None:
    """Show what sets two definitions apart by what they mean: spelling, order and comments are no difference."""
    from segstream.cli.publication import show_differences
    from segstream.core.definitions import read_definitions
    from segstream.core.difference import differences, fresh_features
    from segstream.settings import load_settings

    texts = _texts(load_settings(), [a, b])
    old, new = (read_definitions(text, name) for name, text in texts)
    apart, fresh = differences(old, new), fresh_features(old, new)
    if json:
        document = {
            "a": texts[0][0],
            "b": texts[1][0],
            "same": old.content_hash == new.content_hash,
            "differences": [each._asdict() for each in apart],
            "features_from_empty": fresh,
        }
        typer.echo(json_module.dumps(document, indent=2, ensure_ascii=False))
    elif apart:
        typer.echo(f"from {texts[0][0]} to {texts[1][0]}")
        show_differences(apart, fresh)
    else:
        typer.echo("nothing differs in meaning")


def rollback(
    version: Annotated[
        int | None,
        typer.Argument(metavar="VERSION", help="Which to go back to; by default the one before the latest."),
    ] = None,
    *,
    at: At = None,
    note: Note = "",
    author: Author = None,
    yes: Yes = False,
    look: Look = True,
    sample: Sample = 3,
    wait: Wait = False,
    timeout: Timeout = "10m",
    json: Json = False,
) -> None:
    """Publish an earlier version's definitions as the next one, after showing what changes.

    What only the versions since then have counted is forgotten, and what they do not count begins from nothing.
    """
    from segstream.cli.publication import Proposal, propose
    from segstream.planning import stand
    from segstream.settings import load_settings

    limit = duration(timeout, "--timeout") / 1000
    proposal = Proposal(
        at=moment(at, "--at") if at is not None else None,
        author=author,
        yes=yes,
        samples=sample if look else None,
        wait=limit if wait else None,
        json=json,
        allow_empty=True,
    )
    settings = load_settings()
    versions = run(stand(settings)).versions
    number = len(versions) - 1 if version is None else version
    if version is None and not versions:
        raise SegstreamError("nothing has been published yet, so there is nothing to go back to")
    if number == 0 and version is None:
        raise SegstreamError("there is one version only, so there is none to go back to")
    chosen = _version(versions, number)
    back = f"back to version {number}"
    proposal = proposal._replace(note=f"{back}: {note}" if note else back)
    propose(settings, chosen.text, f"definitions version {number}", proposal)


def _version(versions: list[DefinitionsVersion], number: int) -> DefinitionsVersion:
    if not 1 <= number <= len(versions):
        known = f"there are 1 to {len(versions)}" if versions else "none has been published yet"
        raise SegstreamError(f"there is no version {number}: {known}; `segstream history` lists them")
    return versions[number - 1]


def _texts(settings: Settings, which: list[str]) -> list[tuple[str, str]]:
    """Return name and text of each; Redis is asked only if one of them is there."""
    from pathlib import Path

    from segstream.planning import stand

    standing: Standing | None = None
    found = []
    for each in which:
        if each == "active" or each.isdecimal():
            standing = standing or run(stand(settings))
            if each == "active" and not standing.active:
                raise SegstreamError(
                    "no version is active: none has been published yet; `segstream apply` does it"
                )
            chosen = _version(standing.versions, standing.active if each == "active" else int(each))
            found.append((f"version {chosen.version}", chosen.text))
        elif Path(each).is_file():
            found.append((each, read(Path(each))))
        else:
            raise UsageError(f"{each!r} is neither a file nor a version's number nor active")
    return found


def _document(standing: Standing) -> dict[str, Any]:
    from segstream.core.time import format_time

    return {
        "active": standing.active,
        "versions": [
            {
                "version": each.version,
                "effective_at": format_time(each.effective_at) if each.effective_at else None,
                "published_at": format_time(each.at),
                "author": each.author,
                "note": each.note,
                "content_hash": each.content_hash,
                "partitions": standing.partitions.get(each.version, []),
                "sweeping": sorted(standing.sweeping & {*standing.partitions.get(each.version, [])}),
            }
            for each in standing.versions
        ],
    }


def _table(standing: Standing) -> None:
    from segstream.cli.tables import print_table
    from segstream.core.time import format_time

    rows = []
    for each in standing.versions:
        numbers = standing.partitions.get(each.version, [])
        sweeping = standing.sweeping & {*numbers}
        where = ranges(numbers) + (f" (sweep goes on in {ranges(sorted(sweeping))})" if sweeping else "")
        when = format_time(each.effective_at) if each.effective_at else "at once"
        rows.append(
            (
                str(each.version),
                format_time(each.at),
                each.author,
                when,
                each.content_hash[:12],
                where,
                each.note,
            )
        )
    columns = ("version", "published", "by", "in force from", "hash", "partitions", "note")
    print_table(columns, rows, right=[0], fold=6)


def ranges(numbers: list[int]) -> str:
    """Return ascending numbers in short.

    Examples
    --------
    >>> ranges([0, 1, 2, 3, 7, 9, 10])
    '0-3, 7, 9-10'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
