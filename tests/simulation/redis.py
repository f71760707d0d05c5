"""Redis in simulation: the twins that ship with the program, on nodes that lose their tail, one call at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeVar

from segstream.adapters.memory.listings import MemoryMemberLists
from segstream.adapters.memory.read_model import MemoryReadModel, _Answer
from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import MemoryStateStore, Partition
from segstream.errors import SegstreamError
from segstream.ports import Commit, EncodedView, Meta, TakeOver, Told
from tests.simulation.wire import Process, Wire, at_once

T = TypeVar("T")

TAIL: Final = 12
"""How many writes a node that does not keep its promise may lose."""


class Node(MemoryRedis):
    """A primary and its replica. The replica has every write up to some place, and takes over at a failover.

    Values are copied before they are written to for the first time after a write, so that every earlier write's
    values stay as they were and a failover is only a choice among them.

    Parameters
    ----------
    name : str
    keeps : bool
        Whether writes that were waited for outlive the primary.

    Attributes
    ----------
    writing : bool
        Whether values are asked for to be changed.
    """

    def __init__(self, name: str, *, keeps: bool) -> None:
        super().__init__()
        self.name, self._keeps = name, keeps
        self.writing = False
        self._own: set[str] = set()
        self._first, self._past = 0, [self._values]
        self._values = {}

    def value(self, key: str, kind: Callable[[], T]) -> T:
        """Return what is at ``key``, to be read or changed."""
        found: T | None = self._values.get(key)
        if not self.writing:
            return kind() if found is None else found
        if key in self._own:
            assert found is not None
            return found
        self._own.add(key)
        owned: T = kind() if found is None else _copied(found)
        self._values[key] = owned
        return owned

    def seal(self) -> int:
        """Note a write; return its place."""
        self._past.append(self._values)
        self._values = self._values.copy()
        self._own.clear()
        if not self._keeps and len(self._past) > TAIL:
            del self._past[0]
            self._first += 1
        return self._first + len(self._past) - 1

    def keep(self, place: int) -> None:
        """Let the replica have everything up to a place, if this node keeps its promise."""
        if self._keeps and place > self._first:
            del self._past[: place - self._first]
            self._first = place

    @property
    def losable(self) -> int:
        """How many writes a failover may lose."""
        return len(self._past) - 1

    def fail_over(self, lost: int) -> None:
        """Let the replica take over, without the last ``lost`` writes."""
        place = self._first + len(self._past)
        self._values = dict(self._past[-1 - lost])
        self._own.clear()
        self._first, self._past = place, [dict(self._values)]


def _copied(value: Any) -> Any:
    """Return a copy of a value that can be changed: only as deep as what is changed in place."""
    kind = type(value)
    if kind is Partition:
        return Partition(value.meta, *[part.copy() for part in _containers(value)])
    if kind is _Answer:
        return _Answer(value.fields, value.ends)
    return value.copy()


_containers: Final = attrgetter(*[part.name for part in fields(Partition)[1:]])


class Lineage:
    """Which writes a partition's state descends from, kept beside it and lost with it: what the checker goes by.

    Parameters
    ----------
    node : Node
    number : int
        The partition number.
    """

    def __init__(self, node: Node, number: int) -> None:
        self._node, self._key = node, f"lineage:{number}"

    def add(self, stamp: int) -> None:
        """Add a write."""
        self._node.value(self._key, list[int]).append(stamp)

    def stamps(self) -> set[int]:
        """Return all writes."""
        return set(self._node.value(self._key, list[int]))


class Store:
    """``StateStore`` of one partition number, each of its calls a step of the simulation.

    Parameters
    ----------
    wire : Wire
    process : Process
        Who calls.
    node : Node
    number : int
        The partition number.
    stamp : callable
        Returns a new number for each write.

    Attributes
    ----------
    rests_on : dict of int to int
        For each outbox entry told of: the write that committed it.
    taken_over : int
        The write that took the partition over.
    """

    twin: Callable[[MemoryRedis, int], MemoryStateStore] = MemoryStateStore

    def __init__(
        self, wire: Wire, process: Process, node: Node, number: int, stamp: Callable[[], int]
    ) -> None:
        self._wire, self._process, self._node, self._number = wire, process, node, number
        self._twin, self._stamp = self.twin(node, number), stamp
        self.lineage = Lineage(node, number)
        self.rests_on: dict[int, int] = {}
        self.taken_over = 0
        self.heirs: set[int] = set()

    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        """Take over (see ``StateStore``)."""

        def effect() -> tuple[TakeOver, int, set[int]]:
            found = at_once(self._twin.take_over(told, least))
            stamp, heirs = self._stamp(), self.lineage.stamps()
            self.lineage.add(stamp)
            return found, stamp, heirs

        found, self.taken_over, self.heirs = await self._call("take over", effect, writes=True, durably=True)
        return found

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Load states (see ``StateStore``)."""
        return await self._call("load", lambda: at_once(self._twin.load(users)))

    async def commit(self, commit: Commit) -> int:
        """Commit (see ``StateStore``)."""
        sent = self.as_sent(commit)

        def effect() -> tuple[int, int]:
            due = at_once(self._twin.commit(sent))
            stamp = self._stamp()
            self.lineage.add(stamp)
            return due, stamp

        due, stamp = await self._call("commit", effect, writes=True, durably=self.waits)
        self.rests_on.update((entry.sequence, stamp) for entry in commit.outbox)
        return due

    waits = True
    """Whether a commit is waited for until it is durable."""

    def as_sent(self, commit: Commit) -> Commit:
        """Return a commit as it goes out: what the worker's own meta becomes later does not change it."""
        # fmt: off
        return Commit(
            commit.meta.copy(), commit.states, commit.timers, tuple(commit.arrivals), commit.outbox,
            commit.published, commit.departures,
        )
        # fmt: on

    async def due(self, before: int, limit: int) -> list[tuple[str, int]]:
        """Return users that are due (see ``StateStore``)."""
        return await self._call("due", lambda: at_once(self._twin.due(before, limit)))

    async def users_after(self, user: str, limit: int) -> list[str]:
        """Return known users (see ``StateStore``)."""
        return await self._call("users after", lambda: at_once(self._twin.users_after(user, limit)))

    async def unknown(self, users: Sequence[str]) -> list[str]:
        """Return unknown users (see ``StateStore``)."""
        return await self._call("unknown", lambda: at_once(self._twin.unknown(users)))

    async def renew(self, meta: Meta) -> None:
        """Begin anew (see ``StateStore``)."""
        sent = meta.copy()
        await self._call("renew", lambda: at_once(self._twin.renew(sent)), writes=True, durably=True)

    async def close(self) -> None:
        """Release nothing."""

    def _call(
        self, what: str, effect: Callable[[], T], *, writes: bool = False, durably: bool = False
    ) -> asyncio.Future[T]:
        return self._wire.send(
            self._process, self._node, what, self._number, effect, writes=writes, durably=durably
        )


