"""River at work: standardise, cluster, and hand out the numbers.

Examples
--------
>>> from segstream.models.recipe import Recipe
>>> trainer = Trainer(Recipe("behaviour", ("orders",), clusters=2, transforms=("linear",)), warmup=4)
>>> for orders in (1, 9, 2, 10, None, 1, 10):
...     _ = trainer.learn([orders])
>>> snapshot = trainer.snapshot(1)
>>> sorted(round(snapshot.centroid(id)["orders"]) for id in snapshot.ids)
[1, 10]
>>> snapshot.assign([3]) == snapshot.assign([1])
True
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Self

from river import preprocessing

from segstream.core.clusters import Snapshot
from segstream.core.scaling import TRANSFORMS, bend
from segstream.models.clusterers import CLUSTERERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.models.recipe import Recipe

REFRESH: Final = 256
"""Samples between two looks at River's scaler. In between, the clusterer works with one fixed scale, and at each
look its centres are carried over to the new one: so a centre stays the mean of its users, however the scale moves."""
CLIP: Final = 6.0
"""In standard deviations: what lies farther out is learned as if it lay here, so that one freak does not drag a
centre away, nor a sample met while the scale still lags behind."""
WARMUP: Final = 512
"""Samples gathered before the first centres are chosen: enough that a cluster of one user in a hundred is
among them (missed with a chance of 0.99^512 = 0.6 %), few enough to save (512 x 16 numbers, 150 KB)."""


class Trainer:
    """Learns one discovered segmentation, sample by sample, in bounded memory.

    Each sample updates the means and variances and, once `warmup` samples have been gathered, the centres: the
    first ones are chosen from those, scaled by what is then known. A snapshot ends the gathering early.

    An unknown or non-finite value leaves the scaler alone and counts as the mean for the clusterer, as it does
    for `Snapshot.assign`: so a centre lies where its users are. A sample in which nothing is known teaches
    nothing, nor does one of another length.

    Parameters
    ----------
    recipe : Recipe
        What to learn.
    first_id : int
        Number of the first cluster's id: 6 gives ``c6``, ``c7`` ...
    warmup : int
        Samples to gather before the first centres are chosen.
    """

    def __init__(self, recipe: Recipe, *, first_id: int = 0, warmup: int = WARMUP) -> None:
        self.recipe = recipe
        self.first_id = first_id
        self.count = 0
        self._warmup = warmup
        self._gathered: list[tuple[float | None, ...]] | None = []
        self._transforms = [TRANSFORMS[transform] for transform in recipe.transforms]
        self._scaler = preprocessing.StandardScaler()
        self._means = [0.0] * len(recipe.features)
        self._scales = [0.0] * len(recipe.features)
        self._clusterer = CLUSTERERS[recipe.model](recipe.clusters, recipe.seed)

    @property
    def next_id(self) -> int:
        """Number of the first id that has not been used yet."""
        return self.first_id + self._clusterer.founded

    def learn(self, sample: Sequence[float | None]) -> bool:
        """Learn one sample.

        Parameters
        ----------
        sample : sequence of float or None
            One value per feature, as the features hold them.

        Returns
        -------
        bool
            Whether it taught anything.
        """
        if len(sample) != len(self._transforms):
            return False
        bent = tuple(map(bend, sample, self._transforms))
        known = {i: value for i, value in enumerate(bent) if value is not None}
        if not known:
            return False
        self.count += 1
        self._scaler.learn_one(known)  # type: ignore[no-untyped-call]  # River's methods have no types
        if self._gathered is None:
            if self.count % REFRESH == 0:
                self._refresh()
            self._clusterer.learn(self._scaled(bent))
        else:
            self._gathered.append(bent)
            if len(self._gathered) >= self._warmup:
                self._start()
        return True

    def snapshot(self, number: int) -> Snapshot | None:
        """Return what has been learned as version `number`, or None before the first sample."""
        if not self.count:
            return None
        if self._gathered is not None:
            self._start()
        centers = self._clusterer.centers()
        return Snapshot(
            name=self.recipe.name,
            number=number,
            features=self.recipe.features,
            transforms=self.recipe.transforms,
            means=tuple(self._means),
            scales=tuple(self._scales),
            centers=tuple(centers.values()),
            ids=tuple(f"c{self.first_id + serial}" for serial in centers),
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything learned as plain numbers, so that learning goes on as if never interrupted."""
        columns = range(len(self.recipe.features))
        gathered = self._gathered
        return {
            "recipe": self.recipe.to_json(),
            "first_id": self.first_id,
            "warmup": self._warmup,
            "count": self.count,
            "scaler": {
                "counts": [self._scaler.counts.get(i, 0) for i in columns],
                "means": [self._scaler.means.get(i, 0.0) for i in columns],
                "vars": [self._scaler.vars.get(i, 0.0) for i in columns],
            },
            "means": list(self._means),
            "scales": list(self._scales),
            "gathered": None if gathered is None else [list(bent) for bent in gathered],
            "clusterer": self._clusterer.to_json(),
        }

    @classmethod
    def from_json(cls, recipe: Recipe, saved: Mapping[str, Any]) -> Self:
        """Go on from `to_json`.

        Raises
        ------
        ValueError
            If it was saved for another recipe, or something is missing or of a wrong type.
        """
        try:
            if saved["recipe"] != recipe.to_json():
                message = f"{recipe.name}: the learning state is of another definition"
                raise ValueError(message)
            new = cls(recipe, first_id=saved["first_id"], warmup=saved["warmup"])
            new.count = saved["count"]
            new._restore(saved)
        except (KeyError, TypeError, IndexError) as error:
            message = f"{recipe.name}: not a learning state: {type(error).__name__}: {error}"
            raise ValueError(message) from error
        return new

    def _restore(self, saved: Mapping[str, Any]) -> None:
        scaler, gathered = saved["scaler"], saved["gathered"]
        for i in range(len(self.recipe.features)):
            self._scaler.counts[i] = int(scaler["counts"][i])
            self._scaler.means[i] = float(scaler["means"][i])
            self._scaler.vars[i] = float(scaler["vars"][i])
        self._means, self._scales = list(saved["means"]), list(saved["scales"])
        self._gathered = None if gathered is None else [tuple(bent) for bent in gathered]
        kind = CLUSTERERS[self.recipe.model]
        self._clusterer = kind.from_json(self.recipe.clusters, self.recipe.seed, saved["clusterer"])

    def _start(self) -> None:
        gathered, self._gathered = self._gathered or [], None
        self._refresh()
        self._clusterer.start([self._scaled(bent) for bent in gathered])

    def _refresh(self) -> None:
        """Take River's present means and variances, and carry the centres over."""
        old = list(zip(self._means, self._scales, strict=True))
        for i in range(len(old)):
            self._means[i] = self._scaler.means.get(i, 0.0)
            self._scales[i] = math.sqrt(self._scaler.vars.get(i, 0.0))
        new = list(zip(self._means, self._scales, strict=True))
        shifts = [
            (m - mean) / scale if scale else 0.0 for (m, _), (mean, scale) in zip(old, new, strict=True)
        ]
        factors = [s / scale if scale else 0.0 for (_, s), (_, scale) in zip(old, new, strict=True)]
        self._clusterer.rescale(shifts, factors)

    def _scaled(self, bent: Sequence[float | None]) -> tuple[float, ...]:
        # What River's transform_one does, but under the scale the centres are in, and clipped.
        return tuple(
            max(-CLIP, min(CLIP, (value - mean) / scale)) if scale and value is not None else 0.0
            for value, mean, scale in zip(bent, self._means, self._scales, strict=True)
        )
