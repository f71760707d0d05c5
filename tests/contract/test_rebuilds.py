"""Requests to make the read model anew: the same over memory and Redis."""

from __future__ import annotations

import asyncio

from segstream.ports import NOTHING_TOLD, Commit, Meta, Rebuilding
from tests.contract.redis_backends import Backend


async def test_a_later_request_has_a_greater_number(backend: Backend) -> None:
    """Whoever makes it."""
    numbers = [await backend.rebuilds().request() for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert (await backend.rebuilds().watch()).requested >= numbers[-1]


async def test_the_first_look_gets_to_know_the_servers(backend: Backend) -> None:
    """It requests a rebuild: whether they have forgotten something cannot be told. The second look finds nothing new."""
    first = await backend.rebuilds().watch()
    assert (first.changed, first.first) == (1, True)
    assert first.requested > 0
    again = await backend.rebuilds().watch()
    assert again == (first.requested, 0, False)


async def test_of_many_workers_one_requests_a_rebuild_when_a_server_changes(backend: Backend) -> None:
    """All others find it requested."""
    before = await backend.rebuilds().watch()
    await backend.server_changes()
    looks = await asyncio.gather(*[backend.rebuilds().watch() for _ in range(8)])
    assert sum(look.changed for look in looks) == 1
    assert not any(look.first for look in looks)
    assert {look.requested for look in looks} == {max(look.requested for look in looks)}
    assert looks[0].requested > before.requested


async def test_progress_tells_how_many_users_a_partition_has_been_through(backend: Backend) -> None:
    """Before, in the middle, with the users done and afterwards."""
    rebuilds = backend.rebuilds()
    assert await rebuilds.progress(2) == [Rebuilding(0, 0, "", 0, 0)] * 2
    store = backend.state(1)
    await store.take_over(NOTHING_TOLD)

    async def progress(revision: int, rebuilt: int, rebuild: str, arrivals: list[str]) -> Rebuilding:
        await store.commit(
            Commit(Meta(revision=revision, rebuilt=rebuilt, rebuild=rebuild), arrivals=arrivals)
        )
        return (await rebuilds.progress(2))[1]

    assert await progress(1, 0, "", ["a", "b c", "d"]) == (1, 0, "", 3, 0)
    assert await progress(2, 0, "7 users ", []) == (1, 0, "7 users ", 3, 0)
    assert await progress(3, 0, "7 users b c", []) == (1, 0, "7 users b c", 3, 2)
    assert await progress(4, 0, "7 lists loyal", []) == (1, 0, "7 lists loyal", 3, 3)
    assert await progress(5, 7, "", []) == (1, 7, "", 3, 0)


async def test_how_many_partitions_there_are_is_known_from_the_state(backend: Backend) -> None:
    """0 where there is none."""
    assert await backend.rebuilds().partitions() == 0
    store = backend.state(0)
    await store.take_over(NOTHING_TOLD)
    await store.commit(Commit(Meta(revision=1, partitions=12)))
    assert await backend.rebuilds().partitions() == 12
