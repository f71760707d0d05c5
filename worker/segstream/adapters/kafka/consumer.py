"""The way in: membership in the workers' group, and where reading begins."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from segstream.adapters.kafka.assignor import NumberAssignor
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.producer import retrieve
from segstream.core.time import parse_time
from segstream.errors import PositionError, ServerError

_CONFIRM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """How a worker is a member of its group.

    Parameters
    ----------
    group : str
        Consumer group of the workers.
    instance : str, optional
        Makes the member static: after a restart within the session timeout it gets back what it had.
    session_timeout_ms : int
        A worker that does not answer for so long is taken for dead; a crash is noticed no sooner.
    heartbeat_ms : int
        A third of that or less, so that one lost heartbeat does no harm. Members learn of a rebalance by their
        heartbeats, so no rebalance is over sooner than this.
    rebalance_timeout_ms : int
        How long the others wait for this member to let go of its partitions.
    max_poll_interval_ms : int
        A worker that does not ask for records for so long leaves the group.
    """

    group: str = "segstream"
    instance: str | None = None
    session_timeout_ms: int = 10_000
    heartbeat_ms: int = 1_000
    rebalance_timeout_ms: int = 60_000
    max_poll_interval_ms: int = 300_000


def heartbeat_ms(session_timeout_ms: int) -> int:
    """Return the ms between two heartbeats: ten in a session, so that a few may be lost; no more than three a second.

    Examples
    --------
    >>> heartbeat_ms(10_000)
    1000
    """
    return max(session_timeout_ms // 10, 300)


def make_consumer(
    settings: KafkaSettings,
    group: GroupSettings,
    topics: Sequence[str],
    listener: ConsumerRebalanceListener,
    assignor: NumberAssignor | None = None,
) -> AIOKafkaConsumer:
    """Return a consumer that will, once started, share the partition numbers of ``topics`` with its group.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    group : GroupSettings
        Which group, and with what patience.
    topics : sequence of str
        Input topics.
    listener : ConsumerRebalanceListener
        Told of every rebalance: all partitions are revoked, then the new ones assigned, also where they are the same.
        It may take its time when they are revoked (heartbeats go on, up to ``rebalance_timeout_ms``), but not when
        they are assigned: until it returns there are no heartbeats. What it raises is only logged.
    assignor : NumberAssignor, optional
        This consumer's own.

    Notes
    -----
    Call it with the event loop running. Let the listener `hold` what is assigned, and `release` each partition when
    it has been taken over: ``auto_offset_reset`` is ``none``.
    """
    consumer = settings.renewing(
        AIOKafkaConsumer(
            **settings.consumer_kwargs("worker"),
            group_id=group.group,
            group_instance_id=group.instance,
            session_timeout_ms=group.session_timeout_ms,
            heartbeat_interval_ms=group.heartbeat_ms,
            rebalance_timeout_ms=group.rebalance_timeout_ms,
            max_poll_interval_ms=group.max_poll_interval_ms,
            partition_assignment_strategy=[assignor or NumberAssignor()],
        )
    )
    consumer.subscribe(list(topics), listener=listener)
    return consumer


def hold(consumer: AIOKafkaConsumer, assigned: Iterable[TopicPartition]) -> None:
    """Fetch nothing from ``assigned`` until `release`; to be called when they are assigned.

    Without it aiokafka would read on from the group's committed offsets, which are only a hint here, and `poll`
    would fail for those that have none.
    """
    for there in assigned:
        consumer.seek(there, 0)
        consumer.pause(there)


def release(consumer: AIOKafkaConsumer, there: TopicPartition, offset: int) -> None:
    """Fetch from ``there``, beginning at ``offset``."""
    consumer.seek(there, offset)
    consumer.resume(there)


async def poll(
    consumer: AIOKafkaConsumer, timeout_ms: int, max_records: int
) -> dict[TopicPartition, list[Any]]:
    """Return the next records by partition, waiting at most ``timeout_ms`` for the first.

    The last of a partition may be an `Unreadable` in place of a record (see `segstream.adapters.kafka.records`).

    Call it again and again also while nothing is assigned or everything is held: a member that does not ask for
    ``max_poll_interval_ms`` leaves its group, and aiokafka may not find back.

    Raises
    ------
    ServerError
        Reading fails, or group membership has ended for good: close this consumer and make another.
    """
    with kafka_errors("read events"):
        try:
            records: dict[TopicPartition, list[Any]] = await consumer.getmany(
                timeout_ms=timeout_ms, max_records=max_records
            )
        except asyncio.CancelledError as error:
            # When aiokafka's coordination dies of a cancellation of its own, every call passes that on for ever.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            raise ServerError("read events: membership in the group has ended; join it anew") from error
    return records


def member_id(consumer: AIOKafkaConsumer) -> str:
    """Return the name that the group has given to this member; empty before it has joined."""
    name: str = getattr(consumer._coordinator, "member_id", "")  # noqa: SLF001 - aiokafka shows it nowhere
    return name


async def leave(consumer: AIOKafkaConsumer, seconds: float = 5.0) -> None:
    """Leave the group, if there is one, so that others take over at once, and close; whatever happens, within ``seconds``.

    ``AIOKafkaConsumer.stop`` waits for the broker, for a rebalance on its way, and for a listener: half of the time is
    for it, the rest for ending what it leaves behind. It also passes on the cancellation of a fetch that waits for its
    next attempt, as if the caller had been cancelled.
    """
    coordinator, fetcher, client = consumer._coordinator, consumer._fetcher, consumer._client  # noqa: SLF001
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait({stopping}, timeout=seconds / 2)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    stopping.cancel()
    tasks = {stopping}
    for part in (coordinator, fetcher):
        tasks |= (
            {value for value in vars(part).values() if isinstance(value, asyncio.Task)} if part else set()
        )
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=seconds / 4)
    for task in tasks:
        retrieve(task)
    with contextlib.suppress(Exception):
        async with asyncio.timeout(seconds / 4):
            await client.close()


async def starting_offset(
    consumer: AIOKafkaConsumer,
    there: TopicPartition,
    applied: int | None,
    committed: int | None,
    start_from: str,
) -> int:
    """Return the offset at which to go on.

    Parameters
    ----------
    consumer : AIOKafkaConsumer
        Started; ``there`` need not be assigned to it.
    there : TopicPartition
        Which log.
    applied : int or None
        Highest offset applied, as the state says; None when the state knows nothing of this topic.
    committed : int or None
        The group's committed offset; give None for a topic new to a partition that has state.
    start_from : str
        For a log read for the first time: ``earliest``, ``latest``, or a time, from which on records count.

    Raises
    ------
    PositionError
        State and log do not fit together.
    ServerError
        Kafka does not answer.

    Notes
    -----
    The last offset that a `read_committed` consumer may see counts as the end.
    """
    where = f"{there.topic}-{there.partition}"
    anew = f"segstream reset --partition {there.partition}"
    kept = f"{anew} --topic {there.topic} --keep-state"
    if applied is None and committed is not None:
        raise PositionError(
            f"{where}: Redis holds no state, but the group has read up to offset {committed}. Bring the state back, or "
            f"begin anew from what the log holds with `{anew} --to earliest`"
        )
    with kafka_errors(f"find the position in {where}"):
        beginning = (await consumer.beginning_offsets([there]))[there]
        end = (await consumer.end_offsets([there]))[there]
        if applied is None:
            return await _first(consumer, there, start_from, beginning, end)
    if applied + 1 < beginning:
        raise PositionError(
            f"{where}: the state goes on at offset {applied + 1}, but the log begins at {beginning}: "
            f"{beginning - applied - 1} records were deleted unread. Bring them back, or go on without them with "
            f"`{kept} --to earliest`"
        )
    if applied + 1 > end:
        raise PositionError(
            f"{where}: the state goes on at offset {applied + 1}, but the log ends at {end}. Bring the log back; or, if "
            f"it was cut off, go on at its end with `{kept} --to latest`, if it was created anew, at its beginning "
            f"with `{kept} --to earliest`. Where other partitions have applied what was forwarded from it both are refused: "
            "begin all anew with `segstream reset --to earliest`"
        )
    return applied + 1


async def confirm_membership(consumer: AIOKafkaConsumer) -> bool:
    """Ask the group's coordinator whether this member still owns what it was given.

    For a partition that is to be taken over again outside of a rebalance. False when this member was put out of the
    group, when a rebalance is on its way, or without an answer within 5 s: then the listener will be told.

    Notes
    -----
    A heartbeat, because it leaves the committed offsets alone; aiokafka has no public way to send one.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    rejoining = coordinator._rejoin_needed_fut.done  # noqa: SLF001
    if rejoining() or not consumer.assignment():
        return False
    try:
        async with asyncio.timeout(_CONFIRM_SECONDS):
            await coordinator.ensure_coordinator_known()
            known = await coordinator._do_heartbeat()  # noqa: SLF001
    except (KafkaError, TimeoutError):
        return False
    return bool(known) and not rejoining()


async def _first(
    consumer: AIOKafkaConsumer, there: TopicPartition, start_from: str, beginning: int, end: int
) -> int:
    if start_from == "earliest":
        return beginning
    if start_from == "latest":
        return end
    found = (await consumer.offsets_for_times({there: parse_time(start_from)}))[there]
    return end if found is None else found.offset
