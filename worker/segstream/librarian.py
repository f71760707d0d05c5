"""Keeps a worker's library up to date with what has been published, and the public catalog with the library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from segstream.catalog import catalog_of
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.errors import ServerError
from segstream.library import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstream.library import Library
    from segstream.ports import DefinitionsLog, DefinitionsVersion, ModelStore, ReadModel


class Librarian:
    """Loads versions of the definitions and snapshots of the models.

    Parameters
    ----------
    library : Library
        Filled here.
    definitions : DefinitionsLog
    models : ModelStore
    read_model : ReadModel
        Where the catalog is written.
    kept : int
        How many snapshots of a model stay.
    partitions : callable
        Returns N.

    Attributes
    ----------
    learned_at : dict of str to int
        When the newest snapshot of each model was offered, in ms; without those that do not say so.
    """

    def __init__(
        self,
        library: Library,
        definitions: DefinitionsLog,
        models: ModelStore,
        read_model: ReadModel,
        *,
        kept: int,
        partitions: Callable[[], int],
    ) -> None:
        self._library, self._definitions, self._models, self._read_model = (
            library,
            definitions,
            models,
            read_model,
        )
        self._kept, self._partitions = kept, partitions
        self._read: dict[str, int] = {}
        self._described = False
        self._last: DefinitionsVersion | None = None
        self.learned_at: dict[str, int] = {}
        self._log = structlog.get_logger("segstream")

    async def refresh(self) -> bool:
        """Bring the library and the catalog up to date; return whether anything is new.

        Raises
        ------
        ServerError
            Redis does not answer, or has lost definitions that this worker decides by: until it has them again, no
            partition goes on.
        """
        versions = await self._load()
        for entry in versions:
            definitions = read_definitions(entry.text, f"definitions version {entry.version}")
            self._library.add_version(Version(entry.version, entry.effective_at, definitions))
            self._last = entry
        fresh = bool(versions)
        fresh = await self._refresh_snapshots() or fresh
        self._described = self._described and not fresh  # stays false until it has been written
        if not self._described:
            await self._describe()
        return fresh

    def describe_again(self) -> None:
        """Write the catalog once more with the next refresh: it may have been lost."""
        self._described = False

    async def _load(self) -> list[DefinitionsVersion]:
        """Return the versions after the latest one known, which must still be what it was."""
        last = self._last
        if last is None:
            return await self._definitions.load()
        versions = await self._definitions.load(last.version - 1)
        same = versions[0] if versions else None
        if same == last:
            self._library.doubt(None)
            return versions[1:]
        # Somebody may have published other definitions under the same number since: to mix them would be worse
        # than to stop.
        lost = ServerError(
            f"Redis has lost definitions version {last.version}, which this worker decides by"
            f"{'' if same is None else f': it has another one of that number, by {same.author}'}; no partition goes on. "
            "Bring Redis' data back, or restart all workers to go on by what it holds"
        )
        self._library.doubt(lost)
        raise lost

    async def _describe(self) -> None:
        latest = self._library.latest
        catalog = catalog_of(
            self._library.definitions(latest), self._partitions(), self._library.snapshots(self._kept)
        )
        await self._read_model.describe(catalog, latest)
        self._described = True

    async def _refresh_snapshots(self) -> bool:
        # Also those before the newest: a partition may rest on one while its sweep goes on.
        names, fresh = self._library.models(), False
        for name, newest in (await self._models.numbers(names) if names else {}).items():
            for number in range(max(self._read.get(name, 0), newest - self._kept) + 1, newest + 1):
                text = await self._models.snapshot(name, number)
                try:
                    if text is not None:
                        self._add(json.loads(text))
                        fresh = True
                except (ValueError, KeyError, TypeError) as error:
                    self._log.error("bad_snapshot", model=name, number=number, error=str(error))
            self._read[name] = newest
        return fresh

    def _add(self, saved: dict[str, object]) -> None:
        snapshot = Snapshot.from_json(saved)
        self._library.add_snapshot(snapshot)
        offered_at = saved.get("offered_at")
        if isinstance(offered_at, int):
            self.learned_at[snapshot.name] = offered_at
