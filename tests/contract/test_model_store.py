"""Snapshots and learning states: the same over memory and Redis."""

from __future__ import annotations

import pytest

from segstream.errors import Fenced, StateLost
from segstream.ports import Training
from tests.contract.redis_backends import Backend


async def test_a_new_trainer_goes_on_where_the_last_one_saved(backend: Backend) -> None:
    """Epoch, latest number and learning state; None before anything was saved."""
    store = backend.models()
    assert await store.take_over("behaviour") == Training(1, 0, None)
    await store.save("behaviour", 1, '{"n": 1}')
    await store.offer("behaviour", 1, 1, '{"k": "É"}', '{"n": 2}')
    assert await backend.models().take_over("behaviour") == Training(2, 1, '{"n": 2}')
    assert await store.snapshot("behaviour", 1) == '{"k": "É"}'


async def test_a_fenced_trainer_changes_nothing(backend: Backend) -> None:
    """Neither its snapshots nor its learning state are taken."""
    store = backend.models()
    old = (await store.take_over("m")).epoch
    new = (await store.take_over("m")).epoch
    await store.save("m", new, "new")
    with pytest.raises(Fenced):
        await store.offer("m", old, 1, "{}", "old")
    with pytest.raises(Fenced):
        await store.save("m", old, "old")
    assert await store.numbers(["m"]) == {"m": 0}
    assert (await store.take_over("m")).learning == "new"


async def test_a_number_is_never_given_twice(backend: Backend) -> None:
    """A snapshot sent again (its reply was lost) is refused, and a trainer that Redis forgot starts over."""
    store = backend.models()
    epoch = (await store.take_over("m")).epoch
    await store.offer("m", epoch, 2, "two", "l2")
    for number in (1, 2):
        with pytest.raises(StateLost):
            await store.offer("m", epoch, number, "again", "l")
    with pytest.raises(StateLost):
        await store.save("m", epoch + 1, "l")
    assert await store.snapshot("m", 2) == "two"


async def test_the_last_twenty_snapshots_stay(backend: Backend) -> None:
    """Older ones go."""
    store = backend.models()
    epoch = (await store.take_over("m")).epoch
    for number in range(1, 24):
        await store.offer("m", epoch, number, str(number), "{}")
    assert await store.snapshot("m", 3) is None
    assert await store.snapshot("m", 4) == "4"
    assert await store.snapshot("m", 23) == "23"


async def test_all_names_are_asked_at_once(backend: Backend) -> None:
    """A name without snapshots is at 0; names do not see each other."""
    store = backend.models()
    epoch = (await store.take_over("m")).epoch
    await store.offer("m", epoch, 7, "{}", "{}")
    assert await store.numbers(["m", "other"]) == {"m": 7, "other": 0}
    assert await store.numbers([]) == {}
    assert await store.snapshot("other", 7) is None
