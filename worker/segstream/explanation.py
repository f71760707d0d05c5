"""An explanation as JSON has it: for ``segstream explain --json`` and for the web."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from segstream.core.time import format_time
from segstream.errors import SegstreamError

if TYPE_CHECKING:
    from segstream.core.explanations import Explainer
    from segstream.explaining import Evidence


def explanation(evidence: Evidence, explainer: Explainer, segment: str | None) -> dict[str, Any]:
    """Return why a user is or is not in a segment, until when, and what would change it.

    Parameters
    ----------
    evidence : Evidence
        What is known of the user.
    explainer : Explainer
        From ``evidence.at``: as of its moment.
    segment : str or None
        A segment, or a discovered segmentation; None for a line on each.

    Raises
    ------
    SegstreamError
        If there is no such segment.
    """
    told = _head(evidence, explainer)
    if segment is None:
        told["segments"] = [explainer.rule(each).line() for each in explainer.rules()]
        told["segments"] += [_model_line(explainer, each) for each in explainer.models()]
        return told
    kind, name = meant(explainer, segment)
    if kind == "rule":
        return told | explainer.rule(name).document() | {"stored_member": name in evidence.user.held}
    told |= {"segment": segment} | explainer.model(name).document()
    told["member"] = told["held"] == segment if segment != name else told["held"] is not None
    return told


def meant(explainer: Explainer, segment: str) -> tuple[str, str]:
    """Return what a name stands for: ``rule`` or ``model``, and its name.

    Parameters
    ----------
    explainer : Explainer
    segment : str
        A segment, or a discovered segmentation.

    Raises
    ------
    SegstreamError
        If there is none of that name; with the nearest one.
    """
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
