"""The private state read without taking anything over: the same over memory and Redis."""

from __future__ import annotations

from segstream.errors import Fenced
from segstream.ports import NOTHING_TOLD, Commit, Meta
from tests.contract.redis_backends import Backend

USERS = {"a": b"1", "b c": b"2", "É": b"3", "z": b"4"}


async def begin(backend: Backend, partition: int, users: dict[str, bytes], partitions: int = 2) -> None:
    """Begin a partition with some users."""
    store = backend.state(partition)
    await store.take_over(NOTHING_TOLD)
    meta = Meta(revision=1, clock=5, bases="[[1,0,1,1,{}]]", partitions=partitions)
    await store.commit(Commit(meta, states=users, arrivals=list(users)))


async def test_users_come_in_slices_in_order_and_once(backend: Backend) -> None:
    """By the bytes of their ids; a last, empty slice says that there are no more."""
    await begin(backend, 1, USERS)
    reader, found, last = backend.reader(), dict[str, bytes](), ""
    sizes = []
    while True:
        part = await reader.slice(1, last, 3)
        sizes.append(len(part.states))
        found |= part.states
        assert (part.meta.clock, part.meta.bases) == (5, "[[1,0,1,1,{}]]")
        if not part.last:
            break
        last = part.last
    assert sizes == [3, 1, 0]
    assert list(found.items()) == [("a", b"1"), ("b c", b"2"), ("z", b"4"), ("É", b"3")]


async def test_each_partitions_own_state_and_how_many_users_there_are_are_told(backend: Backend) -> None:
    """A partition that nobody has taken over is blank; without any state there are no partitions."""
    reader = backend.reader()
    assert (await reader.partitions(), await reader.users(0), await reader.metas(0)) == (0, 0, [])
    await begin(backend, 0, USERS)
    assert (await reader.partitions(), await reader.users(2)) == (2, 4)
    first, second = await reader.metas(2)
    assert (first.epoch, first.revision, first.clock, first.partitions) == (1, 1, 5, 2)
    assert (second.epoch, second.bases) == (0, "")


async def test_an_owner_does_not_notice(backend: Backend) -> None:
    """It commits as before; had it been fenced it could not."""
    store = backend.state(0)
    await store.take_over(NOTHING_TOLD)
    await store.commit(Commit(Meta(revision=1, partitions=1)))
    await backend.reader().slice(0, "", 10)
    await backend.reader().metas(1)
    try:
        await store.commit(Commit(Meta(revision=2, partitions=1)))
    except Fenced as error:  # pragma: no cover - what must not be
        raise AssertionError("a look has fenced the owner") from error
    assert (await backend.reader().metas(1))[0].revision == 2
