"""One partition's private state: the same over memory and Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segstream.core.time import NEVER
from segstream.errors import Fenced, StateLost
from segstream.ports import NOTHING_TOLD, Commit, Meta, OutboxEntry, StateStore, Told
from tests.contract.redis_backends import Backend


def step(revision: int, **parts: object) -> Commit:
    """Return a commit that makes revision ``revision``."""
    meta = Meta(revision=revision, sequence=revision, clock=1000 * revision, partitions=4)
    return Commit(meta, **parts)  # type: ignore[arg-type]  # a test's shorthand


async def owner(backend: Backend, told: Told = NOTHING_TOLD) -> StateStore:
    """Return a store that has taken the partition over."""
    store = backend.state()
    await store.take_over(told)
    return store


async def test_a_new_partition_starts_at_incarnation_and_epoch_one(backend: Backend) -> None:
    """Nothing stored, nothing told: a beginning, not a loss."""
    found = await backend.state().take_over(NOTHING_TOLD)
    assert found.meta == Meta(incarnation=1, epoch=1, owner=found.meta.owner)
    assert found.meta.owner
    assert (found.outbox, found.next_due, found.forgotten) == ([], NEVER, False)


async def test_a_new_owner_finds_what_was_committed(backend: Backend) -> None:
    """Meta, outbox and the earliest due time come back as they were given, whatever their text holds."""
    store = await owner(backend)
    meta = Meta(
        revision=1,
        sequence=2,
        clock=9,
        offsets={"events": 41, "crm:ü": 7},
        bases='[{"a": 1}]',
        sweep="3 anon:ü x",
        partitions=4,
    )
    entries = [OutboxEntry(1, b"\x00\xff"), OutboxEntry(2, b"two")]
    await store.commit(Commit(meta, {"ü": b"\x00"}, {"ü": 1_700_000_000_123}, ["ü"], entries))
    found = await backend.state().take_over(Told(1, 1, 1))
    meta.incarnation, meta.epoch = 1, 2
    assert found.meta == replace(meta, owner=found.meta.owner)
    assert found.outbox == entries
    assert (found.next_due, found.forgotten) == (1_700_000_000_123, False)


async def test_states_come_back_in_the_order_asked(backend: Backend) -> None:
    """One round trip, None for unknown users, and the empty question has the empty answer."""
    store = await owner(backend)
    await store.commit(step(1, states={"a": b"A", "b": b""}))
    assert await store.load(["b", "nobody", "a", "b"]) == [b"", None, b"A", b""]
    assert await store.load([]) == []


async def test_a_commit_under_an_old_epoch_writes_nothing(backend: Backend) -> None:
    """The second take-over fences the first owner."""
    first = await owner(backend)
    second = await owner(backend)
    with pytest.raises(Fenced):
        await first.commit(step(1, states={"a": b"old"}, arrivals=["a"], outbox=[OutboxEntry(1, b"old")]))
    assert await second.load(["a"]) == [None]
    assert await second.users_after("", 10) == []
    await second.commit(step(1, states={"a": b"new"}))
    assert await second.load(["a"]) == [b"new"]


async def test_a_commit_on_another_revision_writes_nothing(backend: Backend) -> None:
    """Neither a commit sent twice nor one after a lost one is applied."""
    store = await owner(backend)
    await store.commit(step(1, states={"a": b"1"}))
    for revision in (1, 3):
        with pytest.raises(StateLost):
            await store.commit(step(revision, states={"a": b"x"}, timers={"a": 5}))
    assert await store.load(["a"]) == [b"1"]
    assert await store.due(NEVER, 10) == []
    await store.commit(step(2, states={"a": b"2"}))


async def test_a_store_that_forgot_the_take_over_is_lost_not_fenced(backend: Backend) -> None:
    """An epoch that went back means a lost tail: nobody else owns the partition."""
    store = await owner(backend)
    await backend.forget_meta(3, epoch=0)
    with pytest.raises(StateLost):
        await store.commit(step(1))


@pytest.mark.parametrize("told", [Told(1, 1, 9), Told(1, 7, 1), Told(2, 1, 0)])
async def test_a_store_below_what_was_told_starts_a_new_incarnation(backend: Backend, told: Told) -> None:
    """Sequence, epoch or incarnation below what was told: Redis has forgotten."""
    store = await owner(backend)
    await store.commit(step(1, outbox=[OutboxEntry(1, b"one")]))
    found = await backend.state().take_over(told)
    assert found.forgotten
    assert found.meta.incarnation == max(1, told.incarnation) + 1
    assert found.meta.epoch == max(1, told.epoch) + 1
    assert found.outbox == [OutboxEntry(1, b"one")]
    again = await backend.state().take_over(Told(found.meta.incarnation, found.meta.epoch, 1))
    assert not again.forgotten
    assert again.meta.incarnation == found.meta.incarnation


async def test_an_empty_store_below_what_was_told_has_forgotten_too(backend: Backend) -> None:
    """A Redis that lost everything goes on above all that was told."""
    found = await backend.state().take_over(Told(4, 9, 1000))
    assert (found.meta.incarnation, found.meta.epoch, found.forgotten) == (5, 10, True)


async def test_a_sequence_of_an_older_incarnation_is_no_loss(backend: Backend) -> None:
    """Sequences compare within an incarnation only: a new one goes on from what Redis holds."""
    await backend.state().take_over(Told(4, 9, 1000))
    assert not (await backend.state().take_over(Told(4, 9, 1000))).forgotten


async def test_what_is_published_leaves_the_outbox(backend: Backend) -> None:
    """Entries go up to the one named and no further, and a cleared outbox still numbers on."""
    store = await owner(backend)
    entries = [OutboxEntry(number, b"%d" % number) for number in range(1, 6)]
    await store.commit(Commit(Meta(revision=1, sequence=5), outbox=entries))
    await store.commit(Commit(Meta(revision=2, sequence=5), published=3))
    assert (await backend.state().take_over(NOTHING_TOLD)).outbox == entries[3:]
    store = await owner(backend)
    await store.commit(Commit(Meta(revision=3, sequence=5), published=5))
    await store.commit(Commit(Meta(revision=4, sequence=6), outbox=[OutboxEntry(6, b"6")], published=5))
    assert (await backend.state().take_over(NOTHING_TOLD)).outbox == [OutboxEntry(6, b"6")]


async def test_timers_come_earliest_first_and_before_a_moment_only(backend: Backend) -> None:
    """Strictly before; at one instant in the order of the ids' bytes; as many as asked."""
    store = await owner(backend)
    timers = {"c": 20, "b": 10, "\U0001f600": 10, "\uffee": 10, "d": 30, "e": NEVER}
    assert await store.commit(step(1, timers=timers)) == 10
    assert await store.due(30, 10) == [("b", 10), ("\uffee", 10), ("\U0001f600", 10), ("c", 20)]
    assert await store.due(30, 2) == [("b", 10), ("\uffee", 10)]
    assert await store.due(10, 10) == []


