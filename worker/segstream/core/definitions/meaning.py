"""Hashes of what definitions mean, not of how they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from segstream.core.definitions.model import Discovered, Feature, Group, Segment, Selector
from segstream.core.expressions import Filter
from segstream.core.features import FeatureSpec, default_resolution
from segstream.core.features.identity import plain
from segstream.core.sources.paths import without_space
from segstream.core.time import DAY
from segstream.core.types import Scalar
from segstream_schemas.definitions import PATHS, SourceDefinition


def fingerprint(
    selector: Selector, path: tuple[str, ...] | None, spec: FeatureSpec, where: Filter | None = None
) -> str:
    """Hash what a feature keeps: events, filter, path, operation and options, defaults filled in."""
    resolution = spec.resolution
    if spec.window is not None and resolution is None:
        resolution = default_resolution(spec.window)
    return _hash(
        {
            "types": _sorted(selector.types),
            "names": _sorted(selector.names),
            "topics": _sorted(selector.topics),
            "path": path,
            "op": spec.op,
            "window": spec.window,
            "resolution": resolution,
            "half_life": spec.half_life,
            "per": spec.per or (DAY if spec.op == "rate" else None),
            "kind": spec.kind.value if spec.kind else None,
            # Only where they are: what was written before there were filters and shares keeps its meaning.
            **({"where": where.text} if where else {}),
            **({"equals": _written(spec.equals)} if spec.equals else {}),
        }
    )


def meaning_of(
    features: Iterable[Feature],
    descriptions: dict[str, str],
    segments: Iterable[Segment],
    groups: Iterable[Group],
    discovered: Iterable[Discovered],
    sources: Mapping[str, SourceDefinition],
) -> dict[str, dict[str, Any]]:
    """Return a whole file's meaning by section and name; labels and descriptions belong to it, since others read them.

    Parameters
    ----------
    features, segments, groups, discovered
        As in `Definitions`.
    descriptions : dict
        Feature -> its description.
    sources : mapping
        As written.
    """
    return {
        # Only where they are: what was written before there were sources keeps its meaning.
        **({"sources": {name: _source(name, item) for name, item in sources.items()}} if sources else {}),
        "features": {item.name: [item.fingerprint, item.expose] for item in features},
        "descriptions": descriptions,
        "segments": {
            item.name: {
                "when": item.when.text,
                "leave_when": item.leave_when.text if item.leave_when else None,
                "min_dwell": item.min_dwell,
                **({"cooldown": item.cooldown} if item.cooldown else {}),
                **({"confirm_for": item.confirm_for} if item.confirm_for else {}),
                "label": item.label,
                "description": item.description,
                "owner": item.owner,
                "tags": item.tags,
                **({"renamed_from": item.renamed_from} if item.renamed_from else {}),
            }
            for item in segments
        },
        "groups": {item.name: item.segments for item in groups},
        "discovered": {
            item.name: [item.model, item.clusters, [number.text for number in item.inputs]]
            for item in discovered
        },
    }


def content_hash(meaning: dict[str, dict[str, Any]]) -> str:
    """Hash what `meaning_of` returned."""
    return _hash(meaning)


def _source(name: str, item: SourceDefinition) -> dict[str, Any]:
    """Return a source as it means the same however its paths are spaced."""
    told = item.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for key, value in told.items():
        if key in PATHS:
            told[key] = without_space(value)
        elif isinstance(value, dict):
            told[key] = {field: without_space(path) for field, path in value.items()}
    return {**told, "topic": item.topic or name}


def _hash(meaning: dict[str, Any]) -> str:
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _written(values: tuple[Scalar, ...]) -> list[str]:
    """Return values in one order and spelling; 3 and 3.0 are the same."""
    return sorted({json.dumps(plain(it) if isinstance(it, float) else it) for it in values})


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
