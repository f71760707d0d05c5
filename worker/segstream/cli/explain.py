"""``segstream explain``."""

from __future__ import annotations

import json as json_module
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstream.cli.arguments import Json, moment, user_id
from segstream.errors import SegstreamError

if TYPE_CHECKING:
    from segstream.core.explanations import Explainer
    from segstream.explaining import Evidence


def explain(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user, as in the events.")],
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
            help="As of then, if no event comes; not before the last decision. Now if left out.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Tell why a user is or is not in a segment, until when, and what would change it. Reads Redis only."""
    import asyncio
    import time

    from segstream.cli.explained import show, show_all
    from segstream.explaining import collect
    from segstream.settings import load_settings

    wanted = None if at is None else moment(at, "--at")
    settings = load_settings()
    evidence = asyncio.run(collect(settings, user_id(user)))
    if wanted is None:
        now = None if settings.clock == "event" else time.time_ns() // 1_000_000
        wanted = evidence.dossier.moment(now)
    explainer = evidence.at(wanted)
    kind, name = ("all", "") if segment is None else _found(explainer, segment)
    if not json:
        if segment is None:
            show_all(evidence, explainer)
        else:
            show(evidence, explainer, kind, name, segment)
        return
    told = _head(evidence, explainer)
    if segment is None:
        told["segments"] = [explainer.rule(each).line() for each in explainer.rules()]
        told["segments"] += [_model_line(explainer, each) for each in explainer.models()]
    elif kind == "rule":
        told |= explainer.rule(name).document() | {"stored_member": name in evidence.user.held}
    else:
        told |= {"segment": segment} | explainer.model(name).document()
        told["member"] = told["held"] == segment if segment != name else told["held"] is not None
    typer.echo(json_module.dumps(told, indent=2, ensure_ascii=False))


def _found(explainer: Explainer, segment: str) -> tuple[str, str]:
    """Return what a name stands for: ``rule`` or ``model``, and its name."""
    models = explainer.models()
    if segment in explainer.rules():
        return "rule", segment
    if segment in models:
        return "model", segment
    held = [f"{model}.{cluster}" for model, (cluster, _) in explainer.user.assigned.items()]
    clusters = [each for model in models for each in explainer.clusters(model)]
    model = segment.partition(".")[0]
    if segment in {*clusters, *held} and model in models:
        return "model", model
    known = [*explainer.rules(), *models, *clusters]
    near = get_close_matches(segment.lower(), known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    version = explainer.decider.basis.definitions
    raise SegstreamError(f"definitions version {version} has no segment {segment!r}; {hint}")


def _head(evidence: Evidence, explainer: Explainer) -> dict[str, Any]:
    from segstream.core.time import format_time

    basis = explainer.decider.basis
    return {
        "user_id": evidence.user.name,
        "partition": evidence.dossier.partition,
        "as_of": format_time(explainer.at),
        "decided_at": format_time(evidence.user.decided_at),
        "definitions_version": basis.definitions,
        "model_version": basis.models,
    }


def _model_line(explainer: Explainer, name: str) -> dict[str, Any]:
    told = explainer.model(name).document()
    return {
        "segment": told["held"] or name,
        "label": None if told["held"] is None else _label(told),
        "kind": "discovered",
        "group": name,
        "member": told["held"] is not None,
        "since": told["since"],
        "until": None,
        "then": None,
        "because": told["because"],
    }


def _label(told: dict[str, Any]) -> str | None:
    return next((each["label"] for each in told["centres"] if each["segment"] == told["held"]), None)
