"""A store that forgets a take-over gives its epoch a second time: the same over memory and Redis."""

from __future__ import annotations

import pytest

from segstream.errors import Fenced, StateLost
from segstream.ports import NOTHING_TOLD, Commit, Meta, OutboxEntry, StateStore, Told
from tests.contract.redis_backends import Backend


async def test_of_two_owners_under_one_epoch_only_the_later_commits(backend: Backend) -> None:
    """Epoch and revision fit both, but what the first knows is forgotten."""
    first, second = backend.state(), backend.state()
    await first.take_over(NOTHING_TOLD)
    await backend.forget_meta(3, epoch=0)
    found = await second.take_over(NOTHING_TOLD)
    assert found.meta.epoch == 1
    late = Commit(Meta(revision=1, sequence=1), {"a": b"old"}, outbox=[OutboxEntry(1, b"old")])
    with pytest.raises(Fenced):
        await first.commit(late)
    with pytest.raises(Fenced):
        await first.renew(Meta(incarnation=9, revision=1))
    await second.commit(Commit(Meta(revision=1, sequence=1), {"a": b"new"}))
    assert await second.load(["a"]) == [b"new"]
    await second.renew(Meta(incarnation=9, revision=2))
    await second.commit(Commit(Meta(incarnation=9, revision=3)))


async def reach(store: StateStore, revision: int, sequence: int) -> None:
    """Commit once, up to a partition sequence."""
    await store.commit(Commit(Meta(revision=revision, sequence=sequence)))


async def test_an_epoch_that_another_has_reached_again_hides_no_loss(backend: Backend) -> None:
    """What was told under epoch 1 by another owner than this state has had is lost, though epoch and sequence fit."""
    store = backend.state()
    name = (await store.take_over(NOTHING_TOLD)).meta.owner
    await reach(store, 1, 3)
    assert not (await backend.state().take_over(Told(1, 1, 3, name))).forgotten
    found = await backend.state().take_over(Told(1, 1, 3, "c0ffee"))
    assert found.forgotten
    assert found.meta.incarnation == 2
    # The incarnation that is begun restates all, so the loss is not found once more.
    assert not (await backend.state().take_over(Told(1, 1, 3, "c0ffee"))).forgotten


async def test_a_lost_tail_that_a_later_owner_has_made_up_in_number_is_lost(backend: Backend) -> None:
    """The next owner began below what was told, so what it has committed since is something else."""
    first, second = backend.state(), backend.state()
    name = (await first.take_over(NOTHING_TOLD)).meta.owner
    await reach(first, 1, 3)  # its fourth and fifth are told, and forgotten
    await second.take_over(NOTHING_TOLD)
    await reach(second, 2, 6)
    assert not (await backend.state().take_over(Told(1, 1, 3, name))).forgotten
    assert (await backend.state().take_over(Told(1, 1, 5, name))).forgotten


async def test_an_owner_that_a_state_goes_past_without_having_had_it_is_lost(backend: Backend) -> None:
    """Epoch 2 told something, and the state has had epochs 1 and 3 only."""
    await backend.state().take_over(NOTHING_TOLD)
    await backend.forget_meta(3, epoch=2)
    await backend.state().take_over(NOTHING_TOLD)
    assert (await backend.state().take_over(Told(1, 2, 0, "c0ffee"))).forgotten


async def test_what_was_told_by_a_former_version_names_no_owner(backend: Backend) -> None:
    """Then epoch, incarnation and sequence are all there is to go by."""
    store = backend.state()
    await store.take_over(NOTHING_TOLD)
    await reach(store, 1, 3)
    assert not (await backend.state().take_over(Told(1, 1, 3))).forgotten


async def test_what_a_later_owner_wrote_is_not_read_by_an_earlier_one(backend: Backend) -> None:
    """It could commit on top of it, if the store forgot the later owner, and count an event twice."""
    first, second = backend.state(), backend.state()
    await first.take_over(NOTHING_TOLD)
    assert await first.load(["a"]) == [None]
    await second.take_over(NOTHING_TOLD)
    await second.commit(Commit(Meta(revision=1, sequence=1), {"a": b"new"}))
    with pytest.raises(Fenced):
        await first.load(["a"])
    assert await second.load(["a"]) == [b"new"]
    await backend.forget_meta(3, epoch=1)
    with pytest.raises(StateLost):
        await second.load(["a"])
