"""A simulated worker process: the runners that its group gives it, with flows over the simulated servers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from segstream.adapters.kafka.assignor import NumberAssignor
from segstream.core.partitioning import murmur2
from segstream.errors import SegstreamError, ServerError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.partition import Options, Partition
from segstream.rebuilding import Rebuilder
from segstream.runner import Pace, Runner
from segstream.tally import Tally
from tests.simulation.histories import PARTITIONS, TOPIC
from tests.simulation.kafka import Publisher
from tests.simulation.loop import Loop
from tests.simulation.redis import Lists, Shown, Store
from tests.simulation.wire import Crash
from tests.unit.flow.worlds import SKEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

    from tests.simulation.world import World

PACE: Final = Pace(batch=2, publish_interval=0.01, backlog=4, first_retry=0.1, last_retry=0.4)
"""Small, so that much happens between two records."""

DRAIN: Final = 2.0
"""Seconds that a rebalance waits for partitions to be given up."""

OPTIONS: Final = Options(partitions=PARTITIONS, partitioner=murmur2, max_clock_skew=SKEW)

TALLY: Final = Tally(lambda: 0)


class SmallFlow(Flow):
    """A flow whose transactions hold few parcels."""

    async def publish(self, most: int = 2) -> int:
        """Publish (see ``Flow``)."""
        return await super().publish(most)


@dataclass(frozen=True)
class Parts:
    """What workers are made of; tests put in parts that break one rule."""

    flow: type[Flow] = SmallFlow
    partition: type[Partition] = Partition
    store: type[Store] = Store
    shown: type[Shown] = Shown
    publisher: type[Publisher] = Publisher


class Worker:
    """One process, and the owner that its runners ask (see ``runner.Owner``).

    Parameters
    ----------
    world : World
        All servers, and what is known to have happened.
    name : str
    parts : Parts

    Attributes
    ----------
    frozen : bool
        Whether it is stopped for now: nothing runs, what it has sent may take effect.
    dead : bool
        Whether it is gone.
    asked : bool
        Whether it has to hear that it must give its partitions up.
    joining : bool
        Whether it is giving them up.
    fetching : set of int
        Partition numbers that are read.
    requested : int
        The latest request to make the read model anew that it knows.
    """

    def __init__(self, world: World, name: str, parts: Parts) -> None:
        self.world, self.name, self._parts = world, name, parts
        self.loop = Loop(world)  # type: ignore[abstract]  # no sockets, signals, threads
        self.frozen = self.dead = self.joining = False
        self.assignor = NumberAssignor()
        self.runners: dict[int, Runner] = {}
        self.fetching: set[int] = set()
        self.requested = 0
        self._read: dict[int, int] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._rejoining: asyncio.Task[None] | None = None

    # --- membership, as ``adapters.membership`` does it

    def assigned(self, given: ConsumerProtocolMemberAssignment) -> None:
        """Begin to take over what the group has given."""
        self.assignor.on_assignment(given)
        for number in sorted(self.assignor.numbers):
            runner = Runner(number, self._maker(number), Inbox([TOPIC]), self, PACE, TALLY)
            self.runners[number] = runner
            self._runs[number] = self.loop.create_task(runner.run())

    @property
    def asked(self) -> bool:
        """See above."""
        group = self.world.group
        return not self.joining and (self not in group.members or self in group.waiting_for)

    def hear(self) -> None:
        """Hear that the partitions are handed out anew: give all up, then join again."""
        self.joining = True
        self._rejoining = self.loop.create_task(self._rejoin())

    async def _rejoin(self) -> None:
        for runner in self.runners.values():
            runner.stop()
        if self._runs:
            _, late = await asyncio.wait(self._runs.values(), timeout=DRAIN)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        self.acknowledge()
        self._complain()
        self.runners.clear()
        self._runs.clear()
        self.fetching.clear()
        self.joining = False
        self.world.group.join(self)

    def _maker(self, number: int) -> Callable[[], Flow]:
        world, parts = self.world, self._parts

        def make() -> Flow:
            store = parts.store(world.wire, self, world.lists_of(number), number, world.stamp)
            shown = parts.shown(world.wire, self, world.lists_of(number), world.answers_of(number))
            publisher = parts.publisher(world.wire, self, world.broker, number, store)
            partition = parts.partition(store, world.history.library, OPTIONS, world.now)
            lists = Lists(world.wire, self, world.lists_of(number), number)
            rebuilder = Rebuilder(number, partition, lists, lambda: self.requested)
            return parts.flow(number, partition, shown, publisher, None, rebuilder)

        return make

    # --- what runners ask

    async def still_owns(self, number: int) -> bool:
        """Tell whether the group still gives the number to this worker; no, while nobody can tell."""
        group, wire, broker = self.world.group, self.world.wire, self.world.broker
        with contextlib.suppress(ServerError):
            return await wire.send(
                self, broker, "ask who owns", number, lambda: group.gives(number, self), repeatable=False
            )
        return False

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Read on from where the state stands."""
        self.world.taken_over(flow)
        runner.inbox.clear()
        runner.known_until = 0
        self._read[runner.number] = flow.partition.meta.offsets.get(TOPIC, -1) + 1
        self.fetching.add(runner.number)
        self.fetch(runner.number)

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Stop reading for a runner."""
        kind = type(error).__name__
        self.world.say("%s starts partition %d over: %s, %s", self.name, runner.number, kind, error)
        self.fetching.discard(runner.number)
        runner.inbox.clear()

    # --- what is done once a second

    def fetch(self, number: int) -> None:
        """Fetch all that has arrived."""
        if number not in self.fetching:
            return
        first, arrived = self._read[number], self.world.arrived[number]
        if first < arrived:
            self._read[number] = arrived
            runner = self.runners[number]
            runner.inbox.add(TOPIC, self.world.history.records[number][first:arrived], fetched_all=True)
            runner.poke()

    def look(self, moment: Callable[[int], int]) -> None:
        """Fetch, learn what moment everything is read up to, acknowledge, and look for requests.

        Parameters
        ----------
        moment : callable
            Returns that moment (ms) for a partition number.
        """
        self.requested = self.world.requested
        for number in sorted(self.fetching):
            self.fetch(number)
            self.runners[number].known_until = max(self.runners[number].known_until, moment(number))
            self.runners[number].poke()
        self.acknowledge()

    def acknowledge(self) -> None:
        """Tell the group how far the logs have been applied; it listens to its members only."""
        group = self.world.group
        if self in group.members:
            for number in self.fetching:
                applied = self.runners[number].applied.get(TOPIC)
                if applied is not None:
                    group.committed[number] = applied

    # --- what becomes of it

    def kill(self) -> None:
        """Die. What was sent may still take effect; whatever else is done from here on is without any."""
        self.dead = True
        for task in (*self._runs.values(), *([self._rejoining] if self._rejoining else [])):
            task.cancel()
        self.loop.run_ready()

    def _complain(self) -> None:
        """Note what a runner has died of; errors of ours it handles itself."""
        for task in self._runs.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                self.loop.defects.append(error)

    def defects(self) -> list[BaseException]:
        """Return whatever was raised that nobody expects."""
        self._complain()
        return [each for each in self.loop.defects if not isinstance(each, Crash)]

    def at_rest(self) -> bool:
        """Tell whether there is nothing left to do for any partition number owned."""
        return not self.joining and all(self._at_rest(number) for number in self.runners)

    def _at_rest(self, number: int) -> bool:
        flow, world = self.runners[number].flow, self.world
        if flow is None or number not in self.fetching:
            return False
        partition, meta = flow.partition, flow.partition.meta
        return (
            meta.offsets.get(TOPIC, -1) == len(world.history.records[number]) - 1
            and meta.clock >= world.history.end
            and not meta.sweep
            and not partition.parcels
            and partition.tidy
            and partition.next_due >= partition.settled()
            and not (flow.rebuilder is not None and flow.rebuilder.due)
        )


def describe(value: Any) -> str:
    """Return what kind of error it is, and what it says."""
    return f"{type(value).__name__}: {value}"
