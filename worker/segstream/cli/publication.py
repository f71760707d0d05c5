"""What ``segstream apply`` and ``rollback`` do: show what would change, ask, publish, and wait for it if asked to."""

from __future__ import annotations

import getpass
import json as json_module
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.cli.arguments import check_text
from segstream.cli.progress import reading
from segstream.cli.running import confirmed, run
from segstream.cli.servers import redis_client
from segstream.cli.tables import print_table, visible
from segstream.core.definitions import read_definitions
from segstream.core.time import format_time
from segstream.errors import SegstreamError, UsageError
from segstream.planning import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from segstream.core.difference import Difference
    from segstream.planning import Plan
    from segstream.ports import DefinitionsVersion
    from segstream.settings import Settings

LEAD: Final = 5_000
"""Milliseconds until a version counts: workers look for new ones once a second, so that none is late."""

_MARKS: Final = {"added": "+", "removed": "-", "changed": "~", "renamed": ">"}


class Proposal(NamedTuple):
    """How definitions are to be published.

    Parameters
    ----------
    at : int or None
        From when they count, in ms; None: in `LEAD` ms, and at once in replays, whose clock stands in the past.
    author : str or None
        None: this machine's user.
    note : str
        Why.
    yes : bool
        Whether not to ask.
    samples : int or None
        How many users to show of each segment and direction; None: not to look at users at all.
    wait : float or None
        Seconds to wait at most until all users are brought up to date; None: not to wait.
    json : bool
        Whether to tell everything as JSON.
    allow_empty : bool
        Whether they may be without any segment where the latest version has some.
    """

    at: int | None = None
    author: str | None = None
    note: str = ""
    yes: bool = False
    samples: int | None = 3
    wait: float | None = None
    json: bool = False
    allow_empty: bool = False


def propose(settings: Settings, text: str, name: str, proposal: Proposal) -> None:
    """Show what would change, ask, publish, and wait for it if asked to.

    Parameters
    ----------
    settings : Settings
    text : str
        The definitions, in YAML.
    name : str
        What errors call them.
    proposal : Proposal

    Raises
    ------
    UsageError
        There is nobody to ask, no segment is left, or the author or note is no text.
    DefinitionError
        The definitions have a mistake.
    SegstreamError
        Somebody else has published others meanwhile.
    ServerError
        Redis cannot be reached or refuses.
    """
    for option, told in (("--author", proposal.author or ""), ("--note", proposal.note)):
        check_text(told, option)
    read_definitions(text, name)  # a mistake is told before any question or server
    if not proposal.yes and (proposal.json or not sys.stdin.isatty()):
        raise UsageError(
            "there is nobody to ask whether to publish; look at what `segstream plan` shows, then give --yes"
        )
    plan = look(settings, text, name, proposal)
    version = plan.latest
    if plan.emptied and not proposal.allow_empty:
        raise UsageError("nothing was published; --allow-empty says that everybody is to leave all segments")
    if version is None or plan.changed:
        if not proposal.json:
            show(plan)
            typer.echo()
        if not proposal.yes and not confirmed(f"publish as version {plan.number}?"):
            typer.echo("nothing was published", err=True)
            raise typer.Exit(1)
        version = run(_publish(settings, plan, proposal))
    _tell(plan, version, proposal)
    if proposal.wait is not None:
        from segstream.cli.sweeping import finished

        run(finished(settings, version, proposal.wait))
        typer.echo(f"version {version.version} is in force for all users", err=proposal.json)


def look(settings: Settings, text: str, name: str, proposal: Proposal) -> Plan:
    """Return what publishing definitions would change, with progress on stderr.

    Raises
    ------
    DefinitionError
        The definitions have a mistake.
    ServerError
        Redis cannot be reached or refuses.
    """
    at = 0 if proposal.at is None else proposal.at
    for line in read_definitions(text, name).unread(settings.topics):
        typer.echo(f"warning: {line}", err=True)
    with reading("looking at users") as progress:
        plan = run(
            make_plan(settings, text, name, effective_at=at, samples=proposal.samples, progress=progress)
        )
    if plan.emptied:
        typer.echo(f"warning: {name} has no segments: everybody leaves all that they are in", err=True)
    return plan


