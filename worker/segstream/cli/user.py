"""``segstream user``."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json, user_id
from segstream.cli.running import run
from segstream.errors import SegstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segstream.dossier import Dossier


def user(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="The user, as in the events; behind -- if it begins with -.")
    ],
    *,
    json: Json = False,
) -> None:
    """Show all that is known of a user: the segments that others see, and the private state behind them."""
    import time

    from segstream.dossier import gather
    from segstream.settings import load_settings

    settings = load_settings()
    found = run(gather(settings, user_id(name)))
    if not found.known:
        raise SegstreamError(
            f"nothing is known of user {name!r} (partition {found.partition} of {found.partitions}): no event of theirs "
            "was applied; ids count as they are written, and who has no userId is anon:<anonymousId>"
        )
    now = None if settings.clock == "event" else time.time_ns() // 1_000_000
    if json:
        typer.echo(json_module.dumps(found.document(now), indent=2, ensure_ascii=False))
    else:
        _show(found, now)


def _show(found: Dossier, now: int | None) -> None:
    from segstream.cli.tables import print_table, visible

    told = found.document(now)
    answer, state = told["answer"], told["state"]
    typer.echo(visible(f"user {found.user}, partition {found.partition} of {found.partitions}"))
    if answer is None:
        typer.echo("\nno public answer: in no segment, or the read model has lost it")
    else:
        typer.echo(f"\nsegments, as others see them (change {answer['sequence']}, as of {answer['as_of']})")
        rows = []
        for name, stay in answer["segments"].items():
            info = found.catalog.segments.get(name)
            label = (
                "" if info is None else " ".join(filter(None, (info.label, info.group and f"({info.group})")))
            )
            rows.append((f"  {name}", stay["since"], stay["expires_at"] or "", label))
        print_table(
            ("  segment", "since", "until, if nothing happens", ""), rows or [("  none", "", "", "")], fold=3
        )
    if state is None:
        typer.echo("\nno private state: was it removed from Redis, or is SEGSTREAM_REDIS_PREFIX another?")
        return
    typer.echo(f"\nfeatures, as of {state['as_of']}")
    exposed = (
        {feature.name for feature in found.definitions.features if feature.expose}
        if found.definitions
        else set()
    )
    values = [
        (
            f"  {name}",
            "unknown" if value is None else _written(value),
            ", ".join(_notes(name, exposed, state["features_since"])),
        )
        for name, value in state["features"].items()
    ]
    print_table(("  feature", "value", ""), values)
    typer.echo("\nstate")
    print_table(("", ""), _facts(told))


def _notes(name: str, exposed: set[str], since: dict[str, Any]) -> Iterator[str]:
    if name in exposed:
        yield "exposed"
    if name in since:
        when = since[name]["effective_at"]
        yield f"since version {since[name]['version']}{f', {when}' if when else ''}"


def _facts(told: dict[str, Any]) -> list[tuple[str, str]]:
    state, basis = told["state"], told["state"]["basis"]
    facts = [
        ("incarnation, last change", f"{state['incarnation']}, {state['sequence']}"),
        ("decided last", str(state["decided_at"])),
        ("may change next", state["next_due"] or "only by an event"),
        ("message ids remembered", str(state["recent_messages"])),
    ]
    if basis is None:
        facts.append(("rests on", "versions that are not known any more"))
    else:
        models = "".join(f", {name} version {number}" for name, number in basis["model_version"].items())
        facts.append(
            (
                "rests on",
                f"definitions version {basis['definitions_version']}{models} (basis {basis['number']})",
            )
        )
    answer = told["answer"]
    if answer is not None and (answer["incarnation"], answer["sequence"]) != (
        state["incarnation"],
        state["sequence"],
    ):
        facts.append(("others see", f"change {answer['sequence']} still: the answer trails the state"))
    return [(f"  {name}", value) for name, value in facts]


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
