"""The versions of the definitions that Redis has, and what another one would change."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.adapters.connections import redis_settings
from segstream.adapters.redis.connection import connect
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.look import Look
from segstream.adapters.redis.models import RedisModels
from segstream.core.basis import load_bases
from segstream.core.closest import closest
from segstream.core.definitions import Definitions, read_definitions
from segstream.core.difference import Difference, differences, fresh_features
from segstream.core.time import format_time
from segstream.library import Library, Version
from segstream.preview import Effect, Preview, preview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from segstream.adapters.redis.connection import Client
    from segstream.ports import DefinitionsVersion
    from segstream.settings import Settings


class Plan(NamedTuple):
    """What publishing some definitions would change.

    Parameters
    ----------
    text : str
        The file, as it would be published.
    definitions : Definitions
        The same, compiled.
    latest : DefinitionsVersion or None
        The version it would follow; None where there is none.
    effective_at : int
        When it would come into force, ms; 0 at once, whatever a replay's clock says.
    differences : list of Difference
        From the latest version.
    fresh : list of str
        Features and traits that begin without anything kept.
    preview : Preview or None
        What becomes of the users; None if the states were not looked at.
    """

    text: str
    definitions: Definitions
    latest: DefinitionsVersion | None
    effective_at: int
    differences: list[Difference]
    fresh: list[str]
    preview: Preview | None

    @property
    def changed(self) -> bool:
        """Whether it would be a version: it means something else than the latest."""
        return self.latest is None or self.latest.content_hash != self.definitions.content_hash

    @property
    def number(self) -> int:
        """The number it would have, or has already."""
        latest = self.latest.version if self.latest else 0
        return latest + 1 if self.changed else latest

    @property
    def emptied(self) -> bool:
        """Whether it has no segment at all, and the latest has some: everybody would leave all of them."""
        removed = any(
            each.change == "removed" and each.section in ("segment", "discovered")
            for each in self.differences
        )
        return removed and not self.definitions.segments and not self.definitions.discovered

    def rows(self) -> list[tuple[str, Effect]]:
        """Return what happens to each segment: those of the definitions in their order, then what is left of others."""
        effects = self.preview.effects if self.preview else {}
        names = [segment.name for segment in self.definitions.segments]
        rest = sorted(effects.keys() - set(names))
        return [(name, effects.get(name) or Effect()) for name in [*names, *rest]]

    def document(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        told: dict[str, Any] = {
            "version": self.number,
            "changed": self.changed,
            "after_version": self.latest.version if self.latest else None,
            "content_hash": self.definitions.content_hash,
            "differences": [each._asdict() for each in self.differences],
            "features_from_empty": self.fresh,
        }
        if self.preview is not None:
            told |= {
                "as_of": format_time(self.preview.as_of) if self.preview.as_of else None,
                "users": self.preview.users,
                "users_changed": self.preview.changed,
                "segments": [_effect(name, effect) for name, effect in self.rows()],
            }
        return told


def _effect(name: str, effect: Effect) -> dict[str, Any]:
    return {
        "segment": name,
        "before": effect.before,
        "enter": effect.entering,
        "leave": effect.leaving,
        "renamed": effect.renamed,
        "after": effect.after,
        "samples": {"enter": list(map(_sample, effect.entries)), "leave": list(map(_sample, effect.exits))},
    }


def _sample(change: dict[str, Any]) -> dict[str, Any]:
    return {"user_id": change["user_id"], "reasons": change["reasons"]}


class Standing(NamedTuple):
    """The versions of the definitions, and where each is in force.

    Parameters
    ----------
    versions : list of DefinitionsVersion
    partitions : dict of int to list of int
        By version: the partition numbers in which it is in force.
    sweeping : set of int
        The partition numbers whose users are being brought up to date.
    """

    versions: list[DefinitionsVersion]
    partitions: dict[int, list[int]]
    sweeping: set[int]

    @property
    def active(self) -> int:
        """The latest version in force in any partition; without any, the latest."""
        return max(self.partitions, default=len(self.versions))


async def make_plan(
    settings: Settings,
    text: str,
    name: str,
    *,
    effective_at: int,
    samples: int | None,
    progress: Callable[[int, int], object] | None = None,
) -> Plan:
    """Return what publishing definitions would change.

    Parameters
    ----------
    settings : Settings
    text : str
        YAML.
    name : str
        What errors call it.
    effective_at : int
        When it comes into force, ms; users are looked at as of then, or of now if that is later.
    samples : int or None
        How many changes are kept of each segment and direction; None: users are not looked at.
    progress : callable, optional
        Told how many users have been looked at, of how many.

    Raises
    ------
    DefinitionError
        The definitions have a mistake.
    ServerError
        Redis cannot be reached or refuses, or has lost something.
    """
    definitions = read_definitions(text, name)
    async with _client(settings) as client:
        versions = await _versions(client, settings)
        latest = versions[-1] if versions else None
        former = None if latest is None else _read(latest)
        apart, fresh = differences(former, definitions), fresh_features(former, definitions)
        plan = Plan(text, definitions, latest, effective_at, apart, fresh, None)
        if samples is None or not plan.changed:
            return plan
        library = Library()
        for each in versions:
            library.add_version(Version(each.version, each.effective_at, each.text))
        # A partition adopts it when its clock passes that moment; in a replay that stands where the replay is.
        now = 0 if settings.clock == "event" else time.time_ns() // 1_000_000
        library.add_version(Version(plan.number, max(effective_at, now), definitions))
        reader = Look(client, settings.redis_prefix)
        models = RedisModels(client, settings.redis_prefix)
        try:
            found = await preview(
                reader, models, library, grace=settings.timer_grace, samples=samples, progress=progress
            )
        finally:
            await reader.close()
            await models.close()
    return plan._replace(preview=found)


async def stand(settings: Settings) -> Standing:
    """Return the versions there are, and where each is in force.

    Raises
    ------
    ServerError
        Redis cannot be reached or refuses.
    """
    async with _client(settings) as client:
        versions = await _versions(client, settings)
        reader = Look(client, settings.redis_prefix)
        try:
            metas = await reader.metas(await reader.partitions())
        finally:
            await reader.close()
    partitions: dict[int, list[int]] = {}
    for number, meta in enumerate(metas):
        if bases := load_bases(meta.bases):
            partitions.setdefault(bases[-1].definitions, []).append(number)
    return Standing(versions, partitions, {number for number, meta in enumerate(metas) if meta.sweep})


async def doubt(settings: Settings, segment: str) -> str | None:
    """Return what speaks against there being, or having been, a segment; None if a version of the definitions has it.

    Parameters
    ----------
    settings : Settings
    segment : str
        Its name; ``<model>.<cluster>`` of one that a model finds.

    Raises
    ------
    ServerError
        Redis cannot be reached or refuses.
    """
    async with _client(settings) as client:
        versions = await _versions(client, settings)
    model, _, cluster = segment.partition(".")
    known: set[str] = set()
    for version in reversed(versions):
        definitions = _read(version)
        known |= {each.name for each in definitions.segments}
        known |= {
            f"{each.name}.{cluster if each.name == model and cluster else 'c0'}"
            for each in definitions.discovered
        }
        if segment in known:
            return None
    near = closest(segment, known)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
    return f"no version of the definitions has a segment {segment!r}; {hint}"


def _read(version: DefinitionsVersion) -> Definitions:
    return read_definitions(version.text, f"definitions version {version.version}")


async def _versions(client: Client, settings: Settings) -> list[DefinitionsVersion]:
    log = RedisDefinitions(client, settings.redis_prefix)
    try:
        return await log.load()
    finally:
        await log.close()


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[Client]:
    client = connect(redis_settings(settings))
    try:
        yield client
    finally:
        await client.aclose()
