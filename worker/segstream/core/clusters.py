"""A discovered segmentation as it serves: the numbers of one trained version, and which cluster is nearest.

Nothing learns here, and nothing here needs River or numpy: `math.dist` over tuples takes 2 us for 6 clusters of
3 features (numpy 6), 5 us for 16 of 8 (numpy 6) and 22 us for the most there can be, 64 of 16 (numpy 14).

Examples
--------
>>> snapshot = Snapshot(
...     name="behaviour",
...     number=1,
...     features=("orders",),
...     transforms=("linear",),
...     means=(2.0,),
...     scales=(1.0,),
...     centers=((-1.0,), (3.0,)),
...     ids=("c0", "c1"),
... )
>>> snapshot.assign([1]), snapshot.assign([9]), snapshot.assign([None])
('c0', 'c1', 'c0')
>>> snapshot.describe("c1"), snapshot.centroid("c1")
('orders very high', {'orders': 5.0})
>>> Snapshot.from_json(snapshot.to_json()) == snapshot
True
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from segstream.core.scaling import INVERSES, LIMIT, TRANSFORMS, bend

NOTABLE: Final = 0.25
"""Nearer to the mean than a quarter of a standard deviation is average: nobody would call it high or low."""
VERY: Final = 1.5
"""From here on it is *very* high: beyond it lies 1 in 15 on either side of a normal distribution."""

_PLAIN: Final = (int, float)
_Column = tuple[int, Callable[[float], float], float, float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a discovered segmentation.

    Parameters
    ----------
    name : str
        The segmentation; a segment is called ``<name>.<id>``.
    number : int
        Version, counted from 1.
    features : tuple of str
        Texts of the inputs, in the order `assign` takes their values.
    transforms : tuple of str
        Per feature one of `segstream.core.scaling.TRANSFORMS`, applied before scaling.
    means, scales : tuple of float
        Per feature, after the transform. Scale 0 means that the feature never varied: it is ignored.
    centers : tuple of tuple of float
        One per cluster, in scaled space: (transformed - mean) / scale.
    ids : tuple of str
        One per cluster, such as ``c0``; an id is never used again for anything else.
    content_hash : str
        SHA-256 over all that decides an answer (everything but `number`). Left out, it is computed.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, or the hash is another.
    """

    name: str
    number: int
    features: tuple[str, ...]
    transforms: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    centers: tuple[tuple[float, ...], ...]
    ids: tuple[str, ...]
    content_hash: str = ""
    _columns: tuple[_Column, ...] = field(init=False, repr=False, compare=False)
    _points: tuple[tuple[float, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check everything once, so that `assign` need not."""
        _check(self)
        digest = _digest(self)
        if self.content_hash not in ("", digest):
            message = f"snapshot {self.name} {self.number}: the content hash is not that of its numbers"
            raise ValueError(message)
        active = [column for column, scale in enumerate(self.scales) if scale > 0]
        columns = tuple((c, TRANSFORMS[self.transforms[c]], self.means[c], self.scales[c]) for c in active)
        points = tuple(tuple(center[c] for c in active) for center in self.centers)
        object.__setattr__(self, "content_hash", digest)
        object.__setattr__(self, "_columns", columns)
        object.__setattr__(self, "_points", points)

    def assign(self, values: Sequence[float | None]) -> str:
        """Return the id of the nearest centre; of two equally near the one listed first.

        Parameters
        ----------
        values : sequence of float or None
            One per feature, as the features hold them. An unknown one counts as the mean.
        """
        point = []
        for column, transform, mean, scale in self._columns:
            value = values[column]
            # The usual case first, without a call: this loop runs once per user and decision.
            if type(value) in _PLAIN and -LIMIT <= value <= LIMIT:  # type: ignore[operator]  # a number
                point.append((transform(value) - mean) / scale)  # type: ignore[arg-type]  # the same
            else:
                bent = bend(value, transform)
                point.append(0.0 if bent is None else (bent - mean) / scale)
        dist = math.dist
        distances = [dist(point, center) for center in self._points]
        return self.ids[distances.index(min(distances))]

    def centroid(self, cluster: str) -> dict[str, float]:
        """Return a cluster's centre in the units of its features (durations in milliseconds).

        Under a log transform this is a kind of geometric mean, so lower than the plain average.

        Raises
        ------
        ValueError
            If there is no such cluster.
        """
        center = self._center(cluster)
        return {
            feature: INVERSES[transform](z * scale + mean)
            for feature, transform, mean, scale, z in zip(
                self.features, self.transforms, self.means, self.scales, center, strict=True
            )
        }

    def describe(self, cluster: str) -> str:
        """Return a short label: the one or two features in which a cluster differs most from the average.

        Raises
        ------
        ValueError
            If there is no such cluster.
        """
        center = self._center(cluster)
        columns = zip(center, self.features, self.scales, strict=True)
        ranked = sorted((-abs(z), column) for column, (z, _, scale) in enumerate(columns) if scale > 0)
        notable = [(center[column], self.features[column]) for z, column in ranked[:2] if -z >= NOTABLE]
        if not notable:
            return "average"
        return ", ".join(
            f"{feature} {'very ' if abs(z) >= VERY else ''}{'high' if z > 0 else 'low'}"
            for z, feature in notable
        )

    def _center(self, cluster: str) -> tuple[float, ...]:
        if cluster not in self.ids:
            message = f"{self.name} {self.number} has no cluster {cluster}; it has {', '.join(self.ids)}"
            raise ValueError(message)
        return self.centers[self.ids.index(cluster)]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and texts for `json.dumps`."""
        return {**_decisive(self), "number": self.number, "content_hash": self.content_hash}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; unknown fields are left aside.

        Raises
        ------
        ValueError
            If something is missing or of a wrong shape, a number is not finite, or the hash does not fit.
        """
        try:
            return cls(
                name=saved["name"],
                number=saved["number"],
                features=tuple(saved["features"]),
                transforms=tuple(saved["transforms"]),
                means=_floats(saved["means"]),
                scales=_floats(saved["scales"]),
                centers=tuple(_floats(center) for center in saved["centers"]),
                ids=tuple(saved["ids"]),
                content_hash=saved["content_hash"] or "missing",
            )
        except (KeyError, TypeError, OverflowError) as error:
            message = f"not a snapshot: {type(error).__name__}: {error}"
            raise ValueError(message) from error


def _floats(numbers: Sequence[float]) -> tuple[float, ...]:
    if any(isinstance(number, str) for number in numbers):
        message = "a number is a text"
        raise TypeError(message)
    return tuple(float(number) for number in numbers)


def _decisive(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "name": snapshot.name,
        "features": list(snapshot.features),
        "transforms": list(snapshot.transforms),
        "means": list(snapshot.means),
        "scales": list(snapshot.scales),
        "centers": [list(center) for center in snapshot.centers],
        "ids": list(snapshot.ids),
    }


def _digest(snapshot: Snapshot) -> str:
    text = json.dumps(_decisive(snapshot), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check(snapshot: Snapshot) -> None:
    width = len(snapshot.features)
    rows = (snapshot.means, snapshot.scales, *snapshot.centers)
    texts = (snapshot.name, *snapshot.features, *snapshot.ids)
    number = snapshot.number
    faults = {
        "the number is not an integer from 1": type(number) is not int or number < 1,
        "a name is not a text": not all(isinstance(text, str) for text in texts),
        "it has no features": not width,
        "it has no clusters": not snapshot.centers,
        "rows differ in length": any(len(row) != width for row in (*rows, snapshot.transforms)),
        "clusters and ids differ in number": len(snapshot.ids) != len(snapshot.centers),
        "an id occurs twice": len(set(snapshot.ids)) != len(snapshot.ids),
        "a transform is unknown": any(transform not in TRANSFORMS for transform in snapshot.transforms),
        "a number is not finite": not all(math.isfinite(value) for row in rows for value in row),
        "a scale is negative": any(scale < 0 for scale in snapshot.scales),
    }
    for fault, found in faults.items():
        if found:
            message = f"snapshot {snapshot.name} {number}: {fault}"
            raise ValueError(message)
