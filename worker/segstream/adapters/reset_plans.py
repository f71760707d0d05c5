"""What ``segstream reset`` would do: where each partition stands, where it would go on, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition

from segstream.adapters.connections import kafka_settings, topics_of
from segstream.adapters.kafka.group import members_of
from segstream.adapters.kafka.places import Log, Place, survey
from segstream.adapters.kafka.topics import check_topics
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.nodes import Nodes
from segstream.adapters.redis.scripts import Call
from segstream.adapters.redis.state import read_meta
from segstream.core.origin import Origin
from segstream.core.time import format_duration
from segstream.errors import PositionError, UsageError
from segstream.ports import Meta
from segstream.resetting import PENDING

if TYPE_CHECKING:
    from segstream.adapters.redis.connection import Client
    from segstream.settings import Settings


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Parameters
    ----------
    to : Place
        Where to read from.
    topic, partition : str or None, int or None
        Which log only.
    keep_state : bool
        Whether users stay as they are.

    Examples
    --------
    >>> Wish(Place("earliest"), None, 3, False).command
    'segstream reset --partition 3 --to earliest'
    """

    to: Place
    topic: str | None
    partition: int | None
    keep_state: bool

    @property
    def command(self) -> str:
        """The command that asks for it."""
        words = ["segstream reset"]
        words += [] if self.partition is None else [f"--partition {self.partition}"]
        words += [] if self.topic is None else [f"--topic {self.topic}"]
        words += ["--keep-state"] if self.keep_state else []
        return " ".join([*words, f"--to {self.to.text}"])


class Move(NamedTuple):
    """A topic's position.

    Parameters
    ----------
    before : int or None
        The next offset as it was; None if the state has none.
    log : Log
        ``log.place`` is the next offset as it will be.
    """

    before: int | None
    log: Log

    @property
    def beyond(self) -> bool:
        """Whether the position was behind the log's end: it was cut off, or created anew."""
        return self.before is not None and self.before > self.log.end


class Part(NamedTuple):
    """One partition number of a plan.

    Parameters
    ----------
    number : int
    users : int
        How many it has.
    incarnation : int
        As stored.
    unfinished : bool
        Whether a reset of it was begun and not finished.
    moves : dict of str to Move
        By topic.
    """

    number: int
    users: int
    incarnation: int
    unfinished: bool
    moves: dict[str, Move]


class Plan(NamedTuple):
    """What a reset would do.

    Parameters
    ----------
    partitions : int
        N, as the topics have it.
    made_with : int
        N, as the state has it; where it differs between partitions, the greatest that is not the topics'.
    parts : list of Part
    """

    partitions: int
    made_with: int
    parts: list[Part]


