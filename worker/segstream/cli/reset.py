"""``segstream reset``: begin partitions anew, or let them go on elsewhere in the log."""

from __future__ import annotations

import json as json_module
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json
from segstream.cli.running import confirmed, run
from segstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstream.adapters.kafka.places import Log
    from segstream.adapters.reset_plans import Plan, Wish
    from segstream.adapters.resets import Done
    from segstream.settings import Settings


def reset(
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="PLACE", help="earliest, latest, an offset, or a time such as 2026-01-31T12:00Z."
        ),
    ],
    topic: Annotated[str | None, typer.Option(metavar="NAME", help="Only this input topic.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition.")] = None,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep all users, and only go forward in the log.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Begin anew from another place in the log, while no worker runs; tells what it does, and asks.

    Every user of the partitions is dropped, and consumers are told so. With --keep-state only the position moves.
    """
    from segstream.adapters.kafka.places import Place
    from segstream.adapters.reset_plans import Wish
    from segstream.settings import load_settings

    place = Place(to)
    if (place.time or 0) < 0:
        place = Place("1970-01-01")  # Kafka's times begin there
    wish = Wish(place, topic, partition, keep_state)
    if (wish.to.time or 0) > time.time_ns() // 1_000_000:
        raise UsageError(
            f"--to: {to!r} is still to come; `--to latest` goes on with what arrives from now on"
        )
    settings = load_settings()
    if not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on; --yes says that the consequences are known")
    plan, done = run(_run(settings, wish, None if yes else _ask))
    if done is None:
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(1)
    if json:
        typer.echo(json_module.dumps(document(wish, plan, done), indent=2))
        return
    for part in done:
        dropped = "" if keep_state else f"{part.users:,} users dropped, "
        typer.echo(f"partition {part.number}: {dropped}incarnation {part.incarnation}")


async def _run(
    settings: Settings, wish: Wish, ask: Callable[[], bool] | None
) -> tuple[Plan, list[Done] | None]:
    """Return the plan, and what was done; None if the answer was no."""
    from segstream.adapters.connections import redis_settings
    from segstream.adapters.redis.connection import connect
    from segstream.adapters.reset_plans import Planner
    from segstream.adapters.resets import Resets

    client = connect(redis_settings(settings))
    try:
        plan = await Planner(settings, client).plan(wish)
        for line in consequences(settings, wish, plan):
            typer.echo(line, err=True)
        if ask is not None and not ask():
            return plan, None
        return plan, await Resets(settings, client).carry_out(wish, plan, _report)
    finally:
        await client.aclose()


def _ask() -> bool:
    return confirmed("Go on?")


def _report(number: int, users: int) -> None:
    typer.echo(f"partition {number}: {users:,} users dropped so far", err=True)


def consequences(settings: Settings, wish: Wish, plan: Plan) -> list[str]:
    """Say in plain words what a reset is going to do.

    Parameters
    ----------
    settings : Settings
    wish : Wish
    plan : Plan
    """
    lines = [_part_line(number, users, incarnation) for number, users, incarnation, *_ in plan.parts]
    for place, part in reversed(list(enumerate(plan.parts))):
        lines[place + 1 : place + 1] = [
            f"  {topic}: from {_position(before, log)} to offset {log.place:,}; "
            f"the log holds {log.end - log.beginning:,} offsets, {log.beginning:,} to {log.end:,}"
            for topic, (before, log) in part.moves.items()
        ]
    users = sum(part.users for part in plan.parts)
    incarnation = max((part.incarnation for part in plan.parts), default=0)
    own = [part for part in plan.parts if part.unfinished]
    told = ["What follows:"]
    if own:
        told.append(
            f"- a reset of {_count(len(own), 'partition')} was begun and not finished; this finishes it"
        )
    if plan.made_with != plan.partitions:
        told.append(
            f"- the state was made with {plan.made_with} partitions, the topics have {plan.partitions}: all partitions "
            "begin anew, since users move between them"
        )
    told += _kept(plan) if wish.keep_state else _dropped(settings, plan, users)
    told.append(
        f"- a new incarnation begins, {incarnation + (1 if wish.keep_state else 2)} or later; consumers replace what "
        "they hold of a user at its first record of it"
    )
    return lines + told


def _part_line(number: int, users: int, incarnation: int) -> str:
    state = f"{_count(users, 'user')}, incarnation {incarnation}" if incarnation else "no state"
    return f"partition {number}: {state}"


def _position(before: int | None, log: Log) -> str:
    if before is not None:
        return f"offset {before:,}"
    return "no position" + (f" (the group was at {log.committed:,})" if log.committed is not None else "")


def _kept(plan: Plan) -> list[str]:
    told = []
    for part in plan.parts:
        for topic, move in part.moves.items():
            before, log = move
            where = f"{topic}-{part.number}"
            if move.beyond:
                told.append(
                    f"- {where} ends at offset {log.end:,}, before the position {before:,}: if it was created anew, its "
                    f"events count from offset {log.place:,} on; if it was only cut off, those up to its end count "
                    "twice unless you go to the latest"
                )
            elif before is not None and before < log.place:
                lost = min(max(log.beginning - before, 0), log.place - before)
                told.append(
                    f"- {log.place - before:,} offsets of {where} are left out for good"
                    + (f", {lost:,} of which the log does not hold any more" if lost else "")
                )
    users = sum(part.users for part in plan.parts)
    told.append(f"- all {_count(users, 'user')} keep features and segments, and each answer is restated")
    return told


def _dropped(settings: Settings, plan: Plan, users: int) -> list[str]:
    again = sum(move.log.end - move.log.place for part in plan.parts for move in part.moves.values())
    where = f"{_count(users, 'user')} of {_count(len(plan.parts), 'partition')}"
    topics = f"a record `restated` in {settings.topic_changes}, a tombstone in {settings.topic_memberships}"
    return [
        f"- forgotten: {where}, with features, segments and timers; and users that only the compacted topic still knows",
        f"- each of them is told to be in no segment: {topics}, out of the answers and member lists in Redis",
        f"- {again:,} offsets are read from there on; what the logs do not hold any more stays forgotten",
        "- users in these events enter their segments again, with the times of the events",
    ]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def document(wish: Wish, plan: Plan, done: list[Done]) -> dict[str, Any]:
    """Return what was done as JSON has it."""
    begun = {part.number: part for part in done}
    return {
        "kept_state": wish.keep_state,
        "partitions": [
            {
                "partition": part.number,
                "users_dropped": begun[part.number].users,
                "incarnation": begun[part.number].incarnation,
                "offsets": {
                    topic: {
                        "from": move.before,
                        "to": begun[part.number].positions[topic],
                        "log_begins": move.log.beginning,
                        "log_ends": move.log.end,
                    }
                    for topic, move in part.moves.items()
                },
            }
            for part in plan.parts
        ],
    }
