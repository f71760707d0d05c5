"""One partition's events as they were applied: what a recount is made from."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from segstream.core.events import Event, Rejected, decode, home
from segstream.core.rerouting import Forwarded, mark, where_from
from segstream.core.time import NEVER
from segstream.verify.measures import Happening
from segstream.verify.person import Person, recount
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.core.origin import Adoption
    from segstream.core.partitioning import Partitioner
    from segstream.core.records import Record
    from segstream.core.sources import Mapping as SourceMapping
    from segstream.verify.rules import Rules

CLOCK: Final = "segstream-clock"
"""Header of a record that moves a replay's clock."""

PER_EVENT: Final = 500
"""Bytes that an event takes besides its document: the tuple, its message id and its numbers."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the worker reads, as its settings say.

    Parameters
    ----------
    number, partitions : int
        Which partition number, and how many there are.
    partitioner : callable
    replay : bool
        Whether the events' timestamps move the clock.
    timer_grace, max_clock_skew : int
        In ms.
    rerouted : str
        The topic of forwarded records.
    latest : int
        The latest arrival that a worker would believe now, in ms.
    """

    number: int
    partitions: int
    partitioner: Partitioner
    replay: bool
    timer_grace: int
    max_clock_skew: int
    rerouted: str = "segstream-rerouted"
    latest: int = NEVER


class Kept(NamedTuple):
    """An event, as small as can be: its document is read again when it is needed."""

    at: int
    limit: int
    message: str
    type: str
    name: str | None
    topic: str
    offset: int
    step: int
    value: bytes

    def whole(self) -> Happening:
        """Return it with its document."""
        at, limit, message, kind, name, topic, offset, step, value = self
        return Happening(at, limit, message, kind, name, topic, offset, step, orjson.loads(value))


class Group(NamedTuple):
    """Users whose events are kept at one time: those whose hash leaves ``remainder``."""

    divisor: int = 1
    remainder: int = 0

    def has(self, user: str) -> bool:
        """Tell whether a user is in it."""
        return self.divisor == 1 or zlib.crc32(user.encode()) % self.divisor == self.remainder

    def halves(self) -> tuple[Group, Group]:
        """Return two groups that make up this one."""
        divisor = 2 * self.divisor
        return Group(divisor, self.remainder), Group(divisor, self.remainder + self.divisor)


class Events:
    """The events of a partition's users, from the beginning of its state.

    Parameters
    ----------
    terms : Terms
    adoptions : sequence of Adoption
        The versions that came into force, in order.
    most_bytes : int
        How much may be kept; when it is more, only half of the users are kept, and so on.
    group : Group
        Whose events to keep.

    Attributes
    ----------
    group : Group
        Whose events are kept now.
    left_out : list of Group
        Whose were dropped for want of memory: another pass is for them.
    adoptions : sequence of Adoption
        As given; longer when versions have come into force meanwhile.
    applied : int
        Events applied, of all users.
    unusable : int
        Records that no worker could apply.
    mappings : sequence of mapping
        For each of the versions in ``adoptions``: how documents of topics become events, where they are none.
    """

    def __init__(
        self,
        terms: Terms,
        adoptions: Sequence[Adoption],
        *,
        most_bytes: int = NEVER,
        group: Group = Group(),  # noqa: B008 - a constant
    ) -> None:
        self.group, self.left_out = group, list[Group]()
        self.applied = self.unusable = 0
        self.adoptions = adoptions
        self.mappings: Sequence[Mapping[str, SourceMapping]] = ()
        self._terms, self._most = terms, most_bytes
        self._clock = self._ended = self._bytes = 0
        self._since_ended: set[str] = set()
        self._forwarded: dict[str, int] = {}
        self._users: defaultdict[str, list[Kept]] = defaultdict(list)

    def add(self, record: Record) -> None:
        """Take in the next record of the log."""
        terms = self._terms
        held = (
            next((value for name, value in record.headers if name == CLOCK), None) if record.headers else None
        )
        if held is not None:
            if terms.replay and held.isdigit() and int(held) <= LATEST:
                self._clock = max(self._clock, int(held))
                self._ended = self._clock - terms.timer_grace + 1
                self._since_ended.clear()
            else:
                self.unusable += 1
            return
        step = self._step(record)
        origin = record if record.topic != terms.rerouted else where_from(record)
        event, mapping = self._event(origin, step)
        moment = record.timestamp if not terms.replay else event.at if isinstance(event, Event) else 0
        if moment > terms.latest:
            self.unusable += 1
            return
        self._clock = max(self._clock, min(moment, LATEST))
        if isinstance(origin, Forwarded) and self._forwarded.get(mark(origin), -1) >= origin.offset:
            return  # its source partition has lost its tail, and forwarded it a second time
        if isinstance(origin, Forwarded):
            self._forwarded[mark(origin)] = origin.offset
        if isinstance(event, Event) and home(event.user, terms.partitions, terms.partitioner) != terms.number:
            self.unusable += isinstance(origin, Forwarded)  # else it counts where it is forwarded to
        elif not isinstance(event, Event) or isinstance(origin, Rejected):
            self.unusable += 1
        else:
            self.applied += 1
            if self.group.has(event.user):
                value = record.value or b"" if mapping is None else orjson.dumps(event.document)
                self._keep(event, origin, step, value)

    def _event(self, origin: Record | Rejected, step: int) -> tuple[Event | Rejected, SourceMapping | None]:
        """Return what a record holds under a version, and what it was mapped by."""
        if isinstance(origin, Rejected):
            return origin, None
        mapping = self.mappings[step].get(origin.topic) if self.mappings else None
        return decode(origin, max_clock_skew=self._terms.max_clock_skew, mapping=mapping), mapping

    def _keep(self, event: Event, record: Record, step: int, value: bytes) -> None:
        limit = max(self._clock - self._terms.timer_grace, event.at)
        if event.user not in self._since_ended:
            # What was due at that very moment has fired; not what a late event has made due since.
            limit = max(limit, self._ended)
            self._since_ended.add(event.user)
        self._users[event.user].append(
            Kept(
                event.at,
                limit,
                event.message_id,
                intern(event.type),
                None if event.name is None else intern(event.name),
                record.topic,
                record.offset,
                step,
                value,
            )
        )
        self._bytes += len(value) + PER_EVENT
        if self._bytes > self._most and len(self._users) > 1:
            self.group, other = self.group.halves()
            self.left_out.append(other)
            for user in [user for user in self._users if not self.group.has(user)]:
                self._bytes -= sum(len(each.value) + PER_EVENT for each in self._users.pop(user))

    def _step(self, record: Record) -> int:
        """Return which version was in force at a record, counted from 0."""
        topic, offset = record.topic, record.offset
        passed = (
            number for number, each in enumerate(self.adoptions) if each.offsets.get(topic, -1) < offset
        )
        return max(passed, default=0)

    def users(self) -> list[str]:
        """Return the users whose events are kept."""
        return list(self._users)

    def person(self, user: str, rules: Sequence[Rules], step: int, before: int) -> Person | None:
        """Return what has become of a user; None of one without events. See `recount`."""
        return recount([each.whole() for each in self._users.get(user, ())], rules, step, before)