class Answers(MemoryReadModel):
    """Users' hashes on one node. Where another node has the partition's state, it has the lists too."""

    def put(self, views: Sequence[EncodedView]) -> None:
        """Write answers by compare-and-set."""
        for view in views:
            self._write_answer(view)


class Listed(MemoryReadModel):
    """The member lists of a partition, beside its state."""

    def _write_answer(self, view: EncodedView) -> None:
        """Leave it to the other node."""


class Shown:
    """``ReadModel``, each of its calls a step of the simulation.

    Parameters
    ----------
    wire : Wire
    process : Process
    lists, answers : Node
        The node with the partition's state and lists, and the one with its users' hashes.
    """

    hashes: Callable[[MemoryRedis], Answers] = Answers
    waits = True

    def __init__(self, wire: Wire, process: Process, lists: Node, answers: Node) -> None:
        self._wire, self._process = wire, process
        self._lists, self._answers = lists, answers
        self._listed, self._hashes = Listed(lists), self.hashes(answers)

    async def write(self, partition: int, epoch: int, views: Sequence[EncodedView]) -> None:
        """Write (see ``ReadModel``): both parts go out together, and one's refusal does not stop the other."""

        def lists() -> SegstreamError | None:
            try:
                return at_once(self._listed.write(partition, epoch, views))
            except SegstreamError as refusal:
                return refusal

        def hashes() -> None:
            self._hashes.put(views)

        def both() -> SegstreamError | None:
            refusal = lists()
            hashes()
            return refusal

        if self._lists is self._answers:
            refused = await self._call(self._lists, "show", partition, both)
        else:
            listed = self._call(self._lists, "show lists", partition, lists)
            shown = self._call(self._answers, "show answers", partition, hashes)
            await shown
            refused = await listed
        if refused is not None:
            raise refused

    def _call(self, node: Node, what: str, number: int, effect: Callable[[], T]) -> asyncio.Future[T]:
        return self._wire.send(self._process, node, what, number, effect, writes=True, durably=self.waits)

    async def describe(self, catalog: Mapping[str, str], definitions_version: int) -> None:
        """Do nothing: nobody reads the catalog here."""


class Lists:
    """``MemberLists``, each of its calls a step of the simulation.

    Parameters
    ----------
    wire : Wire
    process : Process
    node : Node
        With the partition's lists.
    number : int
        The partition number.
    """

    def __init__(self, wire: Wire, process: Process, node: Node, number: int) -> None:
        self._wire, self._process, self._node, self._number = wire, process, node, number
        self._twin = MemoryMemberLists(node)

    async def filled(self, partition: int, segments: Sequence[str]) -> list[str]:
        """Return lists with members (see ``MemberLists``)."""
        return await self._call("lists filled", lambda: at_once(self._twin.filled(partition, segments)))

    async def listed(
        self, partition: int, segments: Sequence[str], users: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return who is listed where (see ``MemberLists``)."""
        return await self._call("listed", lambda: at_once(self._twin.listed(partition, segments, users)))

    async def page(self, partition: int, segment: str, cursor: int, limit: int) -> tuple[int, list[str]]:
        """Return some members (see ``MemberLists``)."""
        return await self._call("page", lambda: at_once(self._twin.page(partition, segment, cursor, limit)))

    async def strike(self, partition: int, epoch: int, segment: str, users: Sequence[str]) -> None:
        """Strike users from a list (see ``MemberLists``)."""
        await self._call(
            "strike",
            lambda: at_once(self._twin.strike(partition, epoch, segment, users)),
            writes=True,
            durably=True,
        )

    def _call(
        self, what: str, effect: Callable[[], T], *, writes: bool = False, durably: bool = False
    ) -> asyncio.Future[T]:
        return self._wire.send(
            self._process, self._node, what, self._number, effect, writes=writes, durably=durably
        )
