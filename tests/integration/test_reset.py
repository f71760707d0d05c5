"""``segstream reset``, in each situation that stops a partition: what stops it, the command it names, and the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from redis.asyncio import Redis

from segstream.core.partitioning import murmur2
from tests.checker import Change, Stories, assert_same, check_everywhere, hashes_of, stories
from tests.deployments import SHOP, Deployments, orders
from tests.operations import Ran, last_incarnations, lose, segstream, spelled_out
from tests.workers import Scene, Worker, applied, ends, send, track

PATIENCE = 60


async def work(environment: Mapping[str, str], scene: Scene, *, rebuild: bool = False) -> None:
    """Let a worker apply everything there is and, if asked, make the read model anew; then stop."""
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        if rebuild:
            # An answer that is restated is as of the clock; an old event after it, as of its own time.
            ran = await segstream(environment, "rebuild")
            assert ran.code == 0, ran.err
        assert await asyncio.to_thread(worker.stop) == 0, worker.log[-3000:]


async def stopped_by(environment: Mapping[str, str], partitions: int) -> list[str]:
    """Start a worker that has to stop all its partitions, and return why, by partition."""
    with Worker(environment) as worker:
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
            found = {
                line["partition"]: line["error"]
                for line in lines
                if line["event"] == "partition_interrupted" and line["kind"] == "PositionError"
            }
            if len(found) == partitions:
                break
            assert worker.running, worker.log[-3000:]
            assert time.monotonic() < deadline, worker.log[-3000:]
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(worker.stop) == 0
    return [found[number] for number in sorted(found)]


async def resolve(environment: Mapping[str, str], error: str, *, which: int = 0) -> Ran:
    """Run the command that an error names."""
    command = re.findall(r"`(segstream reset [^`]*)`", error)[which]
    ran = await segstream(environment, *shlex.split(command)[1:], "--yes", "--json")
    assert ran.code == 0, ran.err
    return ran


def only(told: Stories, *names: str) -> Stories:
    """Return the changes with these fields only."""
    return {
        user: [{name: change[name] for name in names} for change in changes] for user, changes in told.items()
    }


def held_by(told: Stories) -> dict[str, list[str]]:
    """Return each user's segments, without those who are in none."""
    return {user: changes[-1]["segments"] for user, changes in told.items() if changes[-1]["segments"]}


async def since_of(scene: Scene) -> dict[str, dict[str, str]]:
    """Return since when each user is in each segment, as the read model says."""
    found: dict[str, dict[str, str]] = {}
    for user, answer in (await hashes_of(scene)).items():
        found[user] = {
            name[2:]: json.loads(value)["since"] for name, value in answer.items() if name.startswith("s:")
        }
    return found


FACTS = ("segment", "change", "at", "segments", "sequence", "cause", "reasons", "expires_at")


async def test_state_that_redis_has_lost_is_counted_anew_from_the_log(deployments: Deployments) -> None:
    """Empty state while the group has positions: stopped, named, reset; then as if it had been counted once."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("lost", [events], 2)
    calm = await deployments.scene("calm", [events], 2)
    definitions = deployments.file("shop.yaml", SHOP)
    environment = scene.environment(definitions)
    await send(scene, orders(1500, seed=1))
    await work(environment, scene)
    await lose(scene)
    errors = await stopped_by(environment, 2)
    for number, error in enumerate(errors):
        assert re.fullmatch(
            rf"{events}-{number}: Redis holds no state, but the group has read up to offset \d+\. Bring the state back, "
            rf"or begin anew from what the log holds with `segstream reset --partition {number} --to earliest`",
            error,
        )
        ran = await resolve(environment, error)
        (part,) = json.loads(ran.out)["partitions"]
        # Those whom only the compacted topic still knows.
        assert part["users_dropped"] > 50
        assert part["offsets"][events]["to"] == 0
        assert re.search(r"from no position \(the group was at \d+\) to offset 0", ran.err)
    await check_everywhere(scene, last_incarnations(await stories(scene)))
    assert last_incarnations(await stories(scene)) == {}
    await work(environment, scene)
    await work(calm.environment(definitions), calm)
    told = last_incarnations(await stories(scene))
    await check_everywhere(scene, told)
    undisturbed = await stories(calm)
    assert held_by(told) == held_by(undisturbed)
    assert_same(only(told, *FACTS), only({user: undisturbed[user] for user in told}, *FACTS))


async def test_a_record_of_somebody_elses_among_the_answers_is_passed_over(deployments: Deployments) -> None:
    """Its key is no text, so it is no user's: a reset says where it lies, leaves it there, and does all it should."""
    (events,) = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("strange", [events], 1)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    await send(scene, orders(20, seed=14))
    await work(environment, scene)
    users = len(await stories(scene))
    answers = scene.topic("memberships")
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    first, _ = [await producer.send_and_wait(answers, b"{}", key=b"\xff%d" % number) for number in range(2)]
    await producer.stop()
    ran = await segstream(environment, "reset", "--to", "earliest", "--yes")
    assert ran.code == 0, ran.err
    (said,) = [line for line in ran.err.splitlines() if "no text" in line]
    assert said == (
        f"warning: {answers}-0: passed over records whose key is no text, the first at offset {first.offset}: they are no "
        "answers of segstream's, and stay; does another program write to this topic?"
    )
    assert "Traceback" not in ran.err
    told = await stories(scene)
    assert len(told) == users
    assert {tuple(changes[-1]["segments"]) for changes in told.values()} == {()}


