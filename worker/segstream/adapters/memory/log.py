"""Kafka's part in memory: topics, transactions, fencing. Ships with the program and keeps the same contract."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from segstream.errors import Fenced, ServerError
from segstream.ports import NOTHING_TOLD, OutRecord, Told

Hook = Callable[[str], Awaitable[None]]
"""Called before each step with its name; raise to crash there, wait to be a zombie."""


class _End(Enum):
    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True)
class _Transaction:
    end: _End = _End.OPEN


class LogRecord(NamedTuple):
    """A record as a consumer sees it."""

    offset: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class _Stored:
    record: LogRecord
    transaction: _Transaction


@dataclass(slots=True)
class _Identity:
    """What the coordinator knows of one transactional id."""

    epoch: int = 0
    current: _Transaction | None = None
    told: list[tuple[Told, _Transaction]] = field(default_factory=list)


class MemoryLog:
    """Topics and partitions that publishers share; any topic and partition exists once it is used.

    Examples
    --------
    >>> MemoryLog().consumers_view("segment-changes", 0)
    []
    """

    def __init__(self) -> None:
        self._records: defaultdict[tuple[str, int], list[_Stored]] = defaultdict(list)
        self._identities: defaultdict[str, _Identity] = defaultdict(_Identity)

    def consumers_view(self, topic: str, partition: int) -> list[LogRecord]:
        """Return what a `read_committed` consumer sees: nothing aborted, nothing from an open transaction on."""
        seen = []
        for stored in self._records.get((topic, partition), ()):
            if stored.transaction.end is _End.OPEN:
                break
            if stored.transaction.end is _End.COMMITTED:
                seen.append(stored.record)
        return seen

    def init_producer(self, transactional_id: str) -> int:
        """Raise the identity's epoch, end its open transaction, and return the epoch."""
        identity = self._identities[transactional_id]
        identity.epoch += 1
        if identity.current is not None:
            identity.current.end = _End.ABORTED
            identity.current = None
        return identity.epoch

    def begin(self, transactional_id: str, epoch: int) -> None:
        """Open a transaction; like all below it raises `Fenced` under an older epoch."""
        self._current(transactional_id, epoch).current = _Transaction()

    def append(self, transactional_id: str, epoch: int, partition: int, record: OutRecord) -> None:
        """Append to the open transaction."""
        transaction = self._open(transactional_id, epoch)
        log = self._records[record.topic, partition if record.partition is None else record.partition]
        log.append(_Stored(LogRecord(len(log), record.key, record.value, record.headers), transaction))

    def append_told(self, transactional_id: str, epoch: int, told: Told) -> None:
        """Append the record of what was told."""
        transaction = self._open(transactional_id, epoch)
        self._identities[transactional_id].told.append((told, transaction))

    def commit(self, transactional_id: str, epoch: int) -> None:
        """Make everything in the open transaction visible at once."""
        self._open(transactional_id, epoch).end = _End.COMMITTED
        self._identities[transactional_id].current = None

    def last_told(self, transactional_id: str) -> Told:
        """Return the last committed record of what was told."""
        told = self._identities[transactional_id].told
        return next(
            (what for what, transaction in reversed(told) if transaction.end is _End.COMMITTED), NOTHING_TOLD
        )

    def _current(self, transactional_id: str, epoch: int) -> _Identity:
        identity = self._identities[transactional_id]
        if identity.epoch != epoch:
            raise Fenced(
                f"{transactional_id}: another worker owns it now (epoch {identity.epoch}, this one has {epoch})"
            )
        return identity

    def _open(self, transactional_id: str, epoch: int) -> _Transaction:
        transaction = self._current(transactional_id, epoch).current
        if transaction is None:
            raise ServerError(f"{transactional_id}: no transaction is open")
        return transaction


async def _go_on(_step: str) -> None:
    """Do not interfere."""


class MemoryPublisher:
    """One partition number's `segstream.ports.Publisher` over a `MemoryLog`.

    Parameters
    ----------
    partition : int
    log : MemoryLog
        Shared with the other publishers and the test.
    group : str
        ``<group>-<partition>`` is the transactional id.
    hook : Hook
        Called before each step: ``fence``, ``ask``; ``begin``, ``send`` before each record, ``tell``, ``commit``,
        ``reply`` (it is committed, the caller does not know).
    """

    def __init__(
        self, partition: int, log: MemoryLog, *, group: str = "segstream", hook: Hook = _go_on
    ) -> None:
        self._partition, self._log, self._hook = partition, log, hook
        self._id = f"{group}-{partition}"
        self._epoch = 0
        self._usable = False

    async def fence(self) -> Told:
        """Refuse every earlier owner's sends from now on, then return what was told last (committed)."""
        self._usable = False
        await self._hook("fence")
        self._epoch = self._log.init_producer(self._id)
        await self._hook("ask")
        told = self._log.last_told(self._id)
        self._usable = True
        return told

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Publish ``records`` and, at the end, ``told``, all in one transaction; see the port for its errors."""
        if not self._usable:
            raise ServerError(
                f"publish partition {self._partition}: its last transaction's end is unknown; fence first"
            )
        self._usable = False
        await self._hook("begin")
        self._log.begin(self._id, self._epoch)
        for record in records:
            await self._hook("send")
            self._log.append(self._id, self._epoch, self._partition, record)
        await self._hook("tell")
        self._log.append_told(self._id, self._epoch, told)
        await self._hook("commit")
        self._log.commit(self._id, self._epoch)
        await self._hook("reply")
        self._usable = True

    async def close(self) -> None:
        """Leave without finishing anything."""
        self._usable = False
