"""``segstream verify``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json
from segstream.cli.running import run

if TYPE_CHECKING:
    from segstream.settings import Settings
    from segstream.verify.against import Difference
    from segstream.verify.verification import Verdict, Wish

MOST_TURNS = 20
"""Turns that are shown of a user, the last ones; `--json` has all."""


def verify(
    *,
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this partition; may be given several times.")
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Recount a replay from this file, one event per line in the order sent, instead of from Kafka.",
        ),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="How many differences to tell.")] = 10,
    memory: Annotated[
        int,
        typer.Option(
            min=1, metavar="MB", help="Events kept at one time; with less the log is read more often."
        ),
    ] = 1024,
    json: Json = False,
) -> None:
    """Recount every rule and group membership from the log, in a plain pass, and compare with Redis.

    Workers may go on meanwhile. Exits with 1 where anything differs, and tells the first differences.
    """
    from segstream.settings import load_settings
    from segstream.verify.verification import Wish

    wish = Wish(tuple(sorted(set(partition or ()))), events, most, memory << 20)
    verdict = run(_run(load_settings(), wish))
    differences = verdict.differences(most)
    if json:
        typer.echo(json_module.dumps(document(verdict, differences), indent=2, ensure_ascii=False))
    else:
        _show(verdict, differences)
    if not verdict.equal:
        raise typer.Exit(1)


async def _run(settings: Settings, wish: Wish) -> Verdict:
    from segstream.cli.progress import counting
    from segstream.verify.verification import Verification

    with counting("recounting") as tell:
        return await Verification(
            settings, wish, lambda events, users: tell(f"{events:,} events, {users:,} users")
        ).run()


def document(verdict: Verdict, differences: list[Difference]) -> dict[str, Any]:
    """Return what came out as JSON has it."""
    from segstream.verify.walk import merged

    return {
        "equal": verdict.equal,
        "total": dict(merged(verdict.partitions.values())),
        "partitions": [
            {
                "partition": number,
                "versions": list(found.versions),
                "not_checked": sorted(found.unchecked),
                "passes": found.passes,
                **merged([found]),
            }
            for number, found in verdict.partitions.items()
        ],
        "differences": [
            each.document() | {"published": verdict.told.get(each.user, [])} for each in differences
        ],
    }


def _show(verdict: Verdict, differences: list[Difference]) -> None:
    from segstream.cli.tables import print_table
    from segstream.verify.walk import merged

    rows = [
        (
            str(number),
            f"{found.users:,}",
            f"{found.memberships:,}",
            f"{found.events:,}",
            ", ".join(map(str, found.versions)),
            f"{found.differing:,} differ" if found.differing else "equal",
        )
        for number, found in verdict.partitions.items()
    ]
    total = merged(verdict.partitions.values())
    words = f"{total['differing']:,} differ" if total["differing"] else "equal"
    rows.append(
        ("all", f"{total['users']:,}", f"{total['memberships']:,}", f"{total['events']:,}", "", words)
    )
    print_table(("partition", "users", "memberships", "events", "versions", ""), rows)
    for line in _remarks(verdict, total):
        typer.echo(line)
    for each in differences:
        _show_difference(each, verdict)
    if total["differing"] > len(differences):
        typer.echo(f"\n… and {total['differing'] - len(differences):,} more; --most tells more of them")


def _remarks(verdict: Verdict, total: dict[str, int]) -> list[str]:
    unchecked = sorted({name for found in verdict.partitions.values() for name in found.unchecked})
    told = {
        "waiting": "users have a timer that is due and not fired yet: compared as of the moment before",
        "trailing": "users' public answers have not caught up with their state: does a worker run?",
        "discovered": "memberships were found by a model: the log does not tell them, so they are not checked",
    }
    lines = [f"{total[name]:,} {text}" for name, text in told.items() if total[name]]
    if unchecked:
        lines.append(f"not checked, since they ask for what a model found: {', '.join(unchecked)}")
    if verdict.lacking:
        lines.append(
            f"{verdict.lacking:,} offsets are not in the file: records that move the clock, for instance"
        )
    return lines


def _show_difference(each: Difference, verdict: Verdict) -> None:
    from segstream.cli.tables import visible
    from segstream.core.time import format_time

    typer.echo()
    typer.echo(visible(f"user {each.user}, partition {each.partition}: {each.what}"))
    if each.story:
        typer.echo("  recounted")
    for turn in each.story[-MOST_TURNS:]:
        typer.echo(visible(f"    {format_time(turn.at)}  {turn.change} {turn.segment}, by {turn.cause}"))
    changes = verdict.told.get(each.user, [])
    if changes:
        typer.echo("  published")
    for change in changes[-MOST_TURNS:]:
        cause = change["cause"]
        why = cause.get("message_id") or cause.get("version") or ""
        segment = change["segment"] or ", ".join(change["segments"])
        words = f"{change['change']} {segment}, by {cause['type']} {why}"
        typer.echo(visible(f"    {change['at']}  {words.rstrip()}"))
