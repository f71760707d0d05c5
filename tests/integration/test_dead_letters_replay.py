"""``segstream dead-letters``: found, looked at, and sent again once, through the normal way."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from redis.asyncio import Redis

from segstream.adapters.kafka.letters import Mark
from segstream.core.dead_letters import dead_letter
from segstream.core.partitioning import murmur2
from segstream.core.records import LogRecord, Rejected
from segstream.core.time import DAY, HOUR, format_time
from segstream_schemas import RejectionReason
from tests.checker import check_everywhere, stories
from tests.conftest import Topics
from tests.deployments import Deployments
from tests.operations import segstream
from tests.workers import Scene, Worker, applied, progress, read_all, send, track

PATIENCE = 120
pytestmark = pytest.mark.timeout(600)
DEFINITIONS = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  regular: {when: orders >= 3}
  counted_twice: {when: orders >= 4}
"""
LONG_AGO = "2020-01-01T00:00:00Z"
USERS = [f"u{number}" for number in range(20)]


@pytest.fixture
async def scene(deployments: Deployments, topics: Topics) -> AsyncIterator[Scene]:
    """Return a deployment whose topic of marks, made by the command, goes with the others."""
    (events,) = await deployments.inputs("events", partitions=2)
    made = await deployments.scene("shop", [events], 2)
    topics.created.append(marks_of(made))
    yield made
    admin = AIOKafkaAdminClient(bootstrap_servers=made.kafka)
    await admin.start()
    try:
        if marks_of(made) not in {topic["topic"] for topic in await admin.describe_topics()}:
            topics.created.remove(marks_of(made))
    finally:
        await admin.close()


def marks_of(scene: Scene) -> str:
    """Return the topic of marks."""
    return f"{scene.topic('dead_letters')}-replayed"


async def dead_letters(environment: Mapping[str, str], *words: str) -> Any:
    """Run a command that prints JSON, and return what it printed, a list where it is one object per line."""
    ran = await segstream(environment, "dead-letters", *words, "--json", seconds=PATIENCE)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    return (
        [json.loads(line) for line in lines]
        if words[0] == "list" and "--summary" not in words
        else json.loads(ran.out)
    )


