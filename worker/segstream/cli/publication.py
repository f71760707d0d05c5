"""What ``segstream apply`` does: a file becomes the next version of the definitions."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Final

from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.cli.arguments import read
from segstream.cli.servers import redis_client
from segstream.core.definitions import read_definitions

if TYPE_CHECKING:
    from pathlib import Path

    from segstream.ports import DefinitionsVersion
    from segstream.settings import Settings

LEAD: Final = 5_000
"""Milliseconds until a version counts: workers look for new ones once a second, so that none is late."""


async def publish(
    settings: Settings, file: Path, at: int | None, author: str | None, note: str
) -> tuple[DefinitionsVersion, bool]:
    """Append a file as a version unless it means the same as the latest; return the latest, and whether it is new.

    Parameters
    ----------
    settings : Settings
    file : Path
    at : int or None
        From when it counts, in ms; None: in `LEAD` ms, and at once in replays, whose clock stands in the past.
    author : str or None
        None: this machine's user.
    note : str

    Raises
    ------
    DefinitionError
        The file has a mistake.
    ServerError
        Redis cannot be reached or refuses.
    """
    text, now = read(file), time.time_ns() // 1_000_000
    definitions = read_definitions(text, str(file))
    if at is None:
        at = 0 if settings.clock == "event" else now + LEAD
    async with redis_client(settings) as client:
        log = RedisDefinitions(client, settings.redis_prefix)
        try:
            before = await log.load()
            number = await log.append(
                text, definitions.content_hash, effective_at=at, author=author or _user(), note=note, at=now
            )
            latest = (await log.load(number - 1))[0]
        finally:
            await log.close()
    return latest, number > (before[-1].version if before else 0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
