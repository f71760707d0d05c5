"""The definitions versions and model snapshots that a worker knows, shared by its partitions.

There may be hundreds of versions, each of which takes some 50 ms to compile, and a program may not read all that a
former one has published: so a version is compiled when somebody decides by it, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from segstream.core.decider import Decider
from segstream.core.definitions import Definitions, read_definitions
from segstream.errors import DefinitionError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from segstream.core.basis import Basis
    from segstream.core.clusters import Snapshot


class Version(NamedTuple):
    """A version of the definitions.

    Parameters
    ----------
    number : int
        From 1.
    effective_at : int
        A partition adopts it when its clock passes this moment, in ms; 0 for at once.
    definitions : Definitions or str
        The text, until they are asked for.
    """

    number: int
    effective_at: int
    definitions: Definitions | str


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
        self._needed: set[int] = set()
        self._refused: dict[int, DefinitionError] = {}
        self._doubt: ServerError | None = None

    @property
    def latest(self) -> int:
        """Number of the latest version known, 0 without any."""
        return max(self._versions, default=0)

    @property
    def readable(self) -> int:
        """Number of the latest version that this program reads, 0 without any."""
        return next((number for number in sorted(self._versions, reverse=True) if self._reads(number)), 0)

    def add_version(self, version: Version) -> None:
        """Add a version of the definitions."""
        self._versions[version.number] = version
        self._refused.pop(version.number, None)

    def need(self, bases: Iterable[Basis]) -> None:
        """Say that there is a partition that rests on these bases: their models are needed."""
        self._needed.update(basis.definitions for basis in bases)

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
        """Return the names of the models of the latest version that can be read, and of all that are needed or in use."""
        used = {self.readable, *self._needed}
        used.update(
            each.number for each in self._versions.values() if isinstance(each.definitions, Definitions)
        )
        return sorted(
            {
                model.name
                for number in used
                if self._reads(number)
                for model in self.definitions(number).discovered
            }
        )

    def definitions(self, number: int) -> Definitions:
        """Return a version's definitions.

        Raises
        ------
        ServerError
            If it is not known: whoever asks for it knows of it from Redis, which has lost it.
        DefinitionError
            If this program does not read it, though it has been published.
        """
        version = self._versions.get(number)
        if version is None:
            raise ServerError(
                f"definitions version {number} decides here, and Redis has lost it: it holds "
                f"{f'versions up to {self.latest}' if self.latest else 'none'}. Bring Redis' data back, or begin anew "
                "with `segstream reset --to earliest`"
            )
        if isinstance(version.definitions, Definitions):
            return version.definitions
        wrong = self._refused.get(number)
        if wrong is None:
            try:
                compiled = read_definitions(version.definitions, f"definitions version {number}")
            except DefinitionError as error:
                wrong = self._refused[number] = error
            else:
                self._versions[number] = version._replace(definitions=compiled)
                return compiled
        raise DefinitionError(
            f"{wrong.message}. Another version of segstream has taken this, and it is needed here: go on with that one, until "
            "definitions that both take are published (`segstream apply`) and in force (`segstream history`)",
            wrong.file,
            wrong.line,
            wrong.column,
            wrong.source,
        )

    def _reads(self, number: int) -> bool:
        """Tell whether there is such a version, and this program reads it."""
        if number not in self._versions:
            return False
        try:
            self.definitions(number)
        except DefinitionError:
            return False
        return True

    def segments(self) -> list[str]:
        """Return the names of all segments that anybody can be in, sorted: of all versions and all models.

        All versions are compiled for it; those that this program does not read are left out.

        Examples
        --------
        >>> Library().segments()
        []
        """
        names = {
            segment.name
            for number in sorted(self._versions)
            if self._reads(number)
            for segment in self.definitions(number).segments
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
        """Return what decides under ``basis``: of snapshots those that are kept, see ``Decider``."""
        found = {
            name: self._snapshots[name, number]
            for name, number in basis.models.items()
            if (name, number) in self._snapshots
        }
        return Decider(basis, self.definitions(basis.definitions), found)