async def test_letters_are_listed_and_shown_and_after_a_fix_their_records_are_applied_once(  # noqa: PLR0915 - one story
    deployments: Deployments, scene: Scene
) -> None:
    """Events from a clock that runs ahead fail; with more patience for clocks they count, and no second time."""
    definitions = deployments.file("shop.yaml", DEFINITIONS)
    events = scene.events[0]
    ahead = format_time(time.time_ns() // 1_000_000 + HOUR)
    good = [(user, track(user, LONG_AGO, f"{user}-{n}")) for user in USERS for n in range(2)]
    early = [(user, track(user, ahead, f"{user}-ahead")) for user in USERS]
    wrong = [("u1", orjson.dumps({"type": "page", "userId": "u1", "properties": 7}))]
    await send(scene, [*good, *early, *wrong])
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    odd = await producer.send_and_wait(
        events,
        b'{"type": "page",\n "userId": \xc3\xa9}',
        partition=1,
        headers=[("trace", b"\xff"), ("none", None)],
    )
    await producer.stop()
    environment = scene.environment(definitions)
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        assert worker.stop() == 0

    # Listed, in order and filtered.
    letters = await dead_letters(environment, "list")
    assert Counter(letter["reason"] for letter in letters) == {
        "future_timestamp": 20,
        "wrong_type": 1,
        "not_json": 1,
    }
    assert [letter["at"] for letter in letters] == sorted(letter["at"] for letter in letters)
    assert not any(letter["sent_again"] for letter in letters)
    ran = await segstream(
        environment, "dead-letters", "list", "--user", "u1", "--since", "1h", "--limit", "1"
    )
    lines = [re.split(r" {2,}", line) for line in ran.out.splitlines()]
    assert lines[0] == ["letter", "told", "reason", "record", "key", "where", "sent again"]
    assert lines[1][0] == next(letter["letter"] for letter in letters[::-1] if letter["key"] == "dTE=")
    assert sorted(lines[4:]) == [[kind, events, "1", "1"] for kind in ("future_timestamp", "wrong_type")]

    # Shown by its record's place.
    ran = await segstream(environment, "dead-letters", "show", f"{events}-1-{odd.offset}")
    assert ran.code == 0, ran.err
    shown = ran.out.splitlines()
    caret = next(number for number, line in enumerate(shown) if line.strip() == "^")
    assert shown[caret - 1][shown[caret].index("^") :].startswith("é}")
    assert r"header      trace: \xff" in shown

    # Sent again: only what is meant, as it was, and once.
    future = {"reason": "future_timestamp", "topic": events, "records": 20}
    dry = await dead_letters(environment, "replay", "--reason", "future_timestamp", "--dry-run")
    assert (dry["dry_run"], dry["sent"], dry["reasons"]) == (True, 0, [future])
    before = await read_all(scene, events)
    done = await dead_letters(environment, "replay", "--reason", "future_timestamp", "--yes")
    assert (done["sent"], done["reasons"], done["before"]) == (20, [future], 0)
    after = await read_all(scene, events)
    again = behind(before, after)
    assert sorted((record.key.decode(), record.value) for record in again) == sorted(early)
    assert all(record.partition == murmur2(record.key, 2) for record in again)
    own = {letter["letter"] for letter in letters if letter["reason"] == "future_timestamp"}
    prefix = f"{scene.topic('dead_letters')}-"
    assert {name for record in again for name, _ in record.headers} == {"segstream-replayed"}
    assert {record.headers[0][1].decode().removeprefix(prefix) for record in again} == own

    # A second time nothing of it, only what else there is.
    done = await dead_letters(environment, "replay", "--yes")
    assert (done["sent"], done["before"]) == (2, 20)
    again = behind(after, await read_all(scene, events))
    (unkeyed,) = [record for record in again if record.key is None]
    assert (unkeyed.partition, unkeyed.headers[:2]) == (1, (("trace", b"\xff"), ("none", None)))

    patient = scene.environment(definitions, max_clock_skew="1d")
    with Worker(patient) as worker:
        await all_applied(scene, worker)
        assert worker.stop() == 0
    told = await stories(scene)
    assert {user: [change["segment"] for change in changes] for user, changes in told.items()} == {
        user: ["regular"] for user in USERS
    }
    await check_everywhere(scene, told)

    # What failed again is told again, as a record of its own.
    summary = await dead_letters(patient, "list", "--summary")
    assert {row["reason"]: (row["letters"], row["waiting"]) for row in summary["reasons"]} == {
        "future_timestamp": (20, 0),
        "wrong_type": (2, 1),
        "not_json": (2, 1),
    }


def behind(before: Sequence[Sequence[Any]], after: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the records of all partitions that have come since."""
    return [record for old, new in zip(before, after, strict=True) for record in new[len(old) :]]


async def all_applied(scene: Scene, worker: Worker) -> None:
    """Wait until the last record of each partition is applied: behind it a transaction leaves its marker."""
    parts = await read_all(scene, scene.events[0])
    wanted = {
        TopicPartition(scene.events[0], number): part[-1].offset + 1 for number, part in enumerate(parts)
    }
    client: Redis = Redis.from_url(scene.redis)
    deadline = time.monotonic() + PATIENCE
    try:
        while await progress(scene, client, wanted) != (sum(wanted.values()), 0):
            assert worker.running, worker.log[-3000:]
            assert time.monotonic() < deadline, worker.log[-3000:]
            await asyncio.sleep(0.05)
    finally:
        await client.aclose()


async def put_letters(scene: Scene, records: Sequence[LogRecord]) -> None:
    """Write dead letters as a worker does."""
    wrong = Rejected(RejectionReason.FUTURE_TIMESTAMP, "Too early.", "timestamp")
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka, linger_ms=20)
    await producer.start()
    try:
        for record in records:
            await producer.send(
                scene.topic("dead_letters"),
                dead_letter(record, wrong),
                key=record.key,
                partition=record.partition,
            )
    finally:
        await producer.stop()


async def test_a_record_told_again_is_not_sent_again_when_its_first_letter_is_gone(
    deployments: Deployments, scene: Scene
) -> None:
    """Its mark stays as long as the topic has a letter of it, also when record and first letter are gone; then it goes."""
    letters = scene.topic("dead_letters")
    records = [record._replace(offset=0) for record in failed(scene.events[0], 6)]
    environment = scene.environment(deployments.file("shop.yaml", DEFINITIONS))
    await put_letters(scene, [*records, *records])
    dry = await dead_letters(environment, "replay", "--dry-run")
    assert (dry["reasons"][0]["records"], dry["before"]) == (6, 0)
    done = await dead_letters(environment, "replay", "--yes")
    assert (done["sent"], done["before"]) == (6, 0)
    sent = await sent_numbers(scene)

    # Retention takes the records, and the first letter of each.
    first = {
        number: len({record.value for record in part})
        for number, part in enumerate(await read_all(scene, letters))
    }
    places = {
        number: [record.offset for record in part]
        for number, part in enumerate(await read_all(scene, scene.events[0]))
    }
    await delete_before(
        scene,
        {TopicPartition(scene.events[0], number): part[-1] + 1 for number, part in places.items() if part},
    )
    await put_letters(scene, [LogRecord(scene.events[0], 0, 99, DAY, b"u1", track("u1", LONG_AGO, 99))])
    await delete_before(scene, {TopicPartition(letters, number): count for number, count in first.items()})
    for expected in ((1, 6), (0, 7)):
        done = await dead_letters(environment, "replay", "--yes")
        assert (done["sent"], done["before"]) == expected
    assert len(await marks(scene)) == 7
    assert all(number == 99 for part in await sent_numbers(scene) for number in part)
    assert sum(map(len, sent)) == 6

    # Nothing is left of them: no mark is needed any more, and a replay that has looked at all letters takes them away.
    ends = {number: part[-1].offset + 1 for number, part in enumerate(await read_all(scene, letters)) if part}
    await delete_before(scene, {TopicPartition(letters, number): end for number, end in ends.items()})
    await put_letters(scene, [LogRecord(scene.events[0], 0, 100, DAY, b"u1", track("u1", LONG_AGO, 100))])
    done = await dead_letters(environment, "replay", "--yes", "--since", "1h")
    assert (done["sent"], len(await marks(scene))) == (1, 8)
    await put_letters(scene, [LogRecord(scene.events[0], 0, 101, DAY, b"u1", track("u1", LONG_AGO, 101))])
    done = await dead_letters(environment, "replay", "--yes")
    assert done["sent"] == 1
    left = {Mark.decode(value).origin[2] for value in (await marks(scene)).values()}
    assert left == {99, 100, 101}


async def test_what_is_no_dead_letter_is_counted_and_said_in_one_line(
    deployments: Deployments, scene: Scene
) -> None:
    """By each of the commands, where another program has written to the topic; the letters are found all the same."""
    letters = scene.topic("dead_letters")
    record, *_ = failed(scene.events[0], 1)
    await put_letters(scene, [record])
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    for value in (b"hello", b"{}", b'{"reason": "not_json"}', b"\xff", None) * 3:
        await producer.send_and_wait(letters, value, key=b"k", partition=1 - record.partition)
    await producer.stop()
    environment = scene.environment(deployments.file("shop.yaml", DEFINITIONS))
    line = (
        f"15 records are no dead letters, the first found is {letters}-{1 - record.partition}, offset 0: left out; does "
        "another program write to this topic?"
    )
    for words in (
        ("list",),
        ("list", "--summary", "--json"),
        ("show", f"{record.partition}-0"),
        ("replay", "--dry-run"),
        ("replay", "--yes"),
    ):
        ran = await segstream(environment, "dead-letters", *words, seconds=PATIENCE)
        assert (ran.code, ran.err.splitlines().count(line)) == (0, 1), (words, ran)
        assert ran.err.count("no dead letter") == 1, (words, ran)
    absent = await segstream(environment, "dead-letters", "show", "1-99", seconds=PATIENCE)
    assert (absent.code, absent.err.splitlines()[0]) == (1, line)
    done = await dead_letters(environment, "replay", "--yes")
    assert (done["sent"], done["before"], done["foreign"]) == (0, 1, 15)


async def delete_before(scene: Scene, offsets: Mapping[TopicPartition, int]) -> None:
    """Delete records, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    try:
        await admin.delete_records(
            {there: RecordsToDelete(before_offset=offset) for there, offset in offsets.items()}
        )
    finally:
        await admin.close()


async def marks(scene: Scene) -> dict[bytes, bytes]:
    """Return key and value of each mark, as compaction would leave them."""
    alone = scene._replace(partitions=1)
    found = {record.key: record.value for part in await read_all(alone, marks_of(scene)) for record in part}
    return {key: value for key, value in found.items() if value is not None}


def failed(events: str, count: int) -> list[LogRecord]:
    """Return records that have failed."""
    found = []
    for number in range(count):
        user = f"u{number % 50}"
        key = user.encode()
        value = track(user, LONG_AGO, number)
        found.append(LogRecord(events, murmur2(key, 2), number, DAY, key, value))
    return found


async def sent_numbers(scene: Scene) -> list[list[int]]:
    """Return which of `failed` were sent, by partition and in order."""
    return [
        [int(json.loads(record.value)["messageId"]) for record in part]
        for part in await read_all(scene, scene.events[0])
    ]


def assert_each_once(sent: Sequence[Sequence[int]], count: int) -> None:
    """Check that each was sent once, in order."""
    assert all(list(part) == sorted(part) for part in sent)
    assert sorted(number for part in sent for number in part) == list(range(count))


@pytest.mark.faults
async def test_killed_half_way_it_goes_on_and_sends_each_record_once(
    deployments: Deployments, scene: Scene
) -> None:
    """SIGKILL after the first transaction, again after the first of the second run; the third run does the rest."""
    count = 3_000
    await put_letters(scene, failed(scene.events[0], count))
    environment = scene.environment(deployments.file("shop.yaml", DEFINITIONS))
    reached = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "segstream", "dead-letters", "replay", "--yes"),
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while "sent so far" not in (line := (await process.stderr.readline()).decode()):
                assert line, "it ended before it was killed"
            process.kill()
            await process.wait()
        reached.append(sum(map(len, await sent_numbers(scene))))
    assert 0 < reached[0] < reached[1] < count
    done = await dead_letters(environment, "replay", "--yes")
    assert done["sent"] + done["before"] == count
    assert 0 < done["sent"] <= count - reached[1]
    assert_each_once(await sent_numbers(scene), count)
    done = await dead_letters(environment, "replay", "--yes")
    assert (done["sent"], done["before"]) == (0, count)
    assert_each_once(await sent_numbers(scene), count)


@pytest.mark.faults
async def test_two_at_once_send_each_record_once(deployments: Deployments, scene: Scene) -> None:
    """The later one fences the earlier one, which says so, and goes on from where that was."""
    count = 2_000
    records = failed(scene.events[0], count)
    # A letter told twice, as after a reset, is of one record.
    await put_letters(scene, [*records, *records[:500]])
    environment = scene.environment(deployments.file("shop.yaml", DEFINITIONS))
    words = ("dead-letters", "replay", "--yes")
    both = await asyncio.gather(*(segstream(environment, *words, seconds=PATIENCE) for _ in range(2)))
    for ran in both:
        if ran.code:
            assert ran.err.splitlines()[-1].startswith(
                "segstream: another replay of these dead letters has begun"
            )
    assert any(ran.code == 0 for ran in both), both
    done = await dead_letters(environment, "replay", "--yes")
    assert done["sent"] == 0
    assert_each_once(await sent_numbers(scene), count)
