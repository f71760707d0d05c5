"""``segstream demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstream.cli.arguments import Broker, Kafka, moment, read


def demo(
    *,
    definitions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, readable=True, help="Other definitions."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Other events: one JSON object per line; of a source, as topic and value.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Where time ends; later events are left out. By default 1998-06-30, or the last event.",
        ),
    ] = None,
    kafka: Kafka = Broker.EMBEDDED,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of changes and a table.")
    ] = False,
) -> None:
    """Replay 18 months of real purchases through a worker, with a Kafka and a Redis of its own."""
    from importlib import resources

    from segstream.core.definitions import read_definitions
    from segstream.demo.interrupts import Interrupted
    from segstream.demo.play import Programme, play
    from segstream.demo.purchases import END, load_events, load_purchases
    from segstream.demo.show import Screen

    if definitions is None:
        name, text = (
            "the demo's definitions",
            resources.files("segstream.demo").joinpath("definitions.yaml").read_text("utf-8"),
        )
    else:
        name, text = str(definitions), read(definitions)
    understood = read_definitions(text, name)
    end = moment(until, "--until") if until is not None else None
    entries = load_purchases() if events is None else load_events(events, understood.mappings)
    if end is not None:
        entries = [entry for entry in entries if entry.at <= end]
    else:
        end = END if events is None else max(entry.at for entry in entries)
    programme = Programme(entries, end, text, understood, kafka.value, keep)
    try:
        with Screen(len(entries), understood, json=json) as screen:
            play(programme, screen)
    except Interrupted as interrupted:
        raise typer.Exit(interrupted.exit_code) from None
