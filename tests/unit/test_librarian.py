"""The library follows what is published, and what cannot be read keeps nothing else out."""

from __future__ import annotations

import json

from segstream.adapters.memory.definitions import MemoryDefinitions
from segstream.adapters.memory.models import MemoryModels
from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.server import MemoryRedis
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.librarian import Librarian
from segstream.library import Library

DEFINITIONS = """
version: 1
features: {orders: {op: count, event: Order Completed}}
segments: {buyer: {when: orders >= 1}}
discovered: {behaviour: {model: kmeans, clusters: 2, features: [orders]}}
"""


def snapshot(number: int) -> Snapshot:
    """Return a snapshot of the model."""
    return Snapshot(
        "behaviour", number, ("orders",), ("linear",), (0.0,), (1.0,), ((0.0,), (9.0,)), ("c0", "c1")
    )


async def test_versions_and_snapshots_are_found_once_with_the_moment_a_snapshot_was_offered() -> None:
    """A second look without news says so; one snapshot without that moment, and one that is damaged, do no harm."""
    server, library = MemoryRedis(), Library()
    log, models = MemoryDefinitions(server), MemoryModels(server)
    librarian = Librarian(library, log, models, MemoryReadModel(server), kept=20, partitions=lambda: 1)
    wanted = read_definitions(DEFINITIONS).content_hash
    await log.append(DEFINITIONS, wanted, effective_at=0, author="", note="", at=0)
    assert await librarian.refresh()
    assert (library.latest, librarian.learned_at) == (1, {})
    assert not await librarian.refresh()
    epoch = (await models.take_over("behaviour")).epoch
    offers = [snapshot(1).to_json(), snapshot(2).to_json() | {"offered_at": 5_000}, {"number": 3}]
    for number, offered in enumerate(offers, 1):
        await models.offer("behaviour", epoch, number, json.dumps(offered), "{}")
    assert await librarian.refresh()
    assert library.newest_models(1, {}) == {"behaviour": 2}
    assert librarian.learned_at == {"behaviour": 5_000}
    assert not await librarian.refresh()
