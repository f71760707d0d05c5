"""The definitions file of a worker's settings: version 1 where there is none yet, and compared with otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstream.core.definitions import read_definitions
from segstream.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from segstream.ports import DefinitionsLog


async def publish_first(log: DefinitionsLog, path: Path | None, now: int) -> str | None:
    """Publish a file as version 1 if there is no version; return a warning if the latest one means something else.

    Parameters
    ----------
    log : DefinitionsLog
    path : Path or None
        The file; without one there must be a version.
    now : int
        The time in ms.

    Raises
    ------
    SettingsError
        There is neither a file nor a version, or the file cannot be read.
    DefinitionError
        The file has a mistake.
    ServerError
        Redis cannot be reached or refuses.
    """
    if path is None:
        if not await log.load():
            raise SettingsError(
                "there are no definitions: set SEGSTREAM_DEFINITIONS to a file, or publish one with `segstream apply`"
            )
        return None
    try:
        text = path.read_text(encoding="utf-8")  # noqa: ASYNC240 - once, before there is anything to hold up
    except OSError as error:
        raise SettingsError(f"SEGSTREAM_DEFINITIONS: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        message = f"SEGSTREAM_DEFINITIONS: {path} is not UTF-8 (byte {error.start}); save it as that"
        raise SettingsError(message) from None
    wanted = read_definitions(text, str(path)).content_hash
    number = await log.initial(
        text, wanted, effective_at=0, author="worker", note=f"first start with {path.name}", at=now
    )
    latest = (await log.load(number - 1))[0]
    if latest.content_hash == wanted:
        return None
    return f"{path} differs from version {number}, which stays in force; `segstream apply` changes it"