async def _publish(settings: Settings, plan: Plan, proposal: Proposal) -> DefinitionsVersion:
    now = time.time_ns() // 1_000_000
    at = proposal.at
    if at is None:
        at = 0 if settings.clock == "event" else now + LEAD
    async with redis_client(settings) as client:
        log = RedisDefinitions(client, settings.redis_prefix)
        try:
            number = await log.append(
                plan.text,
                plan.definitions.content_hash,
                effective_at=at,
                author=proposal.author or _user(),
                note=proposal.note,
                at=now,
                after=plan.number - 1,
            )
            latest = (await log.load(number - 1))[0]
        finally:
            await log.close()
    if latest.content_hash != plan.definitions.content_hash:
        raise SegstreamError(
            f"{latest.author} has published version {number} meanwhile, so that this plan holds no more: nothing was "
            "published; look at `segstream history`, then at a new plan"
        )
    return latest


def _tell(plan: Plan, version: DefinitionsVersion, proposal: Proposal) -> None:
    if proposal.json:
        told: dict[str, Any] = {
            "version": version.version,
            "changed": plan.changed,
            "effective_at": format_time(version.effective_at) if version.effective_at else None,
            "content_hash": version.content_hash,
        }
        if plan.changed:
            told["plan"] = plan.document()
        typer.echo(json_module.dumps(told, ensure_ascii=False))
    elif plan.changed:
        when = "at once" if version.effective_at == 0 else f"from {format_time(version.effective_at)}"
        typer.echo(f"version {version.version}, in force {when}")
    else:
        typer.echo(f"version {version.version} already: nothing differs in meaning, nothing was published")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


# ------------------------------------------------------------------------------------------- for people


def show(plan: Plan) -> None:
    """Print a plan: what differs, what begins empty, and what becomes of users."""
    if not plan.changed:
        typer.echo(f"version {plan.number} already: nothing differs in meaning")
        return
    after = f", after version {plan.latest.version} by {plan.latest.author}" if plan.latest else ""
    typer.echo(visible(f"version {plan.number}{after}"))
    show_differences(plan.differences, plan.fresh)
    found = plan.preview
    if found is None:
        return
    if not found.users:
        typer.echo("\nno user has any state yet")
        return
    rows = [
        (f"  {name}", f"{e.before:,}", _signed("+", e.entering), _signed("-", e.leaving), f"{e.after:,}")
        for name, e in plan.rows()
    ]
    typer.echo(f"\nusers, as of {format_time(found.as_of)}")
    print_table(("  segment", "now", "enter", "leave", "then"), rows, right=range(1, 5))
    typer.echo(f"  {found.changed:,} of {found.users:,} users are told of a change")
    lines = list(_samples(plan))
    if lines:
        typer.echo("\nfor instance")
        for line in lines:
            typer.echo(visible(line))


def show_differences(differences: Iterable[Difference], fresh: Iterable[str]) -> None:
    """Print what sets definitions apart, and which features begin empty."""
    lines: list[str] = []
    for each in differences:
        former = f", until now {each.former}," if each.former else ""
        lines.append(f"  {_MARKS[each.change]} {each.section} {each.name}{former} {each.change}")
        texts = (each.before,) if each.before == each.after else (each.before, each.after)
        lines += [f"      {text}" for text in texts if text is not None]
    if lines:
        typer.echo("\nwhat differs")
        for line in lines:
            typer.echo(visible(line))
    if names := ", ".join(fresh):
        typer.echo(f"\nfrom nothing, counting from then on: {names}")


def _signed(sign: str, count: int) -> str:
    return f"{sign}{count:,}" if count else ""


def _samples(plan: Plan) -> Iterator[str]:
    for name, effect in plan.rows():
        for verb, changes in (("enters", effect.entries), ("leaves", effect.exits)):
            for change in changes:
                why = "; ".join(map(_reason, change["reasons"]))
                yield f"  {change['user_id']} {verb} {name}{': ' if why else ''}{why}"


def _reason(reason: dict[str, Any]) -> str:
    """Return a condition with its truth and its values.

    Examples
    --------
    >>> values = {"orders": {"before": 2, "after": 2}, "seen": {"before": None, "after": None}}
    >>> _reason({"condition": "orders >= 2", "before": False, "after": True, "inputs": values})
    'orders >= 2 is true, was false (orders 2, seen unknown)'
    """
    was = f", was {_written(reason['before'])}" if reason["before"] is not reason["after"] else ""
    values = ", ".join(f"{text} {_written(value['after'])}" for text, value in reason["inputs"].items())
    return f"{reason['condition']} is {_written(reason['after'])}{was}{f' ({values})' if values else ''}"


def _written(value: object) -> str:
    return "unknown" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
