"""``segstream dead-letters replay``: send the records in dead letters again."""

from __future__ import annotations

import json as json_module
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json
from segstream.cli.letter_options import Reason, Since, Topic, Until, User, wanted_by
from segstream.cli.running import confirmed, run
from segstream.errors import UsageError

if TYPE_CHECKING:
    from segstream.adapters.kafka.replays import Tally
    from segstream.core.letters import Wanted
    from segstream.settings import Settings


def replay(
    *,
    reason: Reason = None,
    topic: Topic = None,
    user: User = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")] = False,
    json: Json = False,
) -> None:
    """Send the records in dead letters to their topics again, each once, however often this is called or killed.

    First correct what was wrong: settings, definitions, or what the records need. Tells what it will do, and asks.
    """
    from segstream.settings import load_settings

    if not (yes or dry_run) and (json or not sys.stdin.isatty()):
        raise UsageError(
            "there is nobody to ask whether to send; look at what --dry-run shows, then give --yes"
        )
    wanted = wanted_by(reason, topic, user, since, until)
    planned, sent = run(_replay(load_settings(), wanted, dry_run=dry_run, ask=not yes))
    if json:
        typer.echo(json_module.dumps(_told(planned, sent, dry_run=dry_run)))
    elif sent is not None:
        typer.echo(f"{_count(sent.sent.total(), 'record')} sent again")
    elif not dry_run and planned.sent:
        typer.echo("nothing was sent", err=True)
        raise typer.Exit(1)


async def _replay(
    settings: Settings, wanted: Wanted, *, dry_run: bool, ask: bool
) -> tuple[Tally, Tally | None]:
    """Return what was to be done, and what was; None if nothing was to be, or the answer was no."""
    from segstream.adapters.connections import kafka_settings
    from segstream.adapters.kafka.replays import Replay, Tally, Target
    from segstream.cli.progress import reading
    from segstream.core.partitioning import partitioner

    target = Target(
        settings.topic_dead_letters,
        settings.topics,
        partitioner(settings.partitioner),
        f"{settings.group}-dead-letters",
    )
    with reading("reading dead letters") as progress:
        run = Replay(kafka_settings(settings), target, wanted, progress)
        planned = await run.plan()
    for line in consequences(settings, planned, dry_run=dry_run):
        typer.echo(line, err=True)
    if dry_run:
        return planned, None
    if not planned.sent:
        return planned, Tally()
    if ask and not confirmed("Go on?"):
        return planned, None
    return planned, await run.carry_out(_report)


def _report(sent: int) -> None:
    typer.echo(f"{_count(sent, 'record')} sent so far", err=True)


def consequences(settings: Settings, planned: Tally, *, dry_run: bool = False) -> list[str]:
    """Say in plain words what a replay is going to do.

    Parameters
    ----------
    settings : Settings
    planned : Tally
    dry_run : bool
        Whether it is only asked what would be.
    """
    from segstream.core.letters import REPLAYED_HEADER

    lines = []
    if total := planned.sent.total():
        lines.append(f"{_count(total, 'record')} {'would be' if dry_run else 'to be'} sent again:")
        lines += [
            f"  {count:,} {reason}, to {topic}" for (reason, topic), count in planned.sent.most_common()
        ]
        lines += [
            "What follows:",
            "- each goes to its topic once more, behind all that is there, with key, value and headers as they were",
            f"- a header {REPLAYED_HEADER} says where its dead letter lies",
            f"- its partition is its key's, by the partitioner {settings.partitioner}; without a key the one it was in",
            "- workers apply it like any other; one that fails again becomes another dead letter",
            "- an event without a time of its own counts as of now",
        ]
    else:
        lines.append("nothing is left to be sent again")
    if planned.before:
        lines.append(f"left out: {planned.before:,} sent again before")
    if planned.partial:
        lines.append(
            f"left out: {planned.partial:,} too large to have been kept whole; send them anew from their source"
        )
    lines += [
        f"left out: {count:,} of {topic}, which is not among SEGSTREAM_TOPICS or is gone"
        for topic, count in planned.elsewhere.items()
    ]
    if planned.foreign.records:
        lines.append(str(planned.foreign))
    return lines


def _told(planned: Tally, sent: Tally | None, *, dry_run: bool) -> dict[str, Any]:
    """Return what was done, or would be, as JSON has it."""
    kinds = (planned if sent is None else sent).sent.most_common()
    return {
        "dry_run": dry_run,
        "sent": 0 if sent is None else sent.sent.total(),
        "reasons": [{"reason": reason, "topic": topic, "records": count} for (reason, topic), count in kinds],
        # Some may have been sent by somebody else since it was planned.
        "before": planned.before + (0 if sent is None else sent.before),
        "partial": planned.partial,
        "elsewhere": dict(planned.elsewhere),
        "foreign": planned.foreign.records,
    }


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