async def test_a_timer_moves_and_goes(backend: Backend) -> None:
    """A new due time replaces the old one; NEVER takes it away."""
    store = await owner(backend)
    await store.commit(step(1, timers={"a": 10, "b": 20}))
    assert await store.commit(step(2, timers={"a": 30})) == 20
    assert await store.commit(step(3, timers={"b": NEVER, "stranger": NEVER})) == 30
    assert await store.commit(step(4, timers={"a": NEVER})) == NEVER


async def test_users_are_listed_by_the_bytes_of_their_ids(backend: Backend) -> None:
    """A sweep goes on from the last user, in an order that every language agrees on."""
    store = await owner(backend)
    users = ["", "10", "9", "Z", "a", "é", "\uffee", "\U0001f600"]
    await store.commit(step(1, arrivals=users[:0:-1]))
    assert await store.users_after("", 3) == users[1:4]
    assert await store.users_after("Z", 100) == users[4:]
    assert await store.users_after("\U0001f600", 100) == []
    assert await store.users_after("Y", 1) == ["Z"]


async def test_five_thousand_users_fit_into_one_commit(backend: Backend) -> None:
    """No limit of Lua's stack stands in the way of a large batch."""
    store = await owner(backend)
    users = [f"{number:05d}" for number in range(5000)]
    offsets = {f"topic{number}": number for number in range(50)}
    commit = Commit(
        Meta(revision=1, sequence=5000, offsets=offsets),
        {user: user.encode() for user in users},
        {user: 1000 + number for number, user in enumerate(users)},
        users,
        [OutboxEntry(number + 1, b"x") for number in range(5000)],
    )
    assert await store.commit(commit) == 1000
    assert await store.load([users[0], users[3999], users[4999]]) == [b"00000", b"03999", b"04999"]
    assert await store.users_after("04989", 100) == users[4990:]
    assert len(await store.due(NEVER, 10_000)) == 5000
    commit = Commit(Meta(revision=2, sequence=5000), timers=dict.fromkeys(users, NEVER), published=5000)
    assert await store.commit(commit) == NEVER
    found = await backend.state().take_over(NOTHING_TOLD)
    assert (found.outbox, found.meta.offsets) == ([], offsets)


async def test_partitions_do_not_see_each_other(backend: Backend) -> None:
    """Two partitions of one server share nothing."""
    store, other = await owner(backend), backend.state(4)
    await other.take_over(NOTHING_TOLD)
    await store.commit(step(1, states={"a": b"A"}, timers={"a": 5}, arrivals=["a"]))
    assert await other.load(["a"]) == [None]
    assert await other.commit(step(1)) == NEVER


