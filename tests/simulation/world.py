"""Everything outside the workers of one simulated deployment: servers, time, what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.histories import PARTITIONS, History
from tests.simulation.kafka import Broker, Group
from tests.simulation.redis import Node
from tests.simulation.wire import Wire
from tests.unit.flow.worlds import START

if TYPE_CHECKING:
    from segstream.flow import Flow


class World:
    """One deployment without its workers.

    Parameters
    ----------
    history : History
        What happens to users.
    keeps : bool
        Whether Redis' nodes keep what they were waited for.
    apart : bool
        Whether a user's hash lies on another node than the partition's state.
    trace : list of str, optional
        Where to tell what happens.

    Attributes
    ----------
    time : float
        In seconds.
    arrived : list of int
        By partition number: how many records are in the log.
    requested : int
        The latest request to make the read model anew; a failover makes one.
    broken : list of str
        Promises that were seen broken on the way.
    incarnations : list of int
        By partition number: the last one begun.
    """

    def __init__(self, history: History, *, keeps: bool, apart: bool, trace: list[str] | None = None) -> None:
        self.history, self.keeps, self._trace = history, keeps, trace
        self.nodes = [Node("Redis one", keeps=keeps), Node("Redis two", keeps=keeps)]
        self._apart = apart
        self.wire, self.broker, self.group = Wire(), Broker(), Group()
        self.time, self._stamp = 0.0, 0
        self.arrived = [0] * PARTITIONS
        self.requested = 0
        self.broken: list[str] = []
        self.incarnations = [1] * PARTITIONS

    def lists_of(self, number: int) -> Node:
        """Return the node with a partition's state and member lists."""
        return self.nodes[number]

    def answers_of(self, number: int) -> Node:
        """Return the node with the hashes of a partition's users."""
        return self.nodes[1 - number] if self._apart else self.nodes[number]

    def now(self) -> int:
        """Return the time, in ms; it never stands still."""
        self._stamp += 1
        return START + int(self.time * 1000) + self._stamp

    def stamp(self) -> int:
        """Return a number that was never used before."""
        self._stamp += 1
        return self._stamp

    def known_until(self, number: int, share: int = 3) -> int:
        """Return a moment (ms) up to which all that arrives has arrived: early (0) or late (3) before the next."""
        records, arrived = self.history.records[number], self.arrived[number]
        if arrived == len(records):
            return self.history.end
        last = records[arrived - 1].timestamp if arrived else START
        return last + (records[arrived].timestamp - last) * share // 3

    def say(self, what: str, *about: object) -> None:
        """Tell what happens, if anybody listens."""
        if self._trace is not None:
            self._trace.append(f"    {what % about}")

    def taken_over(self, flow: Flow) -> None:
        """Check that a new incarnation began only where Redis had lost something published."""
        number, incarnation = flow.number, flow.partition.meta.incarnation
        store = flow.partition.store
        if incarnation > self.incarnations[number]:
            lost = self.broker.told_on[number] - store.heirs  # type: ignore[attr-defined]  # a simulated one
            if not lost:
                self.broken.append(
                    f"partition {number} began incarnation {incarnation} though Redis had lost nothing published"
                )
            elif self.keeps:
                self.broken.append(
                    f"partition {number} began incarnation {incarnation}: Redis, which keeps what is waited for, had "
                    "lost something published"
                )
            self.incarnations[number] = incarnation
            self.broker.told_on[number] -= lost
