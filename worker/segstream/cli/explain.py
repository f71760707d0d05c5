"""``segstream explain``."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from segstream.cli.arguments import Json, moment, user_id
from segstream.cli.running import run


def explain(
    user: Annotated[
        str, typer.Argument(metavar="USER", help="The user, as in the events; behind -- if it begins with -.")
    ],
    segment: Annotated[
        str | None,
        typer.Argument(
            metavar="SEGMENT",
            help="A segment, or a discovered segmentation; all in a line each if left out.",
        ),
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="As of then (UTC where no zone is given), if no event comes; not before the last decision. Now if left out.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Tell why a user is or is not in a segment, until when, and what would change it. Reads Redis only."""
    import time

    from segstream.cli.explained import show, show_all
    from segstream.explaining import collect
    from segstream.explanation import explanation, meant
    from segstream.settings import load_settings

    wanted = None if at is None else moment(at, "--at")
    settings = load_settings()
    evidence = run(collect(settings, user_id(user)))
    if wanted is None:
        now = None if settings.clock == "event" else time.time_ns() // 1_000_000
        wanted = evidence.dossier.moment(now)
    explainer = evidence.at(wanted)
    if json:
        told = explanation(evidence, explainer, segment)
        typer.echo(json_module.dumps(told, indent=2, ensure_ascii=False))
    elif segment is None:
        show_all(evidence, explainer)
    else:
        show(evidence, explainer, *meant(explainer, segment), segment)
