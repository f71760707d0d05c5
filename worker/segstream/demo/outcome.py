"""What came out, as the worker has it: counted in Redis and on the topics, not in the file that went in."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.adapters.redis.progress import Progress, Standing
    from segstream.core.definitions import Definitions
    from segstream.demo.listen import Listener


@dataclass(frozen=True, slots=True)
class Row:
    """One segment.

    Parameters
    ----------
    name : str
    kind : {"rule", "discovered"}
    group : str or None
    label : str
        Its name for people; of a discovered one what its centroid says.
    size, entries, exits : int
        Users in it now, and how many entered and left on the way.
    """

    name: str
    kind: Literal["rule", "discovered"]
    group: str | None
    label: str
    size: int
    entries: int
    exits: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a demo.

    Parameters
    ----------
    events : int
        Records applied.
    users : int
    revenue : float or None
        Sum over all users of the exposed feature that adds up ``properties.revenue`` without a window; None where
        the definitions have none.
    changes, dead_letters : int
        Records published.
    missed : int
        Changes among them that the demo did not get to read; 0 unless the machine was too slow.
    seconds : float
        From the start of the first server.
    rows : tuple of Row
    """

    events: int
    users: int
    revenue: float | None
    changes: int
    dead_letters: int
    missed: int
    seconds: float
    rows: tuple[Row, ...]

    def document(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "events": self.events,
            "users": self.users,
            "revenue": self.revenue,
            "changes": self.changes,
            "dead_letters": self.dead_letters,
            "seconds": round(self.seconds, 1),
            "segments": {row.name: row.size for row in self.rows if row.kind == "rule"},
            "discovered": {row.name: row.size for row in self.rows if row.kind == "discovered"},
        }


def collect(
    definitions: Definitions,
    progress: Progress,
    listener: Listener,
    standings: Sequence[Standing],
    seconds: float,
) -> Outcome:
    """Count everything.

    Parameters
    ----------
    definitions : Definitions
        Those in force.
    progress : Progress
    listener : Listener
        Has read all there is.
    standings : sequence of Standing
        Of all partitions; each has applied one control record.
    seconds : float
        How long it took.
    """
    labels = _clusters(definitions, progress, standings)
    rules = {segment.name: segment for segment in definitions.segments}
    sizes = progress.sizes([*rules, *labels])
    rows = [
        Row(name, "rule", rule.group, rule.label, sizes[name], listener.entries[name], listener.exits[name])
        for name, rule in rules.items()
    ] + [
        Row(
            name,
            "discovered",
            name.partition(".")[0],
            label,
            sizes[name],
            listener.entries[name],
            listener.exits[name],
        )
        for name, label in labels.items()
    ]
    return Outcome(
        events=sum(here.applied for here in standings) - listener.dead_letters,
        users=sum(here.users for here in standings),
        revenue=_revenue(definitions, progress),
        changes=listener.changes + listener.gaps,
        dead_letters=listener.dead_letters,
        missed=listener.gaps,
        seconds=seconds,
        rows=tuple(rows),
    )


def _clusters(definitions: Definitions, progress: Progress, standings: Sequence[Standing]) -> dict[str, str]:
    """Return the discovered segments of the snapshots in force, each with what its centroid says."""
    labels: dict[str, str] = {}
    for model in definitions.discovered:
        number = max((here.models.get(model.name, 0) for here in standings), default=0)
        snapshot = progress.snapshot(model.name, number) if number else None
        if snapshot is not None:
            labels |= {f"{model.name}.{cluster}": snapshot.describe(cluster) for cluster in snapshot.ids}
    return labels


def _revenue(definitions: Definitions, progress: Progress) -> float | None:
    for name, feature in definitions.document.features.items():
        if (feature.op, feature.of, feature.window, feature.expose) == (
            "sum",
            "properties.revenue",
            None,
            True,
        ):
            field = f"f:{name}"
            told = (answer[field] for answer in progress.answers([field]))
            return float(
                sum((Decimal(value.decode()) for value in told if value and value != b"null"), Decimal())
            )
    return None
