"""Through one partition: its log read again, its users a slice at a time, each compared as of one moment.

A worker may go on meanwhile. A slice's states and the partition's position and clock are read from Redis at one
moment; then the log is read on up to just there, and the users of the slice are recounted up to just then. What is
public trails the private state by some milliseconds, so where the two differ both are looked at again for a while.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from segstream.core.origin import Origin
from segstream.core.user import User
from segstream.errors import PositionError
from segstream.verify.against import Difference, Held, compare, differs_in_public, until
from segstream.verify.partition import Events, Group, Terms
from segstream.verify.rules import Rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from segstream.adapters.redis.cut import Cut
    from segstream.core.definitions import Definitions
    from segstream.core.records import Record
    from segstream.ports import Meta
    from segstream.verify.person import Person

SLICE: Final = 500
"""Users looked at together: one script holds Redis for less than a millisecond."""

LOOKS: Final = 20
"""How often a public answer that differs is looked at again, and its state with it."""

PAUSE: Final = 0.25
"""Seconds between two looks."""


class Log(Protocol):
    """One partition's records."""

    def read(self, applied: Mapping[str, int]) -> AsyncIterator[Sequence[Record]]:
        """Yield those up to these offsets that have not been yielded yet, in the order they were applied."""
        ...


class States(Protocol):
    """What Redis holds."""

    async def cut(self, partition: int, users: Sequence[str] = ()) -> Cut:
        """Return a partition's own state and some users', of one moment."""
        ...

    async def users_after(self, partition: int, user: str, limit: int) -> list[str]:
        """Return the users that sort after one."""
        ...

    async def answers(self, users: Sequence[str]) -> dict[str, Held]:
        """Return what others see of users."""
        ...


@dataclass(slots=True)
class Found:
    """What a partition's recount leads to.

    Attributes
    ----------
    users, memberships : int
        Compared.
    events, unusable : int
        Records of the log that were applied, and that no worker could apply.
    waiting : int
        Users with a timer that is due and has not fired yet: compared as of the moment before.
    trailing : int
        Users whose public answer has not caught up although it was waited for.
    unchecked : set of str
        Segments that depend on what a model finds.
    discovered : int
        Memberships that a model found; not checked.
    differing : int
        Users that differ.
    differences : list of Difference
        The first of them.
    versions : tuple of int
        Versions of the definitions that came into force.
    passes : int
        How often the log was read.
    """

    users: int = 0
    memberships: int = 0
    events: int = 0
    unusable: int = 0
    waiting: int = 0
    trailing: int = 0
    discovered: int = 0
    differing: int = 0
    passes: int = 0
    unchecked: set[str] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Means:
    """What a walk needs besides the partition.

    Parameters
    ----------
    states : States
    open_log : callable
        Opens the partition's log, given the first offset of each topic.
    definitions : callable
        Returns a version's definitions.
    most_bytes : int
        How many bytes of events may be kept at one time.
    most : int
        How many differences are wanted.
    report : callable
        Called with the events read and the users compared so far.
    """

    states: States
    open_log: Callable[[Mapping[str, int]], AbstractAsyncContextManager[Log]]
    definitions: Callable[[int], Awaitable[Definitions]]
    most_bytes: int
    most: int
    report: Callable[[int, int], None]


