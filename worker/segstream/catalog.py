"""The catalog of segments that readers of Redis find: names, labels, descriptions, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segstream.core.clusters import Snapshot
    from segstream.core.definitions import Definitions

CATALOG_SCHEMA = 1


def catalog_of(
    definitions: Definitions, partitions: int, snapshots: Iterable[Snapshot] = ()
) -> dict[str, str]:
    """Return the fields of ``segments:catalog``, as ``segstream_schemas.Catalog`` reads them.

    Parameters
    ----------
    definitions : Definitions
    partitions : int
        N: a segment's members are in the lists of partition numbers 0 to N - 1.
    snapshots : iterable of Snapshot
        Those known of the models: a reader learns from them which discovered segments there are. Earlier ones
        count too, since users are in their segments until the sweep has passed.
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
            "leave_when": segment.leave_when.source if segment.leave_when else None,
            "owner": segment.owner,
            "tags": segment.tags,
        }
        fields[f"segment:{segment.name}"] = orjson.dumps(described).decode()
    for model in definitions.discovered:
        described = {
            "kind": "discovered",
            "clusters": model.clusters,
            "inputs": [item.text for item in model.inputs],
        }
        fields[f"discovered:{model.name}"] = orjson.dumps(described).decode()
    used = {model.name for model in definitions.discovered}
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.number):
        for cluster in snapshot.ids if snapshot.name in used else ():
            described = {
                "label": snapshot.describe(cluster),
                "description": "",
                "group": None,
                "kind": "discovered",
                "discovery": snapshot.name,
                "model_version": snapshot.number,
            }
            fields[f"segment:{snapshot.name}.{cluster}"] = orjson.dumps(described).decode()
    return fields