class Planner:
    """Plans resets; disturbs nobody.

    Parameters
    ----------
    settings : Settings
        As the workers have them.
    redis : Redis or RedisCluster
        Left open.
    """

    def __init__(self, settings: Settings, redis: Client) -> None:
        self._settings, self._redis, self._kafka = settings, redis, kafka_settings(settings)

    async def plan(self, wish: Wish) -> Plan:
        """Return what a reset would do.

        Raises
        ------
        UsageError
            It cannot be done so.
        PositionError
            Workers are about.
        SegstreamError
            Kafka or Redis fails, or the topics are not as they must be.
        """
        settings = self._settings
        partitions = (await check_topics(self._kafka, topics_of(settings))).partitions
        await refuse_members(settings)
        found = await self._look(range(partitions))
        # Partitions that were added may have been begun already.
        others = {meta.partitions for meta, _ in found} - {0, partitions}
        made_with = max(others, default=partitions)
        found += await self._look(range(partitions, made_with))
        if others and (wish.partition is not None or wish.keep_state):
            raise UsageError(
                f"the state was made with {made_with} partitions, the topics have {partitions}: users move between "
                "partitions, so all of them begin anew; leave --partition and --keep-state out"
            )
        numbers = self._numbers(wish, partitions, len(found))
        logs = await self._survey(wish, [number for number in numbers if number < partitions])
        parts = []
        for number in numbers:
            meta, users = found[number]
            moves = {
                there.topic: self._move(wish, meta, there, log)
                for there, log in logs.items()
                if there.partition == number
            }
            if wish.keep_state:
                _refuse_to_keep(number, meta, users, moves)
            unfinished = meta.reset.startswith(PENDING)
            parts.append(Part(number, users, meta.incarnation, unfinished, moves))
        dropped = () if wish.keep_state else numbers
        refuse_new_log(parts, [meta for number, (meta, _) in enumerate(found) if number not in dropped])
        return Plan(partitions, made_with, parts)

    async def _look(self, numbers: Sequence[int]) -> list[tuple[Meta, int]]:
        """Return the meta and the number of users of each partition."""
        nodes = Nodes(self._redis)
        calls = []
        for number in numbers:
            keys = PartitionKeys(self._settings.redis_prefix, number)
            calls += [Call(keys.meta, ["HGETALL", keys.meta]), Call(keys.users, ["ZCARD", keys.users])]
        try:
            replies = iter(await nodes.run(calls, durably=False))
        finally:
            await nodes.close()
        return [(read_meta(_flat(meta)), users) for meta, users in zip(replies, replies, strict=True)]

    def _numbers(self, wish: Wish, partitions: int, all_of_them: int) -> list[int]:
        if wish.partition is None:
            return list(range(all_of_them))
        if wish.partition >= partitions:
            raise UsageError(
                f"--partition: there is no partition {wish.partition}; the topics have 0 to {partitions - 1}"
            )
        return [wish.partition]

    async def _survey(self, wish: Wish, numbers: Sequence[int]) -> dict[TopicPartition, Log]:
        # Forwarded records go on where they are, unless a state is begun anew (`place_of_forwarded`), or their topic is named.
        given = self._settings.topics
        topics = (*given, self._settings.topic_rerouted)
        if wish.topic is not None and wish.topic not in topics:
            raise UsageError(
                f"--topic: {wish.topic} is not read here; SEGSTREAM_TOPICS has {', '.join(given)}"
            )
        chosen = [wish.topic] if wish.topic is not None else list(given)
        if wish.topic is None and not wish.keep_state and wish.to.offset is None:
            chosen.append(self._settings.topic_rerouted)
        if wish.to.offset is not None and len(chosen) * len(numbers) > 1:
            missing = " and ".join(
                option
                for option, many in (("--topic", len(chosen) > 1), ("--partition", len(numbers) > 1))
                if many
            )
            raise UsageError(
                f"--to: an offset is a place in one log, and there are {len(chosen) * len(numbers)}; add {missing}"
            )
        read = chosen if wish.keep_state else topics
        wanted = [TopicPartition(topic, number) for topic in read for number in numbers]
        if wish.to.offset is None or not wanted:
            return dict(await survey(self._kafka, self._settings.group, wanted, wish.to)) if wanted else {}
        exact = [there for there in wanted if there.topic in chosen]
        others = [there for there in wanted if there.topic not in chosen]
        found = dict(await survey(self._kafka, self._settings.group, exact, wish.to))
        if others:
            found |= await survey(self._kafka, self._settings.group, others, Place("earliest"))
        return found

    def _move(self, wish: Wish, meta: Meta, there: TopicPartition, log: Log) -> Move:
        applied = meta.offsets.get(there.topic)
        before = None if applied is None else applied + 1
        if there.topic == self._settings.topic_rerouted != wish.topic:
            return Move(before, log._replace(place=place_of_forwarded(wish, meta, there, log)))
        if wish.topic in (None, there.topic):
            return Move(before, log)
        if before is None or not log.beginning <= before <= log.end:
            raise UsageError(
                f"--topic: {there.topic}-{there.partition} has no position to go on from either; leave --topic out"
            )
        return Move(before, log._replace(place=before))


