"""What a worker holds of one partition number while it owns it, and the one way to change it: a commit."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from segstream.cache import UserCache
from segstream.core.basis import Basis, dump_bases, load_bases
from segstream.core.engine import Engine, Outcome, Touched
from segstream.core.events import dead_letter, raw_id
from segstream.core.origin import Adoption, Origin
from segstream.core.rerouting import forwarding
from segstream.core.time import NEVER, format_time
from segstream.outbox import Parcel, Reroute, Topics, pack
from segstream.ports import Commit, Meta
from segstream.views import encoded_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from segstream.core.events import Record, Rejected
    from segstream.core.partitioning import Partitioner
    from segstream.library import Library, Version
    from segstream.outbox import Debts
    from segstream.ports import EncodedView, StateStore, TakeOver

MOST_SAMPLES = 1_000
"""Feature vectors kept for the trainer; when it cannot be reached the oldest go (samples may be lost)."""

MOST_CHANGE_BYTES = 900_000
"""A change larger than this goes without its reasons: Kafka takes 1,000,000 bytes, and what is committed must go out."""


MAX_KEY = 512
"""Bytes of a bad record's key that its dead letter is keyed by: as long as an id may be. The letter has all of it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the flow is told by settings.

    Parameters
    ----------
    partitions : int
        N, how many partition numbers there are.
    partitioner : callable
        As used by the producers of the input.
    replay : bool
        Whether the events' timestamps drive the clock instead of their arrival (``clock: event``).
    timer_grace, max_clock_skew : int
        In ms; see *Time* in worker/README.md.
    cache_bytes : int
        Most memory for this partition's users.
    sample_every : int
        Every how many decisions a feature vector is sampled for the models; 0 for never.
    topics : Topics
        Where to write.
    """

    partitions: int
    partitioner: Partitioner
    replay: bool = False
    timer_grace: int = 0
    max_clock_skew: int = 300_000
    cache_bytes: int = 256 << 20
    sample_every: int = 0
    topics: Topics = field(default_factory=Topics)


@dataclass(slots=True)
class Counts:
    """What a partition has done since it was taken over.

    Attributes
    ----------
    wake_ups, idle_wake_ups : int
        Timers fired, and those of them that changed nothing.
    late_wake_ups : int
        Timers fired by a wave of them, later than ``upkeep.LATE`` after they were due.
    swept : int
        Users that a sweep looked at.
    cache_hits, cache_misses : int
        Users found in the cache, or asked of the store.
    forwarded : int
        Records sent on to the partition of their user.
    """

    events: int = 0
    repeats: int = 0
    dead_letters: int = 0
    changes: int = 0
    wake_ups: int = 0
    idle_wake_ups: int = 0
    commits: int = 0
    transactions: int = 0
    late_wake_ups: int = 0
    swept: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    forwarded: int = 0


class Draft:
    """What a batch will commit, written down user by user.

    What an event passes through is scattered over some kilobytes. A user's results are written down while those are
    still in the processor's caches, instead of coming back to all of them at the commit.

    Parameters
    ----------
    sequence : int
        Partition sequence of the batch's first outbox entry.
    processed_at : str
        RFC 3339.

    Attributes
    ----------
    outcome : Outcome
        Where the engine puts what changes.
    letters, changes : list of (bytes, bytes)
        Key and value of dead letters and changes, in order.
    reroutes : list of Reroute
        Records to forward, in order.
    states : dict of str to bytes
        Encoded states.
    views : dict of str to EncodedView
        The last answer of each user whose answer changed.
    timers : dict of str to int
        For users whose due time changed: the new one in ms.
    changed : dict of str to Counter
        By direction: changes by segment.
    rejected : Counter
        Records by the reason they could not be applied for.
    rerouted : Counter
        Records sent on to the partition of their user, by topic.
    """

    __slots__ = (
        "_processed_at",
        "_sequence",
        "changed",
        "changes",
        "letters",
        "outcome",
        "rejected",
        "rerouted",
        "reroutes",
        "states",
        "timers",
        "views",
    )

    def __init__(self, sequence: int, processed_at: str) -> None:
        self._sequence, self._processed_at = sequence, processed_at
        self.outcome = Outcome()
        self.letters: list[tuple[bytes, bytes]] = []
        self.changes: list[tuple[bytes, bytes]] = []
        self.reroutes: list[Reroute] = []
        self.states: dict[str, bytes] = {}
        self.views: dict[str, EncodedView] = {}
        self.timers: dict[str, int] = {}
        self.changed: dict[str, Counter[str | None]] = defaultdict(Counter)
        self.rejected: Counter[str] = Counter()
        self.rerouted: Counter[str] = Counter()

    def reject(self, record: Record, wrong: Rejected) -> None:
        """Put a record that cannot be applied among the dead letters."""
        self.rejected[wrong.reason.value] += 1
        self.letters.append(((record.key or b"")[:MAX_KEY], dead_letter(record, wrong)))

    def forward(self, record: Record, user: str, partition: int) -> None:
        """Send a record on to the partition that its user belongs to."""
        self.rerouted[record.topic] += 1
        headers = forwarding(record)
        self.reroutes.append(Reroute(partition, raw_id(user).encode(), record.value or b"", headers))

    def write_down(self, touched: Touched) -> None:
        """Encode what a user has become, once the batch is done with it."""
        user, changes = touched.user, self.outcome.changes
        name = user.name
        if changes:
            self._write_changes(name.encode(), changes)
            changes.clear()
        self.states[name] = user.encode()
        if user.due != touched.due:
            self.timers[name] = user.due
        if touched.told is not None:
            self.views[name] = encoded_view(touched, self._sequence, *touched.told)

    def _write_changes(self, key: bytes, changes: Iterable[dict[str, Any]]) -> None:
        changed = self.changed
        for change in changes:
            change["processed_at"] = self._processed_at
            value = orjson.dumps(change)
            if len(value) > MOST_CHANGE_BYTES:
                value = orjson.dumps(change | {"reasons": []})
            self.changes.append((key, exact(value)))
            changed[change["change"]][change["segment"]] += 1


def exact(value: bytes) -> bytes:
    """Return the same bytes in memory of just their size: orjson's keep all that it made room for, ten times as much."""
    return b"".join((value, b""))


