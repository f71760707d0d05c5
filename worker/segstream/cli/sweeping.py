"""Waiting until a version of the definitions is in force for all users."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import typer

from segstream.adapters.redis.census import Question, RedisCensus
from segstream.adapters.redis.look import Look
from segstream.cli.servers import redis_client
from segstream.core.basis import load_bases
from segstream.errors import ServerError

if TYPE_CHECKING:
    from segstream.ports import DefinitionsVersion, Meta
    from segstream.settings import Settings

LOOK: Final = 0.5
"""Seconds between two looks: workers notice a version within a second."""


async def finished(settings: Settings, version: DefinitionsVersion, limit: float) -> None:
    """Wait until every partition has adopted a version and its sweep is over, saying on stderr how far it is.

    Where no worker has ever been, there is nothing to wait for.

    Raises
    ------
    ServerError
        It is not done within ``limit`` seconds, or Redis does not answer.
    """
    async with redis_client(settings) as client:
        reader, census = Look(client, settings.redis_prefix), RedisCensus(client, settings.redis_prefix)
        try:
            await _wait(reader, census, version.version, limit)
        finally:
            await reader.close()
            await census.close()


async def _wait(reader: Look, census: RedisCensus, number: int, limit: float) -> None:
    deadline, said = time.monotonic() + limit, ""
    partitions = await reader.partitions()
    while partitions:
        metas = await reader.metas(partitions)
        left = [each for each, meta in enumerate(metas) if not _over(meta, number)]
        counts = await census.count([Question(each, _swept(metas[each], number), 0) for each in left])
        users = await reader.users(partitions)
        done = users - sum(count.unswept for count in counts.values())
        line = f"{partitions - len(left)} of {partitions} partitions, {done:,} of {users:,} users"
        if line != said:
            typer.echo(line, err=True)
            said = line
        if not left:
            return
        if time.monotonic() > deadline:
            raise ServerError(
                f"version {number} is not in force for all users within {limit:g} s: partition"
                f"{'s' if len(left) > 1 else ''} {', '.join(map(str, left))} left. It goes on as soon as its moment has "
                "come and a worker owns them; `segstream history` shows where it is, --timeout waits longer"
            )
        await asyncio.sleep(LOOK)


def _adopted(meta: Meta, number: int) -> bool:
    bases = load_bases(meta.bases)
    return bool(bases) and bases[-1].definitions >= number


def _over(meta: Meta, number: int) -> bool:
    return _adopted(meta, number) and not meta.sweep


def _swept(meta: Meta, number: int) -> str:
    """Return the last user who is up to date, "" before the first."""
    return meta.sweep.partition(" ")[2] if _adopted(meta, number) else ""