async def test_the_highest_offsets_of_forwarded_records_are_committed_with_the_rest(backend: Backend) -> None:
    """Also those a commit does not name stay; whoever is fenced or behind raises none."""
    store = await owner(backend)
    await store.commit(Commit(Meta(revision=1, forwarded={"visits-0": 5, "a.b-c-12": 70})))
    await store.commit(Commit(Meta(revision=2, forwarded={"visits-0": 9, "a.b-c-12": 70})))
    with pytest.raises(StateLost):
        await store.commit(Commit(Meta(revision=2, forwarded={"visits-0": 11})))
    next_owner = backend.state()
    found = await next_owner.take_over(NOTHING_TOLD)
    assert found.meta.forwarded == {"visits-0": 9, "a.b-c-12": 70}
    with pytest.raises(Fenced):
        await store.commit(Commit(Meta(revision=3, forwarded={"visits-0": 12})))
    await next_owner.commit(Commit(Meta(revision=3, forwarded={"visits-1": 0})))
    found = await backend.state().take_over(NOTHING_TOLD)
    assert found.meta.forwarded == {"visits-0": 9, "visits-1": 0, "a.b-c-12": 70}


async def test_users_and_topics_with_words_of_the_protocol_are_harmless(backend: Backend) -> None:
    """What a script replies is told apart from what users are called."""
    store = await owner(backend)
    words = ["fenced", "lost", "ok", "a b\r\nc", "{5}"]
    await store.commit(
        step(
            1, states={word: word.encode() for word in words}, timers=dict.fromkeys(words, 1), arrivals=words
        )
    )
    assert {user for user, _ in await store.due(2, 10)} == set(words)
    assert await store.load(words) == [word.encode() for word in words]


async def test_a_reset_begins_an_incarnation_at_least_as_great_as_asked(backend: Backend) -> None:
    """It is raised on purpose, never lowered, and the owner that does it is an owner like any other."""
    first = await owner(backend)
    store = backend.state()
    found = await store.take_over(NOTHING_TOLD, 7)
    assert (found.meta.incarnation, found.meta.epoch, found.forgotten) == (7, 2, False)
    assert (await backend.state().take_over(NOTHING_TOLD, 3)).meta.incarnation == 7
    with pytest.raises(Fenced):
        await first.commit(step(1))


async def test_users_that_depart_leave_nothing_behind(backend: Backend) -> None:
    """State, timer and place among the users go in one step with what is told of it."""
    store = await owner(backend)
    users = [f"{number:05d}" for number in range(4500)]
    states, timers = dict.fromkeys(users, b"x"), dict.fromkeys(users, 9)
    await store.commit(step(1, states=states, timers=timers, arrivals=users))
    gone, kept = users[:-1], users[-1]
    due = await store.commit(step(2, departures=gone, outbox=[OutboxEntry(2, b"bye")]))
    assert due == 9
    assert await store.users_after("", 10) == [kept]
    assert await store.due(NEVER, 10) == [(kept, 9)]
    assert await store.load([gone[0], gone[-1], kept]) == [None, None, b"x"]
    assert (await backend.state().take_over(NOTHING_TOLD)).outbox == [OutboxEntry(2, b"bye")]


async def test_a_stranger_may_be_noted_as_a_user_without_a_state(backend: Backend) -> None:
    """Then it is among the users, and goes like any other."""
    store = await owner(backend)
    await store.commit(step(1, arrivals=["a", "b"], states={"b": b"B"}))
    assert await store.unknown(["c", "a", "b", "d"]) == ["c", "d"]
    assert await store.unknown([]) == []
    await store.commit(step(2, departures=["a", "b"]))
    assert await store.unknown(["a", "b"]) == ["a", "b"]


async def test_a_partition_begins_anew_with_nothing_but_what_it_is_given(backend: Backend) -> None:
    """Offsets of other topics, bases, timers and the outbox go; the epoch stays, so that fences hold."""
    store = await owner(backend)
    meta = Meta(
        revision=1, sequence=5, clock=9, offsets={"old": 3}, bases="[]", sweep="1 a", partitions=8, rebuilt=4
    )
    await store.commit(Commit(meta, {}, {"a": 5}, ["a"], [OutboxEntry(5, b"x")]))
    fresh = Meta(incarnation=6, revision=2, sequence=5, offsets={"events": -1}, partitions=4, reset="6")
    await store.renew(fresh)
    assert await store.users_after("", 10) == []
    assert await store.commit(Commit(Meta(incarnation=6, revision=3, sequence=5, partitions=4))) == NEVER
    found = await backend.state().take_over(NOTHING_TOLD)
    assert found.meta == Meta(6, 2, 3, 5, 0, {"events": -1}, partitions=4, owner=found.meta.owner)
    assert (found.outbox, found.next_due) == ([], NEVER)


async def test_nobody_but_the_owner_begins_a_partition_anew(backend: Backend) -> None:
    """Another epoch or another revision: nothing is touched."""
    store = await owner(backend)
    await store.commit(step(1, timers={"a": 5}, arrivals=["a"]))
    with pytest.raises(StateLost):
        await store.renew(Meta(incarnation=9, revision=5))
    other = await owner(backend)
    with pytest.raises(Fenced):
        await store.renew(Meta(incarnation=9, revision=2))
    assert await other.due(NEVER, 10) == [("a", 5)]
    assert (await backend.state().take_over(NOTHING_TOLD)).meta.incarnation == 1
