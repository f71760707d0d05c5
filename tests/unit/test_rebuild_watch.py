"""Requests to make the read model anew are noticed, and what a lost Redis asks for is logged once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from segstream.adapters.memory.definitions import MemoryDefinitions
from segstream.adapters.memory.models import MemoryModels
from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.rebuilds import MemoryRebuilds
from segstream.adapters.memory.server import MemoryRedis
from segstream.core.definitions import read_definitions
from segstream.errors import ServerError
from segstream.librarian import Librarian
from segstream.library import Library
from segstream.rebuild_watch import RebuildWatch

BUYERS = "{version: 1, features: {n: {op: count, type: page}}, segments: {buyer: {when: n >= 1}}}"
READERS = "{version: 1, features: {n: {op: count, type: page}}, segments: {reader: {when: n >= 2}}}"


def librarian_of(server: MemoryRedis, library: Library) -> Librarian:
    """Return a worker's."""
    log, models = MemoryDefinitions(server), MemoryModels(server)
    return Librarian(library, log, models, MemoryReadModel(server), kept=20, partitions=lambda: 1)


async def publish(server: MemoryRedis, *texts: str) -> None:
    """Publish definitions."""
    for text in texts:
        content_hash = read_definitions(text).content_hash
        await MemoryDefinitions(server).append(
            text, content_hash, effective_at=0, author="ann", note="", at=0
        )


async def test_of_two_workers_one_says_that_a_server_is_another() -> None:
    """And both know of the request that follows from it."""
    server = MemoryRedis()
    watches = [RebuildWatch(MemoryRebuilds(server), librarian_of(server, Library())) for _ in range(2)]
    with capture_logs() as logs:
        for watch in watches:
            await watch.look()
    assert [line["event"] for line in logs] == ["redis_servers"]
    server.replication_id = "another"
    before = watches[0].requested
    with capture_logs() as logs:
        for watch in [*watches, *watches]:
            await watch.look()
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["redis_server_changed"]
    assert watches[0].requested == watches[1].requested > before


async def test_a_request_writes_the_catalog_again() -> None:
    """It is part of the read model."""
    server, library = MemoryRedis(), Library()
    await publish(server, BUYERS)
    librarian = librarian_of(server, library)
    watch = RebuildWatch(MemoryRebuilds(server), librarian)
    await watch.look()
    await librarian.refresh()
    catalog = MemoryReadModel(server).catalog()
    server.value("segments:catalog", dict).clear()
    await librarian.refresh()
    assert MemoryReadModel(server).catalog() == {}
    await MemoryRebuilds(server).request()
    await watch.look()
    await librarian.refresh()
    assert MemoryReadModel(server).catalog() == catalog != {}


async def test_definitions_that_redis_has_lost_stop_every_partition_until_they_are_back() -> None:
    """A worker knows versions 1 to 3; Redis, emptied, gets a version 1 from a new worker's file."""
    server, library = MemoryRedis(), Library()
    await publish(server, BUYERS, READERS, BUYERS)
    librarian = librarian_of(server, library)
    await librarian.refresh()
    full = server.snapshot()
    server.restore(MemoryRedis().snapshot())
    for texts, said in (
        ([], "Redis has lost definitions version 3, which this worker decides by; no partition goes on."),
        (
            [READERS],
            "Redis has lost definitions version 3, which this worker decides by; no partition goes on.",
        ),
        (
            [BUYERS, READERS, BUYERS],
            (
                "Redis has lost definitions version 3, which this worker decides by: it has another one of that number, by "
                "ann; no partition goes on."
            ),
        ),
    ):
        await publish(server, *texts)
        with pytest.raises(ServerError) as caught:
            await librarian.refresh()
        assert str(caught.value).startswith(said)
        with pytest.raises(ServerError, match="no partition goes on"):
            library.following(1)
    server.restore(full)
    await librarian.refresh()
    assert library.following(2) is not None
