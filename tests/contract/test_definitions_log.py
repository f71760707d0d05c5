"""The numbered versions of the definitions: the same over memory and Redis."""

from __future__ import annotations

from segstream.ports import DefinitionsVersion
from tests.contract.redis_backends import Backend


async def test_versions_are_numbered_from_one_and_come_back_in_order(backend: Backend) -> None:
    """Text, author and note come back as they were given."""
    log = backend.definitions()
    assert await log.load() == []
    first = DefinitionsVersion(1, "a: É\n", "h1", 10, "Zoë", "", 5)
    second = DefinitionsVersion(2, "b: 2", "h2", 20, "cli", "more", 6)
    for version in (first, second):
        number = await log.append(
            version.text,
            version.content_hash,
            effective_at=version.effective_at,
            author=version.author,
            note=version.note,
            at=version.at,
        )
        assert number == version.version
    assert await backend.definitions().load() == [first, second]
    assert await log.load(1) == [second]
    assert await log.load(2) == []


async def test_the_same_content_is_not_published_twice_in_a_row(backend: Backend) -> None:
    """Going back to earlier content is a version of its own."""
    log = backend.definitions()
    numbers = [
        await log.append("text", content, effective_at=0, author="", note="", at=0) for content in "aabbaa"
    ]
    assert numbers == [1, 1, 2, 2, 3, 3]


async def test_a_version_that_should_follow_another_is_added_only_while_that_is_the_latest(
    backend: Backend,
) -> None:
    """Of two that were prepared from the same version, one is added; the other finds its number taken."""
    log = backend.definitions()

    async def add(content: str, after: int) -> int:
        return await log.append(content, content, effective_at=0, author="", note="", at=0, after=after)

    assert [await add("a", 0), await add("b", 0), await add("b", 1), await add("c", 1)] == [1, 1, 2, 2]
    assert [version.text for version in await log.load()] == ["a", "b"]


async def test_a_workers_file_is_version_one_of_an_empty_log_only(backend: Backend) -> None:
    """The second worker's file is not used, whatever it says."""
    log = backend.definitions()
    assert await log.initial("a", "ha", effective_at=0, author="worker", note="", at=0) == 1
    assert await log.initial("b", "hb", effective_at=0, author="worker", note="", at=0) == 1
    assert await log.append("c", "hc", effective_at=0, author="", note="", at=0) == 2
    assert await log.initial("b", "hb", effective_at=0, author="worker", note="", at=0) == 2
    assert [version.text for version in await log.load()] == ["a", "c"]
