"""The books around one trainer: what has been learned so far, and when a new version is due.

Examples
--------
>>> from segstream.models.recipe import Recipe
>>> session = TrainingSession(Recipe("behaviour", ("orders",), clusters=2))
>>> session.feed(0, [[1], [9]]), session.feed(0, [[1], [9]])
(2, 0)
>>> session.due(now=1_000, min_samples=2, min_interval=60_000)
True
>>> session.offer(now=1_000).number
1
>>> session.due(now=2_000, min_samples=0, min_interval=60_000)
False
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from segstream.models.trainer import WARMUP, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segstream.core.clusters import Snapshot
    from segstream.models.recipe import Recipe


class TrainingSession:
    """Learns each record of the sample topic once and numbers the snapshots 1, 2, 3 ...

    Parameters
    ----------
    recipe : Recipe
        The definition to learn.
    warmup : int
        Samples to gather before the first centres are chosen.

    Attributes
    ----------
    offset : int
        The last record applied; -1 before the first. Set it to -1 when the sample topic was made anew.
    number : int
        The last snapshot's; 0 before the first.
    since_snapshot : int
        Samples learned since then.
    """

    def __init__(self, recipe: Recipe, *, warmup: int = WARMUP) -> None:
        self.trainer = Trainer(recipe, warmup=warmup)
        self.offset = -1
        self.number = 0
        self.since_snapshot = 0
        self._offered_at: int | None = None

    def feed(self, offset: int, vectors: Iterable[Sequence[float | None]]) -> int:
        """Learn the samples of one record, unless it was learned before.

        Returns
        -------
        int
            How many samples taught something.
        """
        if offset <= self.offset:
            return 0
        self.offset = offset
        learned = sum(self.trainer.learn(vector) for vector in vectors)
        self.since_snapshot += learned
        return learned

    def due(self, now: int, min_samples: int, min_interval: int) -> bool:
        """Tell whether a new snapshot is worth offering.

        Parameters
        ----------
        now : int
            Milliseconds since 1970.
        min_samples : int
            Samples learned since the last snapshot; at least 1 is always asked for.
        min_interval : int
            Milliseconds since the last snapshot. The first one does not wait.
        """
        if self.since_snapshot < max(1, min_samples):
            return False
        return self._offered_at is None or now - self._offered_at >= min_interval

    def offer(self, now: int) -> Snapshot | None:
        """Return the next snapshot, or None when nothing has been learned yet. Save `to_json` together with it.

        Parameters
        ----------
        now : int
            Milliseconds since 1970, for `due`.
        """
        snapshot = self.trainer.snapshot(self.number + 1)
        if snapshot is not None:
            self.number += 1
            self.since_snapshot = 0
            self._offered_at = now
        return snapshot

    def to_json(self) -> dict[str, Any]:
        """Return the whole session as plain numbers."""
        return {
            "number": self.number,
            "offset": self.offset,
            "since_snapshot": self.since_snapshot,
            "offered_at": self._offered_at,
            "next_id": self.trainer.next_id,
            "trainer": self.trainer.to_json(),
        }

    @classmethod
    def from_json(cls, recipe: Recipe, saved: Mapping[str, Any], *, warmup: int = WARMUP) -> Self:
        """Go on from `to_json`.

        Where `recipe` is another than the saved one, learning starts anew from the next sample, but numbers and
        cluster ids go on, so that ``behaviour.c0`` never comes to mean something else.

        Raises
        ------
        ValueError
            If something is missing or of a wrong type.
        """
        new = cls(recipe, warmup=warmup)
        try:
            new.number, new.offset = int(saved["number"]), int(saved["offset"])
            if saved["trainer"]["recipe"] == recipe.to_json():
                new.trainer = Trainer.from_json(recipe, saved["trainer"])
                new.since_snapshot = int(saved["since_snapshot"])
                new._offered_at = saved["offered_at"]
            else:
                new.trainer = Trainer(recipe, first_id=int(saved["next_id"]), warmup=warmup)
        except (KeyError, TypeError) as error:
            message = f"{recipe.name}: not a training session: {type(error).__name__}: {error}"
            raise ValueError(message) from error
        return new
