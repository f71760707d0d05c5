"""The definitions versions and model snapshots that a worker knows, compiled once and shared by its partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from segstream.core.decider import Decider
from segstream.errors import ServerError

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
        self._doubt: ServerError | None = None

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

    def snapshots(self, last: int) -> list[Snapshot]:
        """Return of each model those of its ``last`` numbers that are known."""
        return [
            snapshot
            for (name, number), snapshot in self._snapshots.items()
            if number > self._newest[name] - last
        ]

    def models(self) -> list[str]:
        """Return the names of the models of all versions: a partition may still rest on an earlier one."""
        return sorted(
            {model.name for version in self._versions.values() for model in version.definitions.discovered}
        )

    def definitions(self, number: int) -> Definitions:
        """Return a version's definitions.

        Raises
        ------
        ServerError
            If it is not known: whoever asks for it knows of it from Redis, which has lost it.
        """
        version = self._versions.get(number)
        if version is None:
            raise ServerError(
                f"definitions version {number} decides here, and Redis has lost it: it holds "
                f"{f'versions up to {self.latest}' if self.latest else 'none'}. Bring Redis' data back, or begin anew "
                "with `segstream reset --to earliest`"
            )
        return version.definitions

    def segments(self) -> list[str]:
        """Return the names of all segments that anybody can be in, sorted: of all versions and all models.

        Examples
        --------
        >>> Library().segments()
        []
        """
        names = {
            segment.name for version in self._versions.values() for segment in version.definitions.segments
        }
        # Ids are c0, c1, c2 … and never used again: those of earlier snapshots are lower.
        highest: dict[str, int] = {}
        for snapshot in self._snapshots.values():
            numbers = [int(each[1:]) for each in snapshot.ids if each[1:].isdigit()]
            highest[snapshot.name] = max([highest.get(snapshot.name, -1), *numbers])
            names.update(f"{snapshot.name}.{each}" for each in snapshot.ids)
        names.update(f"{name}.c{number}" for name, last in highest.items() for number in range(last + 1))
        return sorted(names)

    def doubt(self, reason: ServerError | None) -> None:
        """Let nobody decide by this library until ``doubt(None)``: Redis holds other versions than it was read from."""
        self._doubt = reason

    def first(self) -> Version:
        """Return the first version.

        Raises
        ------
        KeyError
            If none is known: a worker makes sure of one before it takes a partition over.
        """
        return self._versions[min(self._versions, default=0)]

    def following(self, number: int) -> Version | None:
        """Return the next version after ``number``, or None if there is none yet.

        Raises
        ------
        ServerError
            While the library is in doubt.
        """
        if self._doubt is not None:
            raise self._doubt
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
