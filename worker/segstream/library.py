"""The definitions versions and model snapshots that a worker knows, compiled once and shared by its partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from segstream.core.decider import Decider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segstream.core.basis import Basis
    from segstream.core.clusters import Snapshot
    from segstream.core.definitions import Definitions


class Version(NamedTuple):
    """A version of the definitions.

    Parameters
    ----------
    number : int
        From 1.
    effective_at : int
        A partition adopts it when its clock passes this moment, in ms; 0 for at once.
    definitions : Definitions
    """

    number: int
    effective_at: int
    definitions: Definitions


class Library:
    """Versions and snapshots by number.

    Examples
    --------
    >>> Library().following(0) is None
    True
    """

    def __init__(self) -> None:
        self._versions: dict[int, Version] = {}
        self._snapshots: dict[tuple[str, int], Snapshot] = {}
        self._newest: dict[str, int] = {}

    @property
    def latest(self) -> int:
        """Number of the latest version known, 0 without any."""
        return max(self._versions, default=0)

    def add_version(self, version: Version) -> None:
        """Add a version of the definitions."""
        self._versions[version.number] = version

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Add a snapshot of a model."""
        self._snapshots[snapshot.name, snapshot.number] = snapshot
        self._newest[snapshot.name] = max(snapshot.number, self._newest.get(snapshot.name, 0))

    def models(self) -> list[str]:
        """Return the names of the models of all versions: a partition may still rest on an earlier one."""
        return sorted(
            {model.name for version in self._versions.values() for model in version.definitions.discovered}
        )

    def definitions(self, number: int) -> Definitions:
        """Return a version's definitions.

        Raises
        ------
        KeyError
            If it is not known.
        """
        return self._versions[number].definitions

    def first(self) -> Version:
        """Return the first version.

        Raises
        ------
        KeyError
            If none is known: a worker makes sure of one before it takes a partition over.
        """
        return self._versions[min(self._versions, default=0)]

    def following(self, number: int) -> Version | None:
        """Return the next version after ``number``, or None if there is none yet."""
        return self._versions.get(min((n for n in self._versions if n > number), default=-1))

    def newest_models(self, definitions: int, in_force: Mapping[str, int]) -> dict[str, int]:
        """Return the newest snapshot number of each model that these definitions use, never below that in force."""
        numbers = {
            model.name: max(self._newest.get(model.name, 0), in_force.get(model.name, 0))
            for model in self.definitions(definitions).discovered
        }
        return {name: number for name, number in numbers.items() if number}

    def decider(self, basis: Basis) -> Decider:
        """Return what decides under ``basis``; a snapshot that is not kept any more is left out."""
        found = {
            name: self._snapshots[name, number]
            for name, number in basis.models.items()
            if (name, number) in self._snapshots
        }
        return Decider(basis, self.definitions(basis.definitions), found)