async def refuse_members(settings: Settings) -> None:
    """Refuse while workers are members of the group.

    Raises
    ------
    PositionError
        Naming them.
    """
    members = await members_of(kafka_settings(settings), settings.group)
    if members:
        raise PositionError(
            f"the consumer group {settings.group} has {len(members)} member{'s' if len(members) > 1 else ''} "
            f"({', '.join(members)}): stop all workers first. Those that were killed, or have SEGSTREAM_INSTANCE_ID, stay members "
            f"for {format_duration(settings.session_timeout)}"
        )


def place_of_forwarded(wish: Wish, meta: Meta, there: TopicPartition, log: Log) -> int:
    """Return where a partition that is begun anew goes on in the topic of forwarded records.

    If all partitions begin anew, behind what is there: the sources forward it again, and of both, with the same offsets
    of the sources, the first would count. If it is one partition, where its state once began, or at the later place
    that was asked for: the others do not forward again.

    Parameters
    ----------
    wish : Wish
        Drops users, and does not name this topic.
    meta : Meta
        The partition's.
    there : TopicPartition
        Its log of forwarded records.
    log : Log
        ``log.place`` is the place that was asked for.

    Raises
    ------
    UsageError
        Only one topic is read again: the log has records of all, and does not say which of them are to count.

    Examples
    --------
    >>> there, log = TopicPartition("segstream-rerouted", 1), Log(0, 9, None, 0)
    >>> place_of_forwarded(Wish(Place("earliest"), None, None, keep_state=False), Meta(), there, log)
    9
    >>> place_of_forwarded(Wish(Place("earliest"), None, 1, keep_state=False), Meta(), there, log)
    0
    """
    if wish.topic is not None:
        if log.end > log.beginning:
            raise UsageError(
                f"--topic: {there.topic}-{there.partition} holds records that were forwarded, of this topic and maybe "
                "others, and some would be lost or count twice; leave --topic out"
            )
        return log.end
    if wish.partition is None:
        return log.end
    begun = Origin.load(meta.origin).begun.get(there.topic, 0)
    return max(log.place, begun) if begun <= log.end else log.place


def refuse_new_log(parts: Sequence[Part], kept: Sequence[Meta]) -> None:
    """Refuse to go on in a log that was cut off or created anew while states remember offsets of what it forwarded.

    They would take what it forwards from now on for repeats.

    Parameters
    ----------
    parts : sequence of Part
        What would be reset.
    kept : sequence of Meta
        Of the partitions whose users stay.

    Raises
    ------
    UsageError
        Saying to begin all partitions anew.
    """
    remembered = {mark for meta in kept for mark in meta.forwarded}
    for part in parts:
        for topic, move in part.moves.items():
            where = f"{topic}-{part.number}"
            if move.beyond and where in remembered:
                raise UsageError(
                    f"{where} ends at offset {move.log.end}, before the position {move.before}, and other partitions have "
                    "applied records that were forwarded from it: what is forwarded from a new log would be taken for "
                    "repeats. All partitions begin anew: leave --partition, --topic and --keep-state out"
                )


def _flat(reply: object) -> list[bytes]:
    """Return names and values in turn, however the client hands a hash over."""
    if isinstance(reply, dict):
        return [word for pair in reply.items() for word in pair]
    return list(reply) if isinstance(reply, list) else []


def _refuse_to_keep(number: int, meta: Meta, users: int, moves: dict[str, Move]) -> None:
    if meta.reset.startswith(PENDING):
        raise UsageError(
            f"partition {number}: a reset that drops its users was begun; finish it with "
            f"`{meta.reset.removeprefix(PENDING)}`"
        )
    if not meta.offsets and not users:
        raise UsageError(f"--keep-state: partition {number} has no state to keep; leave it out")
    for topic, (before, log) in moves.items():
        if before is not None and log.place < before <= log.end:
            raise UsageError(
                f"--keep-state: {topic}-{number} is at offset {before}; to go back to {log.place} would count "
                f"{before - log.place} events twice. Leave --keep-state out to begin anew from there"
            )
