"""The catalog of segments that readers of Redis find: names, labels, descriptions, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from segstream.core.definitions import Definitions

CATALOG_SCHEMA = 1


def catalog_of(definitions: Definitions, partitions: int) -> dict[str, str]:
    """Return the fields of ``segments:catalog``.

    Parameters
    ----------
    definitions : Definitions
    partitions : int
        N: a segment's members are in the lists of partition numbers 0 to N - 1.
    """
    groups = {name: group.name for group in definitions.groups for name in group.segments}
    fields = {"schema_version": str(CATALOG_SCHEMA), "partitions": str(partitions)}
    for segment in definitions.segments:
        described: dict[str, object] = {
            "label": segment.label,
            "description": segment.description,
            "group": groups.get(segment.name),
            "kind": "rule",
            "when": segment.when.source,
        }
        fields[f"segment:{segment.name}"] = orjson.dumps(described).decode()
    for model in definitions.discovered:
        described = {
            "kind": "discovered",
            "clusters": model.clusters,
            "inputs": [item.text for item in model.inputs],
        }
        fields[f"discovered:{model.name}"] = orjson.dumps(described).decode()
    return fields
