"""Workers that stand still until others have their partitions, and then go on where they were."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.redis.connection import connect
from tests.checker import compacted_of, hashes_of, member_lists_of, stories
from tests.faults.ledger import entry
from tests.faults.site import Site, logged, until, until_logged
from tests.workers import Worker, ends, progress

TOLD: Final = ("changes", "memberships", "dead_letters", "rerouted", "published")
"""All that is published for partition numbers."""

LEVELS: Final = ("read_committed", "read_uncommitted")


class Frozen(NamedTuple):
    """A worker that has stopped itself.

    Parameters
    ----------
    partition : int
        Whose transaction was under way.
    queued : dict of str to int
        Records in its producer's buffer, by topic.
    announced : list of str
        Topics that the transaction's coordinator knows of.
    """

    partition: int
    queued: dict[str, int]
    announced: list[str]


async def until_frozen(worker: Worker) -> Frozen:
    """Wait until a worker stands still by itself; return what it has said of that."""
    status = Path(f"/proc/{worker.child.pid}/status")
    await until(lambda: "State:\tT" in status.read_text(), "the worker freezes itself", [worker])
    (said,) = logged(worker, "frozen")
    return Frozen(int(said["transaction"].rpartition("-")[2]), said["queued"], said["announced"])


async def check_unsent(site: Site, frozen: Frozen) -> None:
    """Check that there is much to tell, a part of it in the producer's hands, and none of that in Kafka.

    Where a transaction has a record in a log, what a ``read_committed`` consumer may see ends before it.
    """
    scene = site.scene
    assert frozen.queued[scene.topic("changes")] > 0
    assert frozen.queued[scene.topic("memberships")] > 0
    assert frozen.queued[scene.topic("published")] == 1, (
        "all of the transaction is there, its last record too"
    )
    logs = [TopicPartition(topic, frozen.partition) for topic in frozen.queued]
    settled, written = [await ends_of(scene.kafka, logs, level) for level in LEVELS]
    assert settled == written
    client: Any = connect(scene.redis)
    try:
        wanted = await ends(scene, scene.events)
        done, _ = await progress(scene, client, wanted)
        untold = await client.xlen(f"{scene.prefix}state:{{{frozen.partition}}}:outbox")
    finally:
        await client.aclose()
    assert done < sum(wanted.values())
    assert untold > 0


async def ends_of(kafka: str, logs: list[TopicPartition], isolation: str) -> dict[TopicPartition, int]:
    """Return where logs end for consumers of an isolation level."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None, isolation_level=isolation)
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(logs)
        return found
    finally:
        await consumer.stop()


async def test_workers_frozen_past_their_session_tell_nothing_when_they_wake(site: Site) -> None:
    """Others have taken over: they leave topics and read model alone, and become members like any others again.

    Both stop inside a transaction whose records are all in their producer's buffer: one before Kafka has heard of it,
    one when it is open and announced. The first thing they do awake is to send it.
    """
    with entry(
        "worker frozen past its session, then woken",
        "SIGSTOP with sends queued in the producer, before and after Kafka knows the transaction; SIGCONT",
        2,
        seed=site.seed,
    ) as row:
        # They tell rarely, so that there is much decided and not told.
        settings = {"publish_interval": "500", "failpoint_allowed": "true"}
        await site.feed(4_000)
        with Worker(site.environment(failpoint="freeze-queued:4", **settings)) as first:
            frozen = await until_frozen(first)
            assert frozen.announced == []
            await check_unsent(site, frozen)
            with Worker(site.environment(failpoint="freeze-announced:4", **settings)) as second:
                again = await until_frozen(second)
                assert set(again.announced) == set(again.queued)
                await check_unsent(site, again)
                with Worker(site.environment(batch=1_000)) as third:
                    await site.applied(third)
                    await site.at_rest(third)
                    keys, before = await keys_of(site), await _everything(site)
                    for woken, held in ((first, frozen), (second, again)):
                        woken.child.thaw()
                        await until_logged(woken, '"assigned"', 2)
                        await until(
                            partial(fenced, woken, held.partition), "it hears of its successor", [woken]
                        )
                    assert await keys_of(site) ^ keys == set()
                    assert await _everything(site) == before, (
                        "they told or showed something of what they had in hand"
                    )
                    assert await asyncio.to_thread(third.stop) == 0
                await site.feed(500)
                await site.applied(first, second)
                for woken in (second, first):
                    assert await asyncio.to_thread(woken.stop) == 0
        row.tell(await site.check_same(), site.sent)


def fenced(worker: Worker, partition: int) -> bool:
    """Tell whether a worker was refused what it had in hand for a partition, and has said so."""
    said = logged(worker, "partition_interrupted")
    return any((each["partition"], each["kind"]) == (partition, "Fenced") for each in said)


async def keys_of(site: Site) -> set[str]:
    """Return the names of all keys in Redis but the outboxes', which come and go with what waits to be told."""
    client: Any = connect(site.scene.redis)
    try:
        keys = [key.decode() async for key in client.scan_iter(match=f"{site.scene.prefix}*", count=1_000)]
        return {key for key in keys if not key.endswith(":outbox")}
    finally:
        await client.aclose()


async def _everything(site: Site) -> tuple[object, ...]:
    """Return what is told and what is shown: the changes, the compacted topic, users' hashes and the member lists.

    And where the logs end, since what is sent and given up is seen by nobody.
    """
    scene = site.scene
    logs = [TopicPartition(scene.topic(name), number) for name in TOLD for number in range(scene.partitions)]
    return (
        await ends_of(scene.kafka, logs, "read_uncommitted"),
        await stories(scene),
        await compacted_of(scene),
        await hashes_of(scene),
        await member_lists_of(scene),
    )
