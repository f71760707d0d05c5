"""The consumer of changes on a real Kafka: once each, in order, and saying what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import CommitFailedError, IllegalStateError

from segstream_schemas import Cause, Change, ChangeConsumer, ChangesError, Gap, change_id
from tests.conftest import Topics

pytestmark = pytest.mark.integration

DEADLINE = 30.0
AT = datetime(1997, 6, 11, tzinfo=UTC)


def change(user: str, sequence: int, incarnation: int = 1) -> Change:
    """Return a user's entry into a segment."""
    return Change(
        id=change_id(user, incarnation, sequence),
        user_id=user,
        incarnation=incarnation,
        sequence=sequence,
        segment="loyal",
        kind="rule",
        group=None,
        change="entered",
        previous=None,
        at=AT,
        processed_at=AT,
        expires_at=None,
        cause=Cause(type="timer", due=AT),
        reasons=(),
        segments=("loyal",),
        definitions_version=1,
        model_version={},
    )


@asynccontextmanager
async def producer(address: str, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer."""
    found = AIOKafkaProducer(bootstrap_servers=address, transactional_id=transactional_id)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def send(sender: AIOKafkaProducer, topic: str, changes: Sequence[Change], partition: int = 0) -> None:
    """Send changes as the worker does."""
    for each in changes:
        await sender.send_and_wait(
            topic, each.model_dump_json().encode(), each.user_id.encode(), partition=partition
        )


async def take(consumer: ChangeConsumer, count: int) -> list[tuple[str, int, int]]:
    """Return so many changes: user, incarnation, sequence."""
    async with asyncio.timeout(DEADLINE):
        found = [await anext(consumer) for _ in range(count)]
    return [(each.user_id, each.incarnation, each.sequence) for each in found]


async def test_changes_come_typed_once_and_in_order(topics: Topics) -> None:
    """A repeat is dropped by (incarnation, sequence); what an earlier incarnation told late is one too."""
    topic = await topics.create("changes")
    async with producer(topics.address) as sender:
        told = [
            change("a", 1),
            change("b", 1),
            change("a", 2),
            change("a", 2),
            change("a", 1),
            change("b", 2),
        ]
        told += [change("a", 1, 2), change("a", 3, 1), change("a", 2, 2), change("end", 1)]
        await send(sender, topic, told)
    gaps: list[Gap] = []
    async with ChangeConsumer(topics.address, topic=topic, on_gap=gaps.append) as changes:
        async with asyncio.timeout(DEADLINE):
            first = await anext(changes)
        assert first == change("a", 1)
        assert await take(changes, 6) == [
            *(("b", 1, 1), ("a", 1, 2), ("b", 1, 2)),
            *(("a", 2, 1), ("a", 2, 2), ("end", 1, 1)),
        ]
    assert gaps == []


async def test_gaps_are_reported_and_logged_without_the_users_id(
    topics: Topics, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an incarnation, and where a new one does not begin with its first; reading goes on."""
    topic = await topics.create("changes")
    async with producer(topics.address) as sender:
        await send(sender, topic, [change("alice", 1), change("alice", 4), change("alice", 3, 2)])
    gaps: list[Gap] = []
    # import-linter, which another test runs, switches off all loggers that are there.
    monkeypatch.setattr(logging.getLogger("segstream_schemas.change_consumer"), "disabled", False)
    with caplog.at_level(logging.INFO, "segstream_schemas"):
        async with ChangeConsumer(topics.address, topic=topic, on_gap=gaps.append) as changes:
            assert await take(changes, 3) == [("alice", 1, 1), ("alice", 1, 4), ("alice", 2, 3)]
    assert gaps == [Gap("alice", 1, 2, 3, 0, 1), Gap("alice", 2, 1, 2, 0, 2)]
    # Only ours: aiokafka may say that it has not heard of the new topic yet.
    ours = [record for record in caplog.records if record.name == "segstream_schemas.change_consumer"]
    assert [record.levelname for record in ours] == ["WARNING", "WARNING"]
    assert "before offset 1 the changes 2 to 3 of incarnation 1" in caplog.text
    assert "alice" not in caplog.text


async def test_whoever_stops_at_a_gap_gets_the_change_behind_it_afterwards(topics: Topics) -> None:
    """An error of on_gap ends the iteration, and loses nothing."""
    topic = await topics.create("changes")
    async with producer(topics.address) as sender:
        await send(sender, topic, [change("a", 1), change("a", 3)])
    told: list[Gap] = []

    def once(gap: Gap) -> None:
        told.append(gap)
        if len(told) == 1:
            raise LookupError(gap)

    async with ChangeConsumer(topics.address, topic=topic, on_gap=once) as changes:
        assert await take(changes, 1) == [("a", 1, 1)]
        with pytest.raises(LookupError):
            await take(changes, 1)
        assert await take(changes, 1) == [("a", 1, 3)]


async def test_what_was_aborted_is_never_seen(topics: Topics) -> None:
    """Nor does it count as told: the same sequence comes again in a transaction that is committed."""
    topic = await topics.create("changes")
    async with producer(topics.address, topics.prefix) as sender:
        async with sender.transaction():
            await send(sender, topic, [change("a", 1)])
        await sender.begin_transaction()
        await send(sender, topic, [change("a", 2), change("b", 1)])
        await sender.abort_transaction()
        async with sender.transaction():
            await send(sender, topic, [change("a", 2), change("a", 3)])
    gaps: list[Gap] = []
    async with ChangeConsumer(topics.address, topic=topic, on_gap=gaps.append) as changes:
        assert await take(changes, 3) == [("a", 1, 1), ("a", 1, 2), ("a", 1, 3)]
    assert gaps == []


async def test_a_commit_covers_what_was_handed_out_and_not_what_was_fetched(topics: Topics) -> None:
    """The group's next member begins with the first change that nobody has had."""
    topic = await topics.create("changes")
    async with producer(topics.address) as sender:
        await send(sender, topic, [change("a", n) for n in range(1, 6)])
    for expected in ([1, 2], [3, 4], [5]):
        async with ChangeConsumer(topics.address, topic=topic, group=topics.prefix) as changes:
            assert [sequence for _, _, sequence in await take(changes, len(expected))] == expected
            await changes.commit()


async def test_without_a_commit_changes_come_again_to_the_next_consumer(topics: Topics) -> None:
    """What may not have been dealt with is told again, rather than lost."""
    topic = await topics.create("changes")
    async with producer(topics.address) as sender:
        await send(sender, topic, [change("a", 1)])
    for _ in range(2):
        async with ChangeConsumer(topics.address, topic=topic, group=topics.prefix) as changes:
            assert await take(changes, 1) == [("a", 1, 1)]


async def test_latest_begins_with_what_comes_from_now_on(topics: Topics) -> None:
    """For who wants to follow, not to catch up."""
    topic = await topics.create("changes")
    async with producer(topics.address) as sender:
        await send(sender, topic, [change("a", 1)])
        async with ChangeConsumer(topics.address, topic=topic, start="latest") as changes:
            # The position is looked up with the first poll: what is sent before that may or may not be new.
            waiting = asyncio.create_task(take(changes, 1))
            sequence = 1
            while not waiting.done():
                sequence += 1
                await send(sender, topic, [change("a", sequence)])
                await asyncio.wait([waiting], timeout=0.2)
            [(_, _, found)] = await waiting
    assert 1 < found <= sequence


async def test_members_of_a_group_share_partitions_without_loss_or_false_gaps(topics: Topics) -> None:
    """While a second one comes and goes, each change is dealt with once by either."""
    topic = await topics.create("changes", 2)
    options: dict[str, Any] = {
        "group": topics.prefix,
        "topic": topic,
        "heartbeat_interval_ms": 100,
        "session_timeout_ms": 6_000,
    }
    found: list[tuple[str, int]] = []
    gaps: list[Gap] = []
    rounds = 30

    async def work(changes: ChangeConsumer, enough: asyncio.Event) -> None:
        async for each in changes:
            found.append((each.user_id, each.sequence))
            # Refused where the partition was given to the other: it comes again, to whoever has it now.
            with suppress(CommitFailedError, IllegalStateError):
                await changes.commit()
            if enough.is_set() or len(set(found)) == 2 * rounds:
                return

    async def feed(sender: AIOKafkaProducer, sequences: range) -> None:
        for sequence in sequences:
            for partition, user in enumerate(("a", "b")):
                await send(sender, topic, [change(user, sequence)], partition)

    async with (
        asyncio.timeout(2 * DEADLINE),
        producer(topics.address) as sender,
        ChangeConsumer(topics.address, on_gap=gaps.append, **options) as one,
    ):
        never, leave = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(work(one, never))
        await feed(sender, range(1, 11))
        async with ChangeConsumer(topics.address, on_gap=gaps.append, **options) as two:
            second = asyncio.create_task(work(two, leave))
            await feed(sender, range(11, 21))
            leave.set()
            await feed(sender, range(21, 26))
            await second  # it has been given something
        await feed(sender, range(26, rounds + 1))
        await first
    assert set(found) == {(user, n) for user in ("a", "b") for n in range(1, rounds + 1)}
    assert gaps == []
    for user in ("a", "b"):
        sequences = list(dict.fromkeys(n for who, n in found if who == user))
        assert sequences == sorted(sequences)


async def test_a_record_that_is_no_change_is_an_error_with_its_place_and_reading_goes_on(
    topics: Topics,
) -> None:
    """Never what stands in it, which may be personal."""
    topic = await topics.create("changes")
    later = change("a", 1).model_copy(update={"schema_version": 2})
    async with producer(topics.address) as sender:
        await sender.send_and_wait(topic, b'{"user": "secret"}')
        await sender.send_and_wait(topic, None, b"a")
        await sender.send_and_wait(topic, b"hello")
        await send(sender, topic, [later, change("a", 1)])
    async with ChangeConsumer(topics.address, topic=topic) as changes:
        for offset, text in enumerate(
            ["is not a change: id: Field required", "has no value", "Invalid JSON", "schema version 2"]
        ):
            with pytest.raises(ChangesError, match=text) as raised:
                await take(changes, 1)
            assert str(raised.value).startswith(f"{topic} partition 0 offset {offset} ")
            assert "secret" not in str(raised.value)
        assert await take(changes, 1) == [("a", 1, 1)]


async def test_a_missing_topic_is_said_with_what_to_do(kafka: str) -> None:
    """The wrong Kafka or the wrong name."""
    with pytest.raises(ChangesError, match=r"there is no topic test-none on .* `segstream topics` creates"):
        async with ChangeConsumer(kafka, topic="test-none", request_timeout_ms=1_000):
            pass


async def test_wrong_use_is_refused_in_words(topics: Topics) -> None:
    """A commit without a group, reading before it is open, and options that would undo the promises."""
    topic = await topics.create("changes")
    async with ChangeConsumer(topics.address, topic=topic) as changes:
        with pytest.raises(RuntimeError, match="needs a group"):
            await changes.commit()
    with pytest.raises(RuntimeError, match="async with"):
        await anext(changes)
    with pytest.raises(TypeError, match="isolation_level: set by ChangeConsumer"):
        ChangeConsumer(topics.address, isolation_level="read_uncommitted")
