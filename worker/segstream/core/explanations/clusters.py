"""Which centre of a discovered segmentation is nearest to a user, and how far away all of them are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from segstream.core.changes import shown
from segstream.core.explanations.conditions import moment
from segstream.core.scaling import TRANSFORMS, bend
from segstream.core.time import DAY, HOUR, MINUTE, SECOND
from segstream.core.types import ValueKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.clusters import Snapshot
    from segstream.core.definitions import Discovered
    from segstream.core.types import State, Value
    from segstream.core.user import User

_DIGITS: Final = 4
"""Of distances and centres: nobody tells a customer from another by the fifth digit."""


class Centre(NamedTuple):
    """A cluster as seen from a user.

    Parameters
    ----------
    segment : str
        ``<model>.<cluster>``.
    label : str
        What sets the cluster apart.
    distance : float
        Euclidean, in standard deviations of the transformed features.
    values : dict of str to Value
        The centre in the units of the features, as people read them.
    """

    segment: str
    label: str
    distance: float
    values: dict[str, Value]


class Nearest(NamedTuple):
    """Where a user stands among the clusters of a model.

    Parameters
    ----------
    model : str
        The segmentation's name.
    version : int or None
        Number of the snapshot that serves; None while none does, or it is not kept any more.
    values : dict of str to Value
        What the user is measured by, as people read it; an unknown value counts as the average.
    centres : tuple of Centre
        Nearest first.
    held : str or None
        The segment that the user is in, as of its last decision.
    since : int or None
        Since when, ms.
    """

    model: str
    version: int | None
    values: dict[str, Value]
    centres: tuple[Centre, ...]
    held: str | None
    since: int | None

    def because(self) -> str:
        """Say in a sentence why the user is where it is."""
        if self.version is None and self.held is not None:
            return (
                f"the version of {self.model} that found it is not kept any more; it stays until the next one"
            )
        if self.version is None:
            return f"no version of {self.model} serves yet"
        nearest = self.centres[0].segment
        if self.held is None:
            return f"{nearest} is nearest; the next decision enters it"
        if self.held == nearest:
            return "its centre is the nearest"
        return (
            f"its centre was the nearest at the last decision; by now {nearest} is nearer, for the next one"
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "kind": "discovered",
            "model": self.model,
            "model_version": self.version,
            "held": self.held,
            "since": moment(self.since),
            "because": {"code": self._code(), "text": self.because()},
            "values": self.values,
            "centres": [
                {**centre._asdict(), "distance": round(centre.distance, _DIGITS)} for centre in self.centres
            ],
        }

    def _code(self) -> str:
        if self.version is None:
            return "untrained" if self.held is None else "not_kept"
        return "nearest" if self.held == self.centres[0].segment else "nearer_by_now"


def distances(snapshot: Snapshot, values: Sequence[float | None]) -> dict[str, float]:
    """Return how far each centre is, by the rule of `Snapshot.assign`, in its order.

    Parameters
    ----------
    snapshot : Snapshot
        The centres.
    values : sequence of float or None
        One per feature, as the features hold them.

    Examples
    --------
    >>> from segstream.core.clusters import Snapshot
    >>> two = Snapshot(
    ...     "behaviour", 1, ("orders",), ("linear",), (2.0,), (1.0,), ((-1.0,), (3.0,)), ("c0", "c1")
    ... )
    >>> distances(two, [1])
    {'c0': 0.0, 'c1': 4.0}
    """
    columns = [column for column, scale in enumerate(snapshot.scales) if scale > 0]
    point = []
    for column in columns:
        bent = bend(values[column], TRANSFORMS[snapshot.transforms[column]])
        away = 0.0 if bent is None else (bent - snapshot.means[column]) / snapshot.scales[column]
        point.append(away)
    return {
        name: math.dist(point, [center[column] for column in columns])
        for name, center in zip(snapshot.ids, snapshot.centers, strict=True)
    }


def nearest(
    user: User, model: Discovered, snapshot: Snapshot | None, states: Sequence[State], at: int
) -> Nearest:
    """Measure how far a user is from each centre.

    Parameters
    ----------
    user : User
        Says which segment is held.
    model : Discovered
        The segmentation.
    snapshot : Snapshot or None
        The version that serves.
    states : sequence of State
        The user's feature states.
    at : int
        The moment in ms.
    """
    values = [item.read(states, at) for item in model.inputs]
    told = {item.text: shown(value, item.kind) for item, value in zip(model.inputs, values, strict=True)}
    cluster, since = user.assigned.get(model.name, (None, None))
    held = None if cluster is None else f"{model.name}.{cluster}"
    if snapshot is None:
        return Nearest(model.name, None, told, (), held, since)
    kinds = {item.text: item.kind for item in model.inputs}
    centres = [
        Centre(
            f"{model.name}.{name}",
            snapshot.describe(name),
            distance,
            {text: _rounded(value, kinds[text]) for text, value in snapshot.centroid(name).items()},
        )
        for name, distance in distances(snapshot, values).items()
    ]
    # Of two equally near the one listed first, as assigned: sorting keeps the order.
    return Nearest(
        model.name,
        snapshot.number,
        told,
        tuple(sorted(centres, key=lambda each: each.distance)),
        held,
        since,
    )


def _rounded(value: float, kind: ValueKind) -> Value:
    """Return a centre's value without what says nothing: a duration down to the second of its units."""
    if kind is not ValueKind.DURATION:
        return round(value, _DIGITS)
    finer = dict(pairwise((DAY, HOUR, MINUTE, SECOND, 1)))
    unit = next((small for large, small in finer.items() if abs(value) >= large), 1)
    return shown(int(value / unit) * unit, kind)
