"""``segstream changes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from segstream.cli.arguments import moment, since, user_id
from segstream.cli.running import run
from segstream.errors import SegstreamError, UsageError

if TYPE_CHECKING:
    from segstream.adapters.kafka.changes import Start
    from segstream.settings import Settings

LOOKED_BACK = "1h"
"""How far back to read where nothing is said."""


class Wanted(NamedTuple):
    """Which changes, and how many; None: all."""

    begin: Start
    follow: bool
    user: str | None
    segment: str | None
    limit: int | None
    json: bool
    coloured: bool


def changes(
    *,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on with those to come; from now on, unless told where to begin."
        ),
    ] = False,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this user's; reads one partition.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only entries to and exits from this segment.")
    ] = None,
    since_: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DURATION",
            help="Those published within this time, such as 15m; by default 1h.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="earliest|latest|TIME",
            help="Those published since then; a time is written 2026-01-31T12:00:00Z.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the records as they are, one JSON object per line.")
    ] = False,
) -> None:
    """Print entries and exits as they were published: who, what, why, and by which cause.

    In order for each user. What is not committed is not shown. Ctrl-C ends it.
    """
    from segstream.cli.tables import coloured
    from segstream.settings import load_settings

    if since_ is not None and from_ is not None:
        raise UsageError("--since and --from exclude each other; give one of them")
    if user is not None:
        user_id(user)
    begin: Start
    if from_ is not None:
        begin = from_ if from_ in ("earliest", "latest") else max(0, moment(from_, "--from"))  # type: ignore[assignment]  # one of the two
    elif follow and since_ is None:
        begin = "latest"
    else:
        begin = since(since_ or LOOKED_BACK)
    run(_print(load_settings(), Wanted(begin, follow, user, segment, limit, json, coloured())))


async def _print(settings: Settings, wanted: Wanted) -> None:
    from segstream.adapters.connections import kafka_settings
    from segstream.adapters.kafka.changes import ChangeLog
    from segstream.core.events import raw_id
    from segstream.core.partitioning import partitioner

    doubted = wanted.segment is not None and await _doubt(settings, wanted.segment)
    shown = 0
    async with ChangeLog(kafka_settings(settings), settings.topic_changes) as log:
        numbers = []
        if wanted.user is not None:
            numbers = [partitioner(settings.partitioner)(raw_id(wanted.user).encode(), log.partitions)]
        await log.start(wanted.begin, numbers, settled=not wanted.follow)
        async for records in log.batches(follow=wanted.follow):
            for record in records:
                shown += _show(record, wanted)
                if shown == wanted.limit:
                    return
    if not (shown or doubted):
        typer.echo(_nothing(wanted.begin), err=True)


def _nothing(begin: Start) -> str:
    """Return what to say where there was nothing to print: an empty screen may also be a wrong address."""
    from segstream.core.time import format_time

    if isinstance(begin, str):
        return "no change that fits was published"
    return f"no change that fits was published since {format_time(begin)}; --from earliest looks further back"


async def _doubt(settings: Settings, segment: str) -> bool:
    """Warn if there never was such a segment, or nobody can tell; return whether it did."""
    from segstream.planning import doubt

    try:
        told = await doubt(settings, segment)
    except SegstreamError as failure:
        told = f"cannot tell whether there is a segment {segment!r}: {failure}"
    if told is not None:
        typer.echo(f"warning: {told}", err=True)
    return told is not None


def _show(record: Any, wanted: Wanted) -> bool:
    """Print a record if it is wanted; return whether it was."""
    import orjson

    if wanted.user is not None and record.key != wanted.user.encode():
        return False
    try:
        change = orjson.loads(record.value or b"")
        if wanted.segment is not None and change["segment"] != wanted.segment:
            return False
        line = "" if wanted.json else _line(change)
    except (ValueError, KeyError, TypeError, AttributeError):
        place = f"{record.topic}-{record.partition}, offset {record.offset}"
        typer.echo(f"{place}: not a change; does another program write to this topic?", err=True)
        return False
    if wanted.json:
        typer.echo(record.value.decode())
    else:
        colour = {"entered": "green", "exited": "yellow"}.get(change["change"]) if wanted.coloured else None
        typer.echo(line if colour is None else typer.style(line, fg=colour))
    return True


def _line(change: Any) -> str:
    from segstream.cli.tables import visible
    from segstream.demo.telling import tell

    return visible(tell(change, {}))