@pytest.mark.faults
async def test_a_reset_that_is_killed_is_finished_by_the_same_again(deployments: Deployments) -> None:
    """No worker takes up a partition that is half done; it says which command finishes it."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("killed", [events], 2)
    calm = await deployments.scene("calm", [events], 2)
    definitions = deployments.file("shop.yaml", SHOP)
    environment = scene.environment(definitions)
    await send(scene, orders(1000, seed=11))
    await work(environment, scene)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segstream", "reset", "--to", "earliest", "--yes"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while "dropped so far" not in (await process.stderr.readline()).decode():
            assert process.returncode is None
        process.kill()
        await process.wait()
    client: Any = Redis.from_url(scene.redis, decode_responses=True)
    left = [
        number
        for number in range(2)
        if (await client.hget(f"{scene.prefix}state:{{{number}}}:meta", "reset") or "").startswith("pending")
    ]
    await client.aclose()
    assert 1 in left
    errors = await stopped_by(environment, len(left))
    assert errors[-1] == (
        "partition 1: a reset was begun and not finished; finish it with `segstream reset --to earliest`"
    )
    ran = await resolve(environment, errors[-1])
    assert "begun and not finished; this finishes it" in ran.err
    await work(environment, scene)
    await work(calm.environment(definitions), calm)
    told = last_incarnations(await stories(scene))
    await check_everywhere(scene, told)
    undisturbed = await stories(calm)
    assert held_by(told) == held_by(undisturbed)
    assert_same(only(told, *FACTS), only({user: undisturbed[user] for user in told}, *FACTS))


async def test_records_deleted_unread_are_left_out_and_every_user_is_kept(deployments: Deployments) -> None:
    """The log begins behind the position: the state goes on there, and every answer is restated."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("gap", [events], 2)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    await send(scene, orders(800, seed=2))
    await work(environment, scene)
    before = await since_of(scene)
    await send(scene, orders(300, seed=3, first=800))
    wanted = await ends(scene, [events])
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    await admin.delete_records({there: RecordsToDelete(end) for there, end in wanted.items()})
    await admin.close()
    errors = await stopped_by(environment, 2)
    for number, error in enumerate(errors):
        end = wanted[TopicPartition(events, number)]
        assert re.fullmatch(
            rf"{events}-{number}: the state goes on at offset \d+, but the log begins at {end}: \d+ records were "
            r"deleted unread\. Bring them back, or go on without them with `segstream reset --partition "
            rf"{number} --topic {events} --keep-state --to earliest`",
            error,
        )
        back = await segstream(
            environment, "reset", "--partition", str(number), "--keep-state", "--to", str(end - 1), "--yes"
        )
        assert back.code == 2
        assert f"offset {end - 1} is outside of {events}-{number}" in back.err
        ran = await resolve(environment, error)
        assert json.loads(ran.out)["kept_state"]
        assert "are left out for good" in ran.err
    await send(scene, orders(200, seed=4, first=1100))
    await work(environment, scene, rebuild=True)
    told = last_incarnations(await stories(scene))
    restated = [changes[0] for changes in told.values() if changes[0]["change"] == "restated"]
    assert {change["incarnation"] for change in restated} == {2}
    await check_everywhere(scene, spelled_out(told, _as_restated(told, before)))