class Walk:
    """Verifies one partition.

    Parameters
    ----------
    terms : Terms
    means : Means
    """

    def __init__(self, terms: Terms, means: Means) -> None:
        self._terms, self._means = terms, means
        self._found = Found()
        self._rules: list[Rules] = []
        self._origin = Origin({}, (), "")

    async def run(self) -> Found:
        """Recount all users and compare them.

        Raises
        ------
        PositionError
            The log does not lead to the state; names the gap.
        SegstreamError
            Redis or Kafka does not answer.
        """
        found, number = self._found, self._terms.number
        cut = await self._means.states.cut(number)
        if not cut.meta.bases:
            if cut.meta.offsets:
                raise PositionError(
                    f"partition {number}: no worker has begun it since it was reset; start one first"
                )
            return found
        await self._keep_up(cut.meta)
        groups = [Group()]
        while groups:
            found.passes += 1
            async with self._means.open_log(self._origin.begun) as log:
                groups += await self._pass(log, groups.pop())
        return found

    async def _pass(self, log: Log, group: Group) -> list[Group]:
        """Read the log once, and compare the users of a group; return those that there was no memory for."""
        states, number, found = self._means.states, self._terms.number, self._found
        events = Events(self._terms, self._origin.adoptions, most_bytes=self._means.most_bytes, group=group)
        await self._read(log, events, (await states.cut(number)).meta)
        last, seen = "", set[str]()
        while names := await states.users_after(number, last, SLICE):
            last = names[-1]
            mine = [name for name in names if events.group.has(name)]
            seen.update(mine)
            await self._slice(log, events, mine)
        rest = [name for name in events.users() if name not in seen]
        for first in range(0, len(rest), SLICE):
            await self._slice(log, events, rest[first : first + SLICE])
        found.events, found.unusable = events.applied, events.unusable
        return events.left_out

    async def _read(self, log: Log, events: Events, meta: Meta) -> None:
        await self._keep_up(meta)
        events.adoptions = self._origin.adoptions
        events.mappings = [rules.mappings for rules in self._rules]
        async for records in log.read(meta.offsets):
            for record in records:
                events.add(record)
            self._means.report(events.applied, self._found.users)

    async def _slice(self, log: Log, events: Events, names: Sequence[str]) -> None:
        """Compare users as of one moment."""
        if not names:
            return
        cut = await self._means.states.cut(self._terms.number, names)
        await self._read(log, events, cut.meta)
        public = await self._means.states.answers(names)
        late: dict[str, str] = {}
        for name, packed in cut.states.items():
            # A slice of eventful users takes seconds, and Kafka's answers wait for a turn.
            await asyncio.sleep(0)
            if not events.group.has(name):  # its events have just been dropped; another pass is for it
                continue
            state = None if packed is None else User.decode(name, packed)
            self._count(state)
            what, person = self._privately(events, name, state, cut.meta)
            if what:
                self._differ(name, what, person, state)
            elif told := differs_in_public(state, public.get(name, {})):
                late[name] = told
        if late:
            await self._wait_for(late)
        self._means.report(events.applied, self._found.users)

    def _privately(
        self, events: Events, name: str, state: User | None, meta: Meta
    ) -> tuple[str, Person | None]:
        """Recount a user; return how its state differs, and the recount."""
        adoptions, grace = self._origin.adoptions, self._terms.timer_grace
        end = until(state, meta, adoptions, grace)
        if end is None:
            return "rests on a version that this partition never had in force", None
        self._found.waiting += end.waiting
        person = events.person(name, self._rules, end.step, end.before)
        if state is None:
            return ("has events in the log, and no state in Redis" if person else ""), person
        if person is None:
            return "has a state in Redis, and no event in the log", None
        rules = self._rules[end.step]
        self._found.unchecked |= rules.unchecked
        self._found.memberships += len(person.held)
        return compare(person, {each: since for each, (since, _) in state.held.items()}, rules), person

    def _count(self, state: User | None) -> None:
        self._found.users += 1
        self._found.discovered += 0 if state is None else len(state.assigned)

    def _differ(self, name: str, what: str, person: Person | None, state: User | None) -> None:
        found = self._found
        found.differing += 1
        if len(found.differences) < self._means.most:
            recounted = {} if person is None else dict(person.held)
            held = {} if state is None else {each: since for each, (since, _) in state.held.items()}
            story = () if person is None else tuple(person.story)
            found.differences.append(Difference(self._terms.number, name, what, recounted, held, story))

    async def _wait_for(self, late: dict[str, str]) -> None:
        """Give public answers time to catch up with the states."""
        waiting, states = 0, dict[str, User]()
        for _ in range(LOOKS):
            await asyncio.sleep(PAUSE)
            cut = await self._means.states.cut(self._terms.number, [*late])
            public = await self._means.states.answers([*late])
            states = {name: User.decode(name, packed) for name, packed in cut.states.items() if packed}
            late = {
                name: told
                for name in late
                if (told := differs_in_public(states.get(name), public.get(name, {})))
            }
            waiting = cut.waiting
            if not late or not waiting:
                break
        if waiting:
            self._found.trailing += len(late)
            return
        for name, told in late.items():
            self._differ(name, told, None, states.get(name))

    async def _keep_up(self, meta: Meta) -> None:
        """Take in versions that have come into force."""
        number, origin = self._terms.number, Origin.load(meta.origin)
        refuse(number, origin, meta.offsets)
        if self._rules and (origin.begun, origin.adoptions[0]) != (
            self._origin.begun,
            self._origin.adoptions[0],
        ):
            raise PositionError(
                f"partition {number}: it was reset while it was being verified; run this again"
            )
        for adoption in origin.adoptions[len(self._rules) :]:
            definitions = await self._means.definitions(adoption.version)
            self._rules.append(Rules(adoption.version, adoption.at, definitions))
        self._origin = origin
        self._found.versions = tuple(each.version for each in origin.adoptions)


def refuse(number: int, origin: Origin, topics: Iterable[str]) -> None:
    """Raise ``PositionError`` where nobody can tell how the log led to a state.

    Parameters
    ----------
    number : int
        The partition number.
    origin : Origin
        As its meta has it.
    topics : iterable of str
        Those that the state has a position in.

    Examples
    --------
    >>> refuse(
    ...     3, Origin({"events": 0}, (), "`segstream reset --keep-state` has moved its position"), ["events"]
    ... )
    Traceback (most recent call last):
        ...
    segstream.errors.PositionError: partition 3: `segstream reset --keep-state` has moved its position, so the log alone does not lead to its state; `segstream reset` without it begins a state that can be verified
    """
    if origin.broken:
        raise PositionError(
            f"partition {number}: {origin.broken}, so the log alone does not lead to its state; `segstream reset` without "
            "it begins a state that can be verified"
        )
    unknown = sorted(topic for topic in topics if topic not in origin.begun)
    if unknown or not origin.adoptions:
        raise PositionError(
            f"partition {number}: its state does not tell from where in {', '.join(unknown) or 'the log'} it was begun: an "
            "earlier version of segstream began it. `segstream reset` begins one that can be verified"
        )


def merged(found: Iterable[Found]) -> Counter[str]:
    """Add up what partitions lead to."""
    total: Counter[str] = Counter()
    for each in found:
        for name in (
            "users", "memberships", "events", "unusable", "waiting", "trailing", "discovered", "differing",
        ):  # fmt: skip
            total[name] += getattr(each, name)
    return total