class Partition:
    """One partition number's state in this worker.

    Parameters
    ----------
    store : StateStore
        Where it is kept.
    library : Library
        Definitions and snapshots known to the worker; at least one version of the definitions.
    options : Options
    now : callable
        Returns the time in ms; it only fills ``processed_at``, and tells which timers fired late.

    Attributes
    ----------
    meta : Meta
        As last committed, or about to be.
    bases : list of Basis
        The last is in force; earlier ones are kept while users may rest on them.
    next_due : int
        Earliest due time of all timers (ms), ``NEVER`` without any.
    parcels : deque of Parcel
        Committed and not yet published, in order.
    published : int
        Outbox entries up to this one are published and in the read model.
    samples : deque of (str, list)
        Feature vectors for the trainer.
    applied : dict of str to int
        Highest offset committed per topic.
    changed, rejected, rerouted
        As in ``Draft``, of all that was committed.
    suppressed : Counter
        Flips that anti-flap has kept from being told, by segment and reason.
    now : callable
        As given.
    latest_arrival : callable
        Returns the latest arrival to be believed, in ms; any, unless it is set.
    """

    def __init__(self, store: StateStore, library: Library, options: Options, now: Callable[[], int]) -> None:
        self.store, self.library, self.options, self.now = store, library, options, now
        self.cache = UserCache(options.cache_bytes)
        self.counts = Counts()
        self.changed: dict[str, Counter[str | None]] = defaultdict(Counter)
        self.rejected: Counter[str] = Counter()
        self.rerouted: Counter[str] = Counter()
        self.suppressed: Counter[tuple[str, str]] = Counter()
        self.meta = Meta()
        self.bases: list[Basis] = []
        self.next_due = NEVER
        self.parcels: deque[Parcel] = deque()
        self.samples: deque[tuple[str, list[float | None]]] = deque(maxlen=MOST_SAMPLES)
        self.published = self._cleared = 0
        self.applied: dict[str, int] = {}
        self.latest_arrival: Callable[[], int] = lambda: NEVER

    def expect(self, found: TakeOver) -> None:
        """Tell the library what the store's state rests on, so that bringing it up to date brings that."""
        self.library.need(load_bases(found.meta.bases))

    def adopt_state(self, found: TakeOver) -> None:
        """Go on from what the store held."""
        self.meta, self.next_due = found.meta, found.next_due
        self.applied = dict(found.meta.offsets)
        self.bases = load_bases(found.meta.bases)
        first = found.outbox[0].sequence if found.outbox else found.meta.sequence + 1
        self.published = self._cleared = first - 1
        if self.bases:
            self._use_bases()

    async def begin(self, owed: Sequence[Debts]) -> None:
        """Open the log of bases, or go on after a loss under a new incarnation, still owing this."""
        meta = self.meta
        meta.partitions = self.options.partitions
        self.published = meta.sequence
        if self.bases:
            last = self.bases[-1]
            await self.enact(last._replace(at=self.settled(), incarnation=meta.incarnation), owed)
        else:
            await self.enact(Basis(0, 0, meta.incarnation, self.library.first().number, {}), owed)

    @property
    def tidy(self) -> bool:
        """Whether the store's outbox holds nothing that is published already."""
        return self._cleared == self.published

    def settled(self) -> int:
        """Return the moment before which timers may fire: the clock less the grace (ms)."""
        return self.meta.clock - self.options.timer_grace

    def advance_clock(self, clock: int) -> None:
        """Move the clock to a moment (ms); it never goes back."""
        self.meta.clock = max(self.meta.clock, clock)

    def upcoming(self) -> Version | None:
        """Return the version of the definitions to adopt next, None when the last is in force."""
        return self.library.following(self.bases[-1].definitions)

    async def enact(self, basis: Basis, owed: Sequence[Debts] = ()) -> None:
        """Put a basis in force, under the next number, and begin a sweep; ``owed`` is published first."""
        self.bases = [*self.bases, basis._replace(number=basis.number + 1)]
        self.meta.sweep = f"{basis.number + 1} "
        self.meta.bases = dump_bases(self.bases)
        self._note_origin(basis)
        self._use_bases()
        draft = self.draft()
        for debts in owed:
            draft.letters.extend(debts.dead_letters)
            draft.reroutes.extend(debts.reroutes)
        await self.commit(draft)

    def _note_origin(self, basis: Basis) -> None:
        """Note which version decides from here on, if it is another than before."""
        meta, origin = self.meta, Origin.load(self.meta.origin)
        if not origin.adoptions or origin.adoptions[-1].version != basis.definitions:
            adoption = Adoption(basis.definitions, basis.at, dict(meta.offsets))
            meta.origin = origin.adopt(adoption).dump()

    def forget_former_bases(self) -> None:
        """Drop the bases that no user rests on any more."""
        self.bases = self.bases[-1:]
        self.meta.bases = dump_bases(self.bases)
        self._use_bases()

    def _use_bases(self) -> None:
        self.engine = Engine([self.library.decider(basis) for basis in self.bases], self.options.sample_every)

    def draft(self) -> Draft:
        """Return an empty draft of the next commit."""
        return Draft(self.meta.sequence + 1, format_time(self.now()))

    async def load(self, names: Iterable[str]) -> dict[str, bytes | None]:
        """Return users' states, None for those never seen; one round trip for all that are not cached."""
        states = {name: self.cache.get(name) for name in names}
        missing = [name for name, state in states.items() if state is None]
        if missing:
            states.update(zip(missing, await self.store.load(missing), strict=True))
        self.counts.cache_misses += len(missing)
        self.counts.cache_hits += len(states) - len(missing)
        return states

    async def commit(self, draft: Draft) -> None:
        """Commit what a batch led to, and hand it on to be published."""
        meta, published = self.meta, self.published
        first, views = meta.sequence + 1, draft.views.values()
        parcels = pack(first, draft.changes, views, draft.letters, draft.reroutes)
        meta.sequence += len(parcels)
        meta.revision += 1
        self.next_due = await self.store.commit(
            Commit(
                meta=meta,
                states=draft.states,
                timers=draft.timers,
                arrivals=draft.outcome.arrivals,
                outbox=[parcel.seal() for parcel in parcels],
                published=published,
            )
        )
        self._cleared = published
        self.applied = dict(meta.offsets)
        self.parcels.extend(parcels)
        for name, state in draft.states.items():
            self.cache.put(name, state)
        self.samples.extend(draft.outcome.samples)
        self._count(draft)

    def _count(self, draft: Draft) -> None:
        counts, outcome = self.counts, draft.outcome
        counts.events += outcome.events
        counts.repeats += outcome.repeats
        counts.dead_letters += len(draft.letters)
        counts.forwarded += draft.rerouted.total()
        counts.changes += len(draft.changes)
        counts.wake_ups += outcome.wake_ups
        counts.idle_wake_ups += outcome.idle_wake_ups
        counts.commits += 1
        for direction, segments in draft.changed.items():
            self.changed[direction].update(segments)
        if draft.rejected or draft.rerouted or outcome.suppressed:
            self.rejected.update(draft.rejected)
            self.rerouted.update(draft.rerouted)
            self.suppressed.update(outcome.suppressed)