def _as_restated(told: Stories, before: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return since when users were in the segments that are restated of them."""
    return {
        user: {
            segment: before.get(user, {}).get(segment, changes[0]["at"]) for segment in changes[0]["segments"]
        }
        for user, changes in told.items()
    }


async def test_a_log_that_ends_before_the_position_is_gone_on_with(deployments: Deployments) -> None:
    """Created anew: the state is kept, and the new log is read from its beginning."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("short", [events], 2)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    await send(scene, orders(600, seed=5))
    await work(environment, scene)
    before = await since_of(scene)
    other = await deployments.inputs("events-anew", partitions=2)
    client = Redis.from_url(scene.redis)
    for number in range(2):
        meta = f"{scene.prefix}state:{{{number}}}:meta"
        offset = await client.hget(meta, f"offset:{events}")
        assert offset is not None
        await client.hset(meta, f"offset:{other[0]}", offset)
    await client.aclose()
    anew = scene._replace(events=other)
    environment = anew.environment(deployments.file("shop.yaml", SHOP))
    await send(anew, orders(50, seed=6, first=600))
    for number, error in enumerate(await stopped_by(environment, 2)):
        command = f"segstream reset --partition {number} --topic {other[0]} --keep-state --to"
        assert re.fullmatch(
            rf"{other[0]}-{number}: the state goes on at offset \d+, but the log ends at \d+\. Bring the log back; or, if "
            rf"it was cut off, go on at its end with `{command} latest`, if it was created anew, at its beginning with "
            rf"`{command} earliest`\. Where other partitions have applied what was forwarded from it both are refused: "
            r"begin all anew with `segstream reset --to earliest`",
            error,
        )
        ran = await resolve(environment, error, which=1)
        assert "if it was created anew, its events count from offset 0 on" in ran.err
    await work(environment, anew, rebuild=True)
    told = last_incarnations(await stories(scene))
    assert any(change["cause"].get("topic") == other[0] for changes in told.values() for change in changes)
    await check_everywhere(anew, spelled_out(told, _as_restated(told, before)))


async def test_where_others_remember_what_a_shorter_log_forwarded_all_begin_anew(
    deployments: Deployments,
) -> None:
    """Of the commands that the error names two are refused then, saying why; the third is done, and workers go on."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("short", [events], 2)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    await send(scene, orders(400, seed=12))
    astray = next(f"a{number}" for number in range(99) if murmur2(f"a{number}".encode(), 2))
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    event = track(astray, "2020-01-01T00:00:00Z", "astray")
    await producer.send_and_wait(events, event, key=b"other", partition=0)
    await producer.stop()
    client: Any = Redis.from_url(scene.redis, decode_responses=True)
    source, target = (f"{scene.prefix}state:{{{number}}}:meta" for number in range(2))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while not await client.hexists(target, f"forwarded:{events}-0"):
            assert worker.running, worker.log[-3000:]
            assert time.monotonic() < deadline, await client.hgetall(target)
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(worker.stop) == 0
    # As if the log had been longer.
    await client.hincrby(source, f"offset:{events}", 1_000)
    await client.aclose()
    (error,) = await stopped_by(environment, 1)
    commands = re.findall(r"`(segstream reset [^`]*)`", error)
    for command in commands[:2]:
        ran = await segstream(environment, *shlex.split(command)[1:], "--yes")
        assert (ran.code, "would be taken for repeats" in ran.err) == (2, True), ran.err
    ran = await resolve(environment, error, which=2)
    assert len(json.loads(ran.out)["partitions"]) == 2
    await work(environment, scene)
    told = last_incarnations(await stories(scene))
    assert told[astray][-1]["user_id"] == astray
    await check_everywhere(scene, told)


async def test_with_more_partitions_everybody_begins_anew(deployments: Deployments) -> None:
    """All partitions of the former number are dropped, and their users told so where they were told before."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("grown", [events], 2)
    environment = scene.environment(deployments.file("shop.yaml", SHOP))
    await send(scene, orders(600, seed=7, prefix="old"))
    await work(environment, scene)
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    names = [
        scene.topic(name) for name in ("changes", "memberships", "dead_letters", "rerouted", "published")
    ]
    await admin.create_partitions({name: NewPartitions(4) for name in (events, *names)})
    await admin.close()
    grown = scene._replace(partitions=4)
    stopped = await segstream(environment, "worker")
    assert stopped.code == 1
    assert stopped.err.splitlines()[-1] == (
        "segstream: partition 0: its state was made with 2 partitions, the topics have 4: users move between partitions. Restore "
        "the number of partitions, or begin anew: with `segstream reset --to earliest` if the topics were created anew, "
        "with `segstream reset --to latest` if partitions were added, since what is there lies in other partitions than "
        "it would now"
    )
    some = await segstream(environment, "reset", "--partition", "1", "--to", "latest", "--yes")
    assert some.code == 2
    assert "all of them begin anew; leave --partition and --keep-state out" in some.err
    ran = await resolve(environment, stopped.err, which=1)
    assert len(json.loads(ran.out)["partitions"]) == 4
    await send(grown, orders(600, seed=8, prefix="new") + orders(100, seed=9, prefix="old"))
    await work(environment, grown)
    told: dict[str, list[Change]] = {}
    for user, changes in (await _stories_anywhere(grown)).items():
        told[user] = sorted(changes, key=lambda change: (change["incarnation"], change["sequence"]))
    last = last_incarnations(told)
    assert any(user.startswith("new") for user in last)
    assert {change["incarnation"] for changes in last.values() for change in changes} == {3}
    for user, answer in (await hashes_of(grown)).items():
        held = sorted(name[2:] for name in answer if name.startswith("s:"))
        assert held == (last[user][-1]["segments"] if user in last else []), user


async def _stories_anywhere(scene: Scene) -> Stories:
    """Return each user's changes, in whatever partition they lie: some users have moved."""
    from tests.workers import read_all  # noqa: PLC0415 - only here

    found: Stories = {}
    for records in await read_all(scene, scene.topic("changes")):
        for record in records:
            change = json.loads(record.value)
            found.setdefault(change["user_id"], []).append(change)
    return found


async def test_a_reset_is_refused_while_a_worker_is_about_and_without_a_word(
    deployments: Deployments,
) -> None:
    """It names the members; and asks, so that without a terminal --yes is needed."""
    (events,) = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("busy", [events], 1)
    environment = scene.environment(deployments.file("shop.yaml", SHOP), session_timeout="6s")
    await send(scene, orders(50, seed=10))
    with Worker(environment) as worker:
        await applied(scene, [worker], PATIENCE)
        ran = await segstream(environment, "reset", "--to", "earliest", "--yes")
        assert ran.code == 1
        assert re.fullmatch(
            rf"segstream: the consumer group {scene.prefix}group has 1 member \(segstream-worker-[\da-f-]+ on [\d.]+\): stop all "
            r"workers first\. Those that were killed, or have SEGSTREAM_INSTANCE_ID, stay members for 6s\n",
            ran.err,
        )
        unasked = await segstream(environment, "reset", "--to", "earliest")
        assert (unasked.code, unasked.err) == (
            2,
            "segstream: there is no terminal to ask on; --yes says that the consequences are known\n",
        )
        assert await asyncio.to_thread(worker.stop) == 0
    place = await ends(scene, [events])
    end = place[TopicPartition(events, 0)]
    for words, text in (
        (
            ["--to", "yesterday"],
            "--to: 'yesterday' is no place in a log; write earliest, latest, an offset such as 120",
        ),
        (["--to", f"{end + 1}"], f"--to: offset {end + 1} is outside of {events}-0, which holds 0 to {end}"),
        (
            ["--to", "latest", "--partition", "1"],
            "--partition: there is no partition 1; the topics have 0 to 0",
        ),
        (["--to", "latest", "--topic", "x"], f"--topic: x is not read here; SEGSTREAM_TOPICS has {events}"),
        *(
            (
                ["--to", beginning, "--keep-state"],
                (
                    f"--keep-state: {events}-0 is at offset {end}; to go back to 0 would count {end} events twice. Leave "
                    "--keep-state out to begin anew from there"
                ),
            )
            for beginning in ("earliest", "1900-01-01")
        ),
    ):
        wrong = await segstream(environment, "reset", *words, "--yes")
        assert (wrong.code, wrong.err) == (2, f"segstream: {text}{wrong.err[len(text) + 11 :]}")
    assert await _answered(environment, "n", "reset", "--to", "earliest") == 1
    await check_everywhere(scene, await stories(scene))
    assert await _answered(environment, "y", "reset", "--to", "earliest") == 0
    assert last_incarnations(await stories(scene)) == {}


async def _answered(environment: Mapping[str, str], answer: str, *words: str) -> int | None:
    """Run the command on a terminal, answer its question, and return its exit code."""
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "segstream", *words),
            env={**os.environ, **environment},
            stdin=theirs,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.write(ours, f"{answer}\n".encode())
        async with asyncio.timeout(PATIENCE):
            return await process.wait()
    finally:
        os.close(ours)
        os.close(theirs)
