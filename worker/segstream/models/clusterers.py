"""What learns centres from scaled samples. A new one is a class with these methods and a line in `CLUSTERERS`.

Every clusterer passes tests/unit/models/test_checks.py: it leaves its input alone, is deterministic,
bounded, and goes on exactly after being saved.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from river import cluster

from segstream.models.seeding import first_centers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.models.seeding import Point

SLOWEST_RATE: Final = 1 / 500
"""A centre is the mean of its samples until it has 500, then an exponential mean of about the last 500:
steady (a single sample moves it by 0.2 %), yet it follows customers who change."""
SPREAD_RATE: Final = 1 / 100
"""The usual distance is a mean over about the last 100 samples: forgotten before the next window ends."""
WINDOW: Final = 200
IDLE: Final = 10
"""Every 200 samples per cluster, a centre to which fewer than 10 of them went, a twentieth of its fair share, is
given up. Customers move on as a whole (on the first day everybody has just ordered for the first time), and would
leave centres behind where nobody is any more."""


class Clusterer(Protocol):
    """Learns at most `size` centres, one sample at a time, in bounded memory.

    Attributes
    ----------
    founded : int
        How many centres there have ever been.
    """

    founded: int

    def __init__(self, size: int, seed: int) -> None:
        """Begin with nothing learned. Equal seeds and samples give equal centres."""

    def start(self, points: Sequence[Point]) -> None:
        """Choose the first centres among scaled samples (at least one); they are then learned as well."""

    def learn(self, point: Point) -> None:
        """Learn one scaled sample."""

    def rescale(self, shifts: Sequence[float], factors: Sequence[float]) -> None:
        """Follow the scaler: what was z in a column is z * factor + shift from now on."""

    def centers(self) -> dict[int, Point]:
        """Return the centres by serial number, 0 and up; one given up is gone, and its number never comes again."""

    def to_json(self) -> dict[str, Any]:
        """Return all that was learned as plain numbers."""

    @classmethod
    def from_json(cls, size: int, seed: int, saved: Mapping[str, Any]) -> Self:
        """Go on from `to_json`."""


class _RunningKMeans(cluster.KMeans):
    """River's KMeans with a rate per cluster: 1 / its samples so far (MacQueen 1967), but at least `SLOWEST_RATE`.

    River moves every centre half of the way to each sample (`halflife`): a snapshot would then show
    where the last few users were.
    """

    def __init__(self, n_clusters: int, seed: int) -> None:
        super().__init__(n_clusters=n_clusters, seed=seed)
        # River's own centres are Gaussian draws, made when first looked at, so even by predict_one.
        self.centers: dict[int, defaultdict[int, float]] = {}
        self.sizes: dict[int, int] = {}

    def learn_predict_one(self, x: dict[int, float]) -> int:
        closest: int = self.predict_one(x)  # type: ignore[no-untyped-call]  # River's methods have no types
        size = self.sizes[closest] = self.sizes[closest] + 1
        rate = max(1 / size, SLOWEST_RATE)
        center = self.centers[closest]
        for i, xi in x.items():
            center[i] += rate * (xi - center[i])
        return closest


class KMeans:
    """Sequential k-means, begun from good centres of a first batch of samples (`first_centers`).

    While there are fewer centres than asked for, because samples were alike or a centre was given up, the next
    sample that is farther from all centres than is usual (in squared distance) founds one.

    Parameters
    ----------
    size : int
        How many clusters at most.
    seed : int
        For the choice of the first centres; nothing else is random.

    Examples
    --------
    >>> model = KMeans(2, seed=1)
    >>> model.start([(0.0,), (10.0,), (2.0,), (12.0,)])
    >>> sorted(model.centers().values())
    [(1.0,), (11.0,)]

    References
    ----------
    MacQueen, Some methods for classification and analysis of multivariate observations (1967).
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._model = _RunningKMeans(size, seed)
        self.founded = 0
        self._count = 0
        self._spread = 0.0
        self._recent: dict[int, int] = {}

    def start(self, points: Sequence[Point]) -> None:
        """Choose the first centres, then learn the samples."""
        for center in first_centers(points, self._size, random.Random(self._seed)):  # noqa: S311 -- no secret
            self._found(center)
        for point in points:
            self.learn(point)

    def learn(self, point: Point) -> None:
        """Move the nearest centre towards a sample, or let the sample found one."""
        self._count += 1
        if len(self._model.centers) < self._size and self._gap(point) > self._spread:
            self._found(point)
        closest = self._model.learn_predict_one(_keyed(point))
        self._recent[closest] += 1
        gap = math.dist(point, [*self._model.centers[closest].values()]) ** 2
        self._spread += max(1 / self._count, SPREAD_RATE) * (gap - self._spread)
        if self._count % (WINDOW * self._size) == 0:
            self._retire()

    def rescale(self, shifts: Sequence[float], factors: Sequence[float]) -> None:
        """Follow the scaler."""
        for center in self._model.centers.values():
            for i, z in center.items():
                center[i] = z * factors[i] + shifts[i]

    def centers(self) -> dict[int, Point]:
        """Return the centres by serial number, in the order they were founded."""
        return {serial: tuple(center.values()) for serial, center in self._model.centers.items()}

    def to_json(self) -> dict[str, Any]:
        """Return centres with their serial numbers and counts, and what decides on founding and giving up."""
        return {
            "serials": list(self._model.centers),
            "centers": [list(center) for center in self.centers().values()],
            "sizes": list(self._model.sizes.values()),
            "recent": list(self._recent.values()),
            "founded": self.founded,
            "count": self._count,
            "spread": self._spread,
        }

    @classmethod
    def from_json(cls, size: int, seed: int, saved: Mapping[str, Any]) -> Self:
        """Go on from `to_json`."""
        new = cls(size, seed)
        for i, serial in enumerate(saved["serials"]):
            new.founded = serial
            new._found(saved["centers"][i])
            new._model.sizes[serial], new._recent[serial] = saved["sizes"][i], saved["recent"][i]
        new.founded, new._count, new._spread = saved["founded"], saved["count"], saved["spread"]
        return new

    def _gap(self, point: Point) -> float:
        gaps = (math.dist(point, [*center.values()]) ** 2 for center in self._model.centers.values())
        return min(gaps, default=math.inf)

    def _found(self, point: Point) -> None:
        self._model.centers[self.founded] = defaultdict(float, _keyed(point))
        self._model.sizes[self.founded] = self._recent[self.founded] = 0
        self.founded += 1

    def _retire(self) -> None:
        for serial in [serial for serial, count in self._recent.items() if count < IDLE]:
            del self._model.centers[serial], self._model.sizes[serial], self._recent[serial]
        self._recent = dict.fromkeys(self._recent, 0)


def _keyed(point: Point) -> dict[int, float]:
    # Integer keys: River walks a set of the keys, and the order of a set of texts differs between processes,
    # and with it the last digits of a distance.
    return dict(enumerate(point))


CLUSTERERS: Final[dict[str, type[Clusterer]]] = {"kmeans": KMeans}
"""By the name that definitions use."""
