"""The worker's definitions file, and the version that Redis holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstream.adapters.memory.definitions import MemoryDefinitions
from segstream.adapters.memory.server import MemoryRedis
from segstream.errors import DefinitionError, SettingsError
from segstream.first_version import publish_first

TEXT = "version: 1\nfeatures: {orders: {op: count}}\nsegments: {buyer: {when: orders >= 1}}\n"


def write(file: Path, text: str) -> None:
    """Change a file."""
    file.write_text(text)


@pytest.fixture
def log() -> MemoryDefinitions:
    """Return an empty log of versions."""
    return MemoryDefinitions(MemoryRedis())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a definitions file."""
    path = tmp_path / "shop.yaml"
    path.write_text(TEXT)
    return path


async def test_a_file_becomes_version_1_once(log: MemoryDefinitions, file: Path) -> None:
    """Where there is none yet; a second worker with the same file has nothing to say, nor has other spelling."""
    assert await publish_first(log, file, 5) is None
    write(file, "# a comment\n" + TEXT)
    assert await publish_first(log, file, 9) is None
    (version,) = await log.load()
    assert (version.version, version.author, version.note, version.at) == (
        1,
        "worker",
        "first start with shop.yaml",
        5,
    )


async def test_a_file_that_differs_is_reported_and_not_used(log: MemoryDefinitions, file: Path) -> None:
    """The version in force stays, and the warning names the file, the version and the command."""
    await publish_first(log, file, 5)
    write(file, TEXT.replace(">= 1", ">= 2"))
    assert await publish_first(log, file, 9) == (
        f"{file} differs from version 1, which stays in force; `segstream apply` changes it"
    )
    (version,) = await log.load()
    assert version.text == TEXT


async def test_nothing_to_begin_with_is_an_error_that_says_what_to_do(
    log: MemoryDefinitions, file: Path
) -> None:
    """Neither a file nor a version; a file that is not there; a file with a mistake."""
    with pytest.raises(
        SettingsError, match=r"^there are no definitions: set SEGSTREAM_DEFINITIONS to a file, or"
    ):
        await publish_first(log, None, 5)
    with pytest.raises(
        SettingsError, match=r"^SEGSTREAM_DEFINITIONS: cannot read .*nowhere\.yaml: .*No such file"
    ):
        await publish_first(log, file.with_name("nowhere.yaml"), 5)
    write(file, TEXT.replace("orders >= 1", "orderz >= 1"))
    with pytest.raises(
        DefinitionError, match=r"shop\.yaml:3:\d+: unknown name 'orderz'; did you mean 'orders'\?$"
    ):
        await publish_first(log, file, 5)
    assert await log.load() == []
