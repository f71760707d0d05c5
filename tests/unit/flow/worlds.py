"""The real flow over the in-memory Kafka and Redis, driven in different ways, and all that it tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from random import Random
from typing import Any

import orjson

from segstream.adapters.memory.log import MemoryLog, MemoryPublisher
from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import MemoryStateStore, partition_of
from segstream.core.clusters import Snapshot
from segstream.core.definitions import Definitions, read_definitions
from segstream.core.events import LogRecord, Record
from segstream.core.partitioning import murmur2
from segstream.core.time import format_time
from segstream.core.user import User
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.library import Library, Version
from segstream.partition import Options, Partition
from segstream.ports import Commit, EncodedView
from segstream.upkeep import adopt_definitions, adopt_models, drain, sweep, tidy

START = 1_600_000_000_000
"""A moment that histories begin at, ms."""

SKEW = 1_000_000
"""How far into the future an event may lie in these tests, ms."""


@lru_cache(maxsize=16)
def compiled(text: str) -> Definitions:
    """Return definitions, compiled once for all the worlds of an example: that costs more than to play it."""
    return read_definitions(text)


class Crash(Exception):
    """The process dies here."""


class Fuse:
    """Dies at the so-many-th step.

    Parameters
    ----------
    steps : int or None
        How many steps to live; None for ever.
    """

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps

    def burn(self) -> None:
        """Take one step."""
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                self.steps = None
                raise Crash

    async def hook(self, _step: str) -> None:
        """Take one step of a publication."""
        self.burn()


class Store(MemoryStateStore):
    """A store whose owner may die before a commit, or after it and before hearing so."""

    fuse = Fuse()

    async def commit(self, commit: Commit) -> int:
        """Commit."""
        self.fuse.burn()
        due = await super().commit(commit)
        self.fuse.burn()
        return due


class Shown(MemoryReadModel):
    """A read model whose writer may die before or after."""

    fuse = Fuse()

    async def write(self, partition: int, epoch: int, views: Sequence[EncodedView]) -> None:
        """Write."""
        self.fuse.burn()
        await super().write(partition, epoch, views)
        self.fuse.burn()


def record(offset: int, arrival: int, document: dict[str, Any] | bytes, *, partition: int = 0) -> LogRecord:
    """Return a record of the topic ``events``, keyed as it should be."""
    if isinstance(document, bytes):
        return LogRecord("events", partition, offset, arrival, b"?", document)
    key = str(document.get("userId", "")).encode()
    return LogRecord("events", partition, offset, arrival, key, orjson.dumps(document))


def clock_record(offset: int, moment: int, *, partition: int = 0) -> LogRecord:
    """Return a control record that moves a replay's clock."""
    headers = [("segstream-clock", str(moment).encode())]
    return LogRecord("events", partition, offset, moment, None, None, headers)


def track(user: str, name: str, at: int, message: str | None = None, **properties: Any) -> dict[str, Any]:
    """Return a track event."""
    document: dict[str, Any] = {"type": "track", "event": name, "userId": user, "timestamp": format_time(at)}
    if properties:
        document["properties"] = properties
    return document if message is None else {**document, "messageId": message}


