"""Keeps a worker's library up to date with what has been published, and the public catalog with the library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from segstream.catalog import catalog_of
from segstream.core.clusters import Snapshot
from segstream.errors import DefinitionError, ServerError
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
        DefinitionError
            This program reads none of the versions.
        """
        versions = await self._load()
        for entry in versions:
            self._library.add_version(Version(entry.version, entry.effective_at, entry.text))
            self._last = entry
        fresh = bool(versions)
        if fresh:
            self._say_what_is_refused()
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

    def _say_what_is_refused(self) -> None:
        """Say which of the versions to come this program does not read: partitions stop when one comes into force."""
        # Without any that it does read, refresh fails and says so itself.
        readable = self._library.readable
        for number in range(self._library.latest, readable, -1) if readable else ():
            try:
                self._library.definitions(number)
            except DefinitionError as error:
                self._log.error("definitions_refused", definitions_version=number, error=str(error))

    async def _describe(self) -> None:
        # Where the latest cannot be read, workers that can have described it, and keep this from replacing that.
        latest = self._library.readable or self._library.latest
        catalog = catalog_of(
            self._library.definitions(latest), self._partitions(), self._library.snapshots(self._kept)
        )
        self._described = True  # before it is: whoever asks for another one meanwhile must not be forgotten
        try:
            await self._read_model.describe(catalog, latest)
        except BaseException:
            self._described = False
            raise

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
