"""The library follows what is published, and what cannot be read keeps nothing else out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segstream.adapters.memory.definitions import MemoryDefinitions
from segstream.adapters.memory.models import MemoryModels
from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.server import MemoryRedis
from segstream.core.basis import Basis
from segstream.core.clusters import Snapshot
from segstream.core.definitions import Definitions, read_definitions
from segstream.errors import DefinitionError
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


class Overtaken(MemoryReadModel):
    """A read model that is lost while the catalog is being written."""

    librarian: Librarian

    def __init__(self, server: MemoryRedis) -> None:
        super().__init__(server)
        self.written = 0

    async def describe(self, catalog: Any, definitions: int) -> None:
        """Write it; the first time, somebody asks for another one meanwhile."""
        await super().describe(catalog, definitions)
        self.written += 1
        if self.written == 1:
            self.librarian.describe_again()


async def test_a_catalog_asked_for_while_one_is_written_is_written_too() -> None:
    """Each of the two is noticed by a step of its own, once a second; and no more than asked for."""
    server, library = MemoryRedis(), Library()
    log, shown = MemoryDefinitions(server), Overtaken(server)
    shown.librarian = librarian = Librarian(
        library, log, MemoryModels(server), shown, kept=20, partitions=lambda: 1
    )
    wanted = read_definitions(DEFINITIONS).content_hash
    await log.append(DEFINITIONS, wanted, effective_at=0, author="", note="", at=0)
    for written in (1, 2, 2):
        await librarian.refresh()
        assert shown.written == written


REFUSED = DEFINITIONS.replace("orders >= 1", "orders => 1")


async def published(server: MemoryRedis, *texts: str) -> Librarian:
    """Return one that has not looked yet, of so many versions."""
    log = MemoryDefinitions(server)
    for number, text in enumerate(texts):
        await log.append(text, str(number), effective_at=0, author="", note="", at=0)
    models, read_model = MemoryModels(server), MemoryReadModel(server)
    return Librarian(Library(), log, models, read_model, kept=20, partitions=lambda: 1)


async def test_a_version_is_compiled_when_it_is_needed_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes some 50 ms, and there may be hundreds: a start would take the longer, the older a deployment is."""
    compiled: list[str] = []

    def noted(text: str, name: str) -> Definitions:
        compiled.append(name)
        return read_definitions(text, name)

    monkeypatch.setattr("segstream.library.read_definitions", noted)
    librarian = await published(MemoryRedis(), *[DEFINITIONS] * 40)
    assert await librarian.refresh()
    assert not await librarian.refresh()
    assert compiled == ["definitions version 40"]
    for _ in range(2):
        assert librarian._library.definitions(7).document.version == 1
    assert compiled[1:] == ["definitions version 7"]
    librarian._library.segments()
    assert len(compiled) == 40


async def test_a_version_that_is_refused_is_in_nobodys_way_once_another_is_in_force() -> None:
    """Only who needs it is told, with the place in it and what to do."""
    librarian = await published(MemoryRedis(), REFUSED, DEFINITIONS)
    library = librarian._library
    assert await librarian.refresh()
    assert (library.latest, library.readable) == (2, 2)
    assert library.segments() == ["buyer"]
    with pytest.raises(DefinitionError) as caught:
        library.definitions(1)
    assert str(caught.value) == (
        "definitions version 1:4:33: '=' was not expected here; write >=. Another version of segstream has taken this, and it "
        "is needed here: go on with that one, until definitions that both take are published (`segstream apply`) and in "
        "force (`segstream history`)"
    )
    assert caught.value.excerpt().startswith("segments: {buyer: {when: orders => 1}}")


async def test_a_refused_version_that_is_to_come_stops_nobody_before() -> None:
    """Those that read it have described its segments: the catalog stays theirs."""
    server = MemoryRedis()
    librarian = await published(server, DEFINITIONS, REFUSED)
    assert await librarian.refresh()
    assert (librarian._library.latest, librarian._library.readable) == (2, 1)
    assert librarian._library.models() == ["behaviour"]
    assert not await librarian.refresh()


async def test_without_any_version_that_can_be_read_nothing_begins() -> None:
    """And the latest is named: there is no other to go on with."""
    librarian = await published(MemoryRedis(), REFUSED, REFUSED)
    with pytest.raises(DefinitionError, match=r"^definitions version 2:4:33: .* go on with that one"):
        await librarian.refresh()


async def test_the_models_of_what_a_partition_rests_on_are_loaded_too() -> None:
    """It may be long until it adopts the latest version, which has no model any more."""
    server = MemoryRedis()
    librarian = await published(server, DEFINITIONS, DEFINITIONS.split("discovered", maxsplit=1)[0])
    models = MemoryModels(server)
    epoch = (await models.take_over("behaviour")).epoch
    await models.offer("behaviour", epoch, 1, json.dumps(snapshot(1).to_json()), "{}")
    assert await librarian.refresh()
    assert librarian._library.snapshots(20) == []
    librarian._library.need([Basis(1, 0, 1, 1, {})])
    assert await librarian.refresh()
    assert librarian._library.snapshots(20) == [snapshot(1)]
