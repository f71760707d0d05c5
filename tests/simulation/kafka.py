"""Kafka in simulation: the transactional log that ships with the program, and a consumer group with the real assignor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from segstream.adapters.kafka.assignor import NumberAssignor
from segstream.adapters.memory.log import MemoryLog
from segstream.errors import ServerError
from segstream.ports import NOTHING_TOLD, OutRecord, Told
from tests.simulation.histories import PARTITIONS, TOPIC
from tests.simulation.wire import Process, Wire

if TYPE_CHECKING:
    from tests.simulation.redis import Store
    from tests.simulation.worker import Worker

T = TypeVar("T")

PUBLISHED: Final = "segstream-published"


class Broker:
    """Topics and transactions. What it has acknowledged it keeps.

    Attributes
    ----------
    log : MemoryLog
    told_on : list of set of int
        By partition number: the writes to Redis that what was told rests on.
    """

    name = "Kafka"

    def __init__(self) -> None:
        self.writing = False
        self.log = MemoryLog()
        self.told_on: list[set[int]] = [set() for _ in range(PARTITIONS)]

    def seal(self) -> int:
        """Keep everything."""
        return 0

    def keep(self, place: int) -> None:
        """Keep everything."""

    def last_told(self, number: int) -> Told:
        """Return the last committed record of what was told of a partition number."""
        seen = self.log.consumers_view(PUBLISHED, number)
        if not seen:
            return NOTHING_TOLD
        incarnation, epoch, sequence, owner = (seen[-1].value or b"").decode().split(":")
        return Told(int(incarnation), int(epoch), int(sequence), owner)


class Publisher:
    """``Publisher`` of one partition number, each of its calls a step of the simulation.

    Parameters
    ----------
    wire : Wire
    process : Process
    broker : Broker
    number : int
        The partition number.
    store : Store
        Of the same owner: knows which writes what it tells rests on.
    """

    def __init__(self, wire: Wire, process: Process, broker: Broker, number: int, store: Store) -> None:
        self._wire, self._process, self.broker, self.number = wire, process, broker, number
        self._store = store
        self.id = f"segstream-{number}"
        self._epoch, self._usable = 0, False

    async def fence(self) -> Told:
        """Fence earlier owners, and return what was told (see ``Publisher``)."""
        self._usable = False
        self._epoch = await self._call("InitProducerId", self.init)
        told = await self._call("read what was told", lambda: self.broker.last_told(self.number))
        self._usable = True
        return told

    def init(self) -> int:
        """Do what the broker does at InitProducerId."""
        return self.broker.log.init_producer(self.id)

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Publish in one transaction (see ``Publisher``)."""
        if not self._usable:
            raise ServerError("fence first")
        self._usable = False
        log, epoch = self.broker.log, self._epoch
        rests_on = {self._store.taken_over, *map(self._store.rests_on.get, [told.partition_sequence])} - {
            None
        }

        def produce() -> None:
            log.begin(self.id, epoch)
            for record in records:
                log.append(self.id, epoch, self.number, record)
            value = ":".join(map(str, told)).encode()
            log.append(self.id, epoch, self.number, OutRecord(PUBLISHED, self.id.encode(), value))

        def commit() -> None:
            log.commit(self.id, epoch)
            self.broker.told_on[self.number].update(each for each in rests_on if each is not None)

        await self._call("produce", produce)
        await self._call("commit the transaction", commit)
        self._usable = True

    async def close(self) -> None:
        """Leave without finishing anything."""
        self._usable = False

    def _call(self, what: str, effect: Callable[[], T]) -> asyncio.Future[T]:
        return self._wire.send(self._process, self.broker, what, self.number, effect, repeatable=False)


class _Cluster:
    """The topics' partitions, for the assignor."""

    @staticmethod
    def partitions_for_topic(topic: str) -> set[int]:
        """Return the partition numbers of a topic."""
        return set(range(PARTITIONS)) if topic == TOPIC else set()


@lru_cache(maxsize=1_000)
def _divided(*told: tuple[str, bytes]) -> dict[str, tuple[ConsumerProtocolMemberAssignment, frozenset[int]]]:
    """Return what the assignor gives each member, by what they told: the same comes up again and again."""
    members = {name: ConsumerProtocolMemberMetadata(0, [TOPIC], claim) for name, claim in told}
    given = NumberAssignor().assign(_Cluster, members)
    return {
        name: (each, frozenset(number for _, numbers in each.assignment for number in numbers))
        for name, each in given.items()
    }


class Group:
    """The workers' consumer group: who is a member, and who has been given what.

    Attributes
    ----------
    members : dict of Worker to NumberAssignor
    waiting_for : set of Worker
        Members that have not given their partitions up yet, while these are handed out anew.
    forming : bool
        Whether they are being handed out anew.
    committed : dict of int to int
        By partition number: the offset committed, of the last record applied.
    given : dict of Worker to frozenset of int
        What each was given last.
    """

    def __init__(self) -> None:
        self.members: dict[Worker, NumberAssignor] = {}
        self.waiting_for: set[Worker] = set()
        self.forming = False
        self.committed: dict[int, int] = {}
        self.given: dict[Worker, frozenset[int]] = {}

    def expect(self, workers: Sequence[Worker]) -> None:
        """Wait for workers that start together, as a new group does."""
        self.members.update((worker, worker.assignor) for worker in workers)
        self.begin()

    def join(self, worker: Worker) -> None:
        """Take a worker in, or note that it has given everything up."""
        if worker not in self.members:
            self.members[worker] = worker.assignor
            if not self.forming:
                self.begin()
        self.waiting_for.discard(worker)
        if not self.waiting_for:
            self.divide()

    def begin(self) -> None:
        """Hand the partitions out anew: every member is to give up what it has."""
        self.forming, self.waiting_for = True, set(self.members)

    def expel(self, worker: Worker) -> None:
        """Put a member out: its session has ended. It does not know."""
        del self.members[worker]
        self.waiting_for.discard(worker)
        if self.members and not self.forming:
            self.begin()
        elif self.forming and not self.waiting_for:
            self.divide()

    def divide(self) -> None:
        """Hand out, as the leader's assignor says."""
        self.forming = False
        if not self.members:
            return
        given = _divided(
            *[
                (worker.name, assignor.metadata([TOPIC]).user_data)
                for worker, assignor in self.members.items()
            ]
        )
        for worker in self.members:
            assignment, self.given[worker] = given[worker.name]
            worker.loop.call_soon(worker.assigned, assignment)

    def gives(self, number: int, worker: Worker) -> bool:
        """Tell whether a partition number is a worker's."""
        return worker in self.members and not self.forming and number in self.given[worker]