@dataclass
class World:
    """One deployment: a Kafka, a Redis, definitions.

    Parameters
    ----------
    texts : sequence of (int, str)
        Versions of the definitions, each with the moment it comes into force.
    options : dict
        Of the flow.
    snapshots : sequence of Snapshot
        Of models, known from the beginning.
    """

    texts: Sequence[tuple[int, str]]
    options: dict[str, Any] = field(default_factory=dict)
    snapshots: Sequence[Snapshot] = ()

    def __post_init__(self) -> None:
        """Begin empty."""
        self.server, self.log, self.fuse = MemoryRedis(), MemoryLog(), Fuse()
        self.library = Library()
        for number, (at, text) in enumerate(self.texts, 1):
            self.library.add_version(Version(number, at, compiled(text)))
        for snapshot in self.snapshots:
            self.library.add_snapshot(snapshot)
        self.settings = Options(
            **{"partitions": 1, "partitioner": murmur2, "max_clock_skew": SKEW, **self.options}
        )
        self.read_model = Shown(self.server)
        self.read_model.fuse = self.fuse
        self.now = START

    def flow(self, number: int = 0) -> Flow:
        """Return a new worker's flow for a partition number, which is to be taken over."""
        store = Store(self.server, number)
        store.fuse = self.fuse
        partition = Partition(store, self.library, self.settings, lambda: self.now)
        publisher = MemoryPublisher(number, self.log, hook=self.fuse.hook)
        return Flow(number, partition, self.read_model, publisher)

    async def owner(self, number: int = 0) -> Flow:
        """Return a flow that owns its partition number."""
        flow = self.flow(number)
        await flow.take_over()
        if self.snapshots and not flow.partition.bases[-1].models:
            # Before the first event, so that it is not left to chance which changes tell of them.
            while await sweep(flow.partition) or await adopt_models(flow.partition):
                pass
        return flow

    # --- what others see

    def changes(self, number: int = 0) -> list[dict[str, Any]]:
        """Return what was published to ``segment-changes``."""
        return [json.loads(each.value or b"") for each in self.log.consumers_view("segment-changes", number)]

    def letters(self, number: int = 0) -> list[dict[str, Any]]:
        """Return what was published to ``segment-dead-letters``."""
        return [
            json.loads(each.value or b"") for each in self.log.consumers_view("segment-dead-letters", number)
        ]

    def memberships(self, number: int = 0) -> dict[str, dict[str, Any]]:
        """Return what compaction leaves of ``segment-memberships``."""
        last = {
            each.key.decode(): each.value for each in self.log.consumers_view("segment-memberships", number)
        }
        return {user: json.loads(value) for user, value in last.items() if value is not None}

    def users(self, number: int = 0) -> dict[str, User]:
        """Return the stored states."""
        held = partition_of(self.server, "segstream", number)
        return {name: User.decode(name, data) for name, data in held.states.items()}

    def everything(self, number: int = 0) -> dict[str, Any]:
        """Return all that must not depend on how the records were cut into batches."""
        held = partition_of(self.server, "segstream", number)
        users = self.users(number)
        told: dict[str, list[dict[str, Any]]] = {}
        for change in self.changes(number):
            del change["processed_at"]
            told.setdefault(change["user_id"], []).append(change)
        answers = {name: self.read_model.answer(name) for name in sorted(users)}
        for answer in answers.values():
            answer.pop("v", None)
        segments = {segment for user in users.values() for segment in user.segments()}
        return {
            "changes": told,
            "answers": answers,
            "memberships": self.memberships(number),
            "members": {name: self.read_model.members(name, number) for name in sorted(segments)},
            "letters": self.letters(number),
            "timers": held.timers,
            "offsets": held.meta.offsets,
            "bases": held.meta.bases,
            "users": {
                name: {key: getattr(user, key) for key in User.__slots__} for name, user in users.items()
            },
        }


async def finish(flow: Flow, end: int | None) -> None:
    """Let a live clock reach ``end``, fire what is due, sweep, publish and clear the outbox."""
    if end is not None:
        while await adopt_definitions(flow.partition, end):
            pass
        flow.partition.advance_clock(end)
    while await drain(flow.partition) or await sweep(flow.partition):
        pass
    while await flow.publish():
        pass
    await tidy(flow.partition)


async def feed(flow: Flow, records: Sequence[Record]) -> None:
    """Apply records, however often a batch is interrupted."""
    rest = list(records)
    while rest:
        rest = rest[await flow.process(rest) :]


async def play_singly(world: World, records: Sequence[Record], end: int | None, number: int = 0) -> Flow:
    """Apply one record at a time and do everything that is due after each."""
    flow = await world.owner(number)
    for each in records:
        await feed(flow, [each])
        await finish(flow, None)
    await finish(flow, end)
    return flow


async def play_at_once(world: World, records: Sequence[Record], end: int | None, number: int = 0) -> Flow:
    """Apply everything in one batch, then let the clock run."""
    flow = await world.owner(number)
    await feed(flow, records)
    await finish(flow, end)
    return flow


async def play_at_random(
    world: World,
    records: Sequence[Record],
    end: int | None,
    number: int = 0,
    *,
    chance: Random,
    crashes: int = 0,
) -> Flow:
    """Cut batches, fire timers, sweep, publish and let the clock run at random; die ``crashes`` times on the way."""
    left = crashes
    while True:
        world.fuse.steps = chance.randrange(1, 40) if left > 0 else None
        left -= 1
        try:
            return await _at_random(world, records, end, number, chance)
        except Crash:
            continue


async def _at_random(
    world: World, records: Sequence[Record], end: int | None, number: int, chance: Random
) -> Flow:
    flow = await world.owner(number)
    done = flow.partition.meta.offsets
    rest = [each for each in records if each.offset > done.get(each.topic, -1)]
    live = not world.settings.replay
    works: list[Callable[[], Any]] = [
        flow.publish,
        *(partial(work, flow.partition) for work in (drain, tidy, sweep)),
    ]
    while rest:
        world.now += chance.randrange(5)
        count = chance.choice([1, 1, 2, 3, 5, 8, 20])
        batch = rest[:count]
        rest = rest[await flow.process(batch) :]
        for work in chance.sample(works, chance.randrange(len(works) + 1)):
            await work()
        if live and rest and chance.random() < 0.5:
            # Nothing can arrive any more before the next record does.
            clock = flow.partition.meta.clock
            moment = chance.randint(clock, max(clock, rest[0].timestamp))
            if not await adopt_definitions(flow.partition, moment):
                flow.partition.advance_clock(moment)
            if chance.random() < 0.7:
                await drain(flow.partition)
    await finish(flow, end)
    return flow


