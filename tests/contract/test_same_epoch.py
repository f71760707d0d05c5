"""A store that forgets a take-over gives its epoch a second time: the same over memory and Redis."""

from __future__ import annotations

import pytest

from segstream.errors import Fenced
from segstream.ports import NOTHING_TOLD, Commit, Meta, OutboxEntry
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