class Outages:
    """A worker that reads a live log as it grows, and is away now and then while time and the log go on.

    Parameters
    ----------
    world : World
    sent : sequence of Record
        Of one partition number, in the order they are appended; none arrives before the one in front of it.
    topics : sequence of str
        The input topics.
    end : int
        The moment everything is looked at last, ms.
    chance : Random
        Decides when it is away and for how long, what each look at the log finds, and what is done after it.

    Attributes
    ----------
    applied : list of Record
        In the order they took effect.
    away : int
        How long it was, ms.
    """

    def __init__(
        self, world: World, sent: Sequence[Record], topics: Sequence[str], end: int, chance: Random
    ) -> None:
        self.world, self.sent, self.topics, self.end, self.chance = world, sent, topics, end, chance
        self.applied: list[Record] = []
        self.away = 0
        self._appended = 0

    async def play(self, number: int = 0, lives: int = 4) -> Flow:
        """Live so many times at most, and once more to the end; half of the deaths are in the middle of something."""
        begin = self.sent[0].timestamp
        self.world.now = begin
        for _ in range(lives):
            if self.world.now >= self.end:
                break
            crashing = self.chance.random() < 0.5
            self.world.fuse.steps = self.chance.randrange(1, 30) if crashing else None
            stop = self.chance.randint(self.world.now, self.end)
            try:
                flow = await self._live(number, stop)
                if not crashing:
                    await tidy(flow.partition)
            except Crash:
                pass
            self._forget(number)
            span = self.chance.randint(0, 2 * (self.end - begin) // (lives + 1))
            self.away += span
            self.world.now += span
        self.world.fuse.steps = None
        flow = await self._live(number, max(self.world.now, self.end) + 1)
        await finish(flow, self.end)
        return flow

    def _forget(self, number: int) -> None:
        """Forget what was in hand, and not committed, when it died."""
        done = partition_of(self.world.server, "segstream", number).meta.offsets
        self.applied = [each for each in self.applied if each.offset <= done.get(each.topic, -1)]

    async def _live(self, number: int, stop: int) -> Flow:
        """Read and work until a moment; if that is past the end, until everything is applied."""
        world, chance = self.world, self.chance
        flow = await world.owner(number)
        inbox, fetched = Inbox(self.topics), dict(flow.partition.meta.offsets)
        step = max((self.end - self.sent[0].timestamp) // 20, 1)
        while world.now < stop or (stop > self.end and len(self.applied) < len(self.sent)):
            if self._fetch(inbox, fetched):
                await self._pass_time(flow, inbox)
            await self._work(flow, inbox)
            world.now += chance.randint(0, step)
        return flow

    def _fetch(self, inbox: Inbox, fetched: dict[str, int]) -> bool:
        """Look at the log; return whether all that had arrived until now has been fetched."""
        sent, now, chance = self.sent, self.world.now, self.chance
        while self._appended < len(sent) and (
            sent[self._appended].timestamp < now
            or (sent[self._appended].timestamp == now and chance.random() < 0.5)
        ):
            self._appended += 1
        complete = True
        for topic in self.topics:
            there = [each for each in sent[: self._appended] if each.topic == topic]
            new = [each for each in there if each.offset > fetched.get(topic, -1)]
            some = new if chance.random() < 0.7 else new[: chance.randint(0, len(new))]
            inbox.add(topic, some, fetched_all=len(some) == len(new))
            fetched[topic] = some[-1].offset if some else fetched.get(topic, -1)
            complete = complete and len(some) == len(new)
        return complete

    async def _pass_time(self, flow: Flow, inbox: Inbox) -> None:
        """Move the clock, as a runner does, when all that has arrived is applied."""
        now, partition = self.world.now, flow.partition
        # Later than the end nothing is compared.
        moment = min(now, self.end)
        if (
            not len(inbox)
            and moment > partition.meta.clock
            and not await adopt_definitions(partition, moment)
        ):
            partition.advance_clock(moment)

    async def _work(self, flow: Flow, inbox: Inbox) -> None:
        """Apply a batch, and do some of what there is to do besides."""
        partition, chance = flow.partition, self.chance
        batch = inbox.take(chance.choice([1, 2, 3, 8, 20]))
        if batch:
            known = {(each.topic, each.offset) for each in self.applied}
            self.applied += [each for each in batch if (each.topic, each.offset) not in known]
            taken = await flow.process(batch)
            inbox.put_back(batch[taken:])
            left = {(each.topic, each.offset) for each in batch[taken:]}
            self.applied = [each for each in self.applied if (each.topic, each.offset) not in left]
        works: list[Callable[[], Any]] = [
            flow.publish,
            *(partial(work, partition) for work in (drain, tidy, sweep)),
        ]
        for work in chance.sample(works, chance.randrange(len(works) + 1)):
            await work()
        await adopt_definitions(partition, partition.meta.clock)
