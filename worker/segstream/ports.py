"""What the flow asks of the outside world; Kafka, Redis and their in-memory twins answer it.

Each port is for **one** partition number unless it says otherwise. What *Delivery* in worker/README.md promises rests
on these rules: a commit applies wholly or not at all, under the epoch that took the partition over; a publication is
one transaction that ends with the record of what was told.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Told(NamedTuple):
    """The last thing told of a partition: how far its outbox has been published, and by whom.

    Parameters
    ----------
    incarnation, epoch : int
        Those of the publishing owner.
    partition_sequence : int
        The number of the last outbox entry published.
    owner : str
        The owner's name, as in ``Meta``; empty in records of former versions of the program.
    """

    incarnation: int
    epoch: int
    partition_sequence: int
    owner: str = ""


NOTHING_TOLD = Told(0, 0, 0)


@dataclass(slots=True)
class Meta:
    """A partition's own state, one hash in Redis.

    Parameters
    ----------
    incarnation : int
        Raised when Redis has forgotten something that was told.
    epoch : int
        Raised by each take-over; a commit under another one writes nothing.
    owner : str
        A random name given by each take-over, and not changed by commits: where Redis forgets a take-over, its epoch
        may be given again.
    revision : int
        Raised by each commit; tells a lost tail.
    sequence : int
        Number of the last outbox entry committed.
    clock : int
        The partition's clock in ms; never goes back. 0 before anything was applied.
    offsets : dict of str to int
        Highest applied offset of each topic.
    bases : str
        JSON log of the versions that decisions rest on (see ``core.basis``).
    sweep : str
        The basis number being swept and the last user swept, as ``<number> <user>``; empty when no sweep is due.
    partitions : int
        N, the number of partitions when the state was begun; 0 for a new state.
    rebuilt : int
        Number of the last request to make the read model anew that is fulfilled (see ``Rebuilds``).
    rebuild : str
        The request being fulfilled and how far, as ``<number> users <last user>`` or ``<number> lists <last
        segment>``; empty when none is.
    reset : str
        The incarnation that a reset has begun; ``pending <command>`` while one is not finished; else empty.
    origin : str
        Where the state comes from in the log (see ``core.origin``), for a recount.
    forwarded : dict of str to int
        Of the records that were forwarded here (see ``core.rerouting``): the highest offset applied of each source
        partition, which is called ``<topic>-<partition>``.
    """

    incarnation: int = 0
    epoch: int = 0
    revision: int = 0
    sequence: int = 0
    clock: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    bases: str = ""
    sweep: str = ""
    partitions: int = 0
    rebuilt: int = 0
    rebuild: str = ""
    reset: str = ""
    origin: str = ""
    forwarded: dict[str, int] = field(default_factory=dict)
    owner: str = ""

    def copy(self) -> Meta:
        """Return a copy: what becomes of one leaves the other alone."""
        copied = Meta(*_all_of(self))
        copied.offsets, copied.forwarded = dict(self.offsets), dict(self.forwarded)
        return copied


_all_of: Final = attrgetter(*[each.name for each in fields(Meta)])


class OutboxEntry(NamedTuple):
    """Records committed and to be published together.

    Parameters
    ----------
    sequence : int
        Partition sequence, from 1, without gaps.
    payload : bytes
        Encoded records (see ``segstream.outbox``).
    """

    sequence: int
    payload: bytes


@dataclass(slots=True)
class Commit:
    """One atomic step of a partition.

    Parameters
    ----------
    meta : Meta
        The partition's state as it will be, except epoch and incarnation, which a commit never changes;
        ``meta.revision`` is the one after this commit, so ``meta.revision - 1`` must be what the store holds.
    states : mapping of str to bytes
        Encoded states of the users that changed.
    timers : mapping of str to int
        For users whose due time changed: the new one in ms, or ``NEVER`` to have none.
    arrivals : sequence of str
        Users that the store did not know before.
    outbox : sequence of OutboxEntry
        Entries to add.
    published : int
        Outbox entries up to this sequence are published and written to the read model: drop them.
    departures : sequence of str
        Users to forget, with their states and timers; none of them in ``states``.
    """

    meta: Meta
    states: Mapping[str, bytes] = field(default_factory=dict)
    timers: Mapping[str, int] = field(default_factory=dict)
    arrivals: Sequence[str] = ()
    outbox: Sequence[OutboxEntry] = ()
    published: int = 0
    departures: Sequence[str] = ()


class TakeOver(NamedTuple):
    """What a new owner finds.

    Parameters
    ----------
    meta : Meta
        With the new epoch, and a new incarnation if something told was forgotten.
    outbox : list of OutboxEntry
        Committed and not yet cleared, in order; read before the store made the take-over durable.
    next_due : int
        Earliest due time of the partition's timers in ms, ``NEVER`` without any.
    forgotten : bool
        Whether the store had lost something that was told.
    """

    meta: Meta
    outbox: list[OutboxEntry]
    next_due: int
    forgotten: bool


class StateStore(Protocol):
    """One partition's private state. Every method may raise ``ServerError``; then the partition starts over."""

    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        """Fence earlier owners: raise the epoch to ``max(stored, told) + 1`` and return what is there, durably.

        Where the store is below ``told`` (epoch, incarnation, or sequence within the incarnation) the incarnation
        becomes ``max(stored, told) + 1``. A new store starts at incarnation 1. In any case the incarnation becomes
        ``least`` at least: a reset begins a new one on purpose.
        """
        ...

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the encoded states of ``users``, ``None`` for those unknown, in one round trip.

        Raises
        ------
        Fenced
            The epoch is not this owner's any more: what was read may be a later owner's.
        StateLost
            The store has forgotten that this owner took over.
        """
        ...

    async def commit(self, commit: Commit) -> int:
        """Apply ``commit`` wholly and durably, and return the earliest due time left (``NEVER`` without timers).

        Raises
        ------
        Fenced
            The epoch is not this owner's any more.
        StateLost
            The revision is not the expected one: the store lost its tail, or an earlier reply was lost.
        """
        ...

    async def due(self, before: int, limit: int) -> list[tuple[str, int]]:
        """Return up to ``limit`` (user, due) with a due time strictly before ``before`` (ms), earliest first."""
        ...

    async def users_after(self, user: str, limit: int) -> list[str]:
        """Return up to ``limit`` known users that sort after ``user`` (bytes of UTF-8), in order; "" starts."""
        ...

    async def unknown(self, users: Sequence[str]) -> list[str]:
        """Return those of ``users`` that the partition does not have, in one round trip."""
        ...

    async def renew(self, meta: Meta) -> None:
        """Replace the whole meta (but the epoch), and empty timers, users and outbox, durably.

        The users' states must be gone: let commits forget them first.

        Raises
        ------
        Fenced, StateLost
            As ``commit`` does.
        """
        ...

    async def close(self) -> None:
        """Release the connection."""
        ...


class Slice(NamedTuple):
    """Some users of a partition.

    Parameters
    ----------
    states : dict of str to bytes
        Their encoded states, in the users' order.
    meta : Meta
        The partition's own state, read after theirs.
    last : str
        The last user looked at, to go on after; "" when there was none left.
    """

    states: dict[str, bytes]
    meta: Meta
    last: str


class StateReader(Protocol):
    """The private state of all partitions, read without taking anything over: whoever owns one does not notice.

    Every method may raise ``ServerError``.
    """

    async def partitions(self) -> int:
        """Return N as the state has it, 0 without any state."""
        ...

    async def metas(self, partitions: int) -> list[Meta]:
        """Return each partition's own state; a blank one where nobody has ever taken it over."""
        ...

    async def users(self, partitions: int) -> int:
        """Return how many users there are."""
        ...

    async def slice(self, partition: int, user: str, limit: int) -> Slice:
        """Return up to ``limit`` users that sort after ``user``, as ``StateStore.users_after`` does."""
        ...


class View(NamedTuple):
    """A user's whole answer, for the read model and the compacted topic.

    Parameters
    ----------
    user : str
    incarnation : int
    partition_sequence : int
        With the incarnation, the version of this answer: a later one is greater.
    sequence : int
        The user's last change.
    at : int
        Moment of the last decision that changed the answer, ms.
    definitions_version : int
    model_version : dict of str to int
    segments : dict of str to (int, int or None)
        Since when, and until when if nothing happens (ms).
    features : dict of str to value
        Exposed features.
    entered : dict of str to int
        Segments entered since this user's previous view, with the entry time in ms.
    left : list of str
        Segments left since then.
    moved : (int, int, dict of str to int) or None
        Moment of the last decision that changed ``segments``, and the versions it rests on; None if only exposed
        features changed since the previous view, which the compacted topic does not carry.
    """

    user: str
    incarnation: int
    partition_sequence: int
    sequence: int
    at: int
    definitions_version: int
    model_version: dict[str, int]
    segments: dict[str, tuple[int, int | None]]
    features: dict[str, int | float | str | bool | None]
    entered: dict[str, int]
    left: list[str]
    moved: tuple[int, int, dict[str, int]] | None = None


class EncodedView(NamedTuple):
    """A `View` as it is kept in the outbox and goes out, see ``segstream.views``.

    Parameters
    ----------
    user : str
    answer : bytes
        For the read model, as msgpack: incarnation, partition sequence, lifetime in ms (0: no end), and a list of the
        names and values of the hash's fields in turn.
    record : bytes or None
        The compacted topic's; None is a tombstone.
    moved : bool
        Whether the compacted topic is to be told.
    entered : dict of str to int
    left : list of str
        As in `View`.
    """

    user: str
    answer: bytes
    record: bytes | None
    moved: bool
    entered: dict[str, int]
    left: Sequence[str]


class ReadModel(Protocol):
    """The public answers in Redis."""

    async def write(self, partition: int, epoch: int, views: Sequence[EncodedView]) -> None:
        """Write ``views`` (in order; the last of a user counts) by compare-and-set, durably.

        An answer with a greater (incarnation, partition_sequence) stays. The member lists are written only while
        ``epoch`` is the partition's.

        Raises
        ------
        Fenced
            Another owner has taken the partition over.
        StateLost
            The store has forgotten this owner's take-over.
        """
        ...

    async def describe(self, catalog: Mapping[str, str], definitions_version: int) -> None:
        """Write the catalog unless a later definitions version wrote it already."""
        ...


class MemberLists(Protocol):
    """The lists of each segment's members, looked through: what heals them. Every method may raise ``ServerError``."""

    async def filled(self, partition: int, segments: Sequence[str]) -> list[str]:
        """Return those of ``segments`` whose list in a partition has any member, in their order."""
        ...

    async def listed(
        self, partition: int, segments: Sequence[str], users: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return in which of the segments' lists each of ``users`` is; nothing for those in none."""
        ...

    async def page(self, partition: int, segment: str, cursor: int, limit: int) -> tuple[int, list[str]]:
        """Return some members, about ``limit``, and the cursor for more; 0 begins, and is the end.

        Who is in the list from the first page to the last is returned once at least.
        """
        ...

    async def strike(self, partition: int, epoch: int, segment: str, users: Sequence[str]) -> None:
        """Take users out of a list, durably, while ``epoch`` is the partition's.

        Raises
        ------
        Fenced, StateLost
            As ``ReadModel.write`` does.
        """
        ...


class Watched(NamedTuple):
    """What a look at the requests and the servers shows.

    Parameters
    ----------
    requested : int
        Number of the latest request.
    changed : int
        Servers whose replication id nobody had seen before; this look has requested a rebuild because of them.
    first : bool
        Whether no replication id was known at all: a new store, or one that has forgotten.
    """

    requested: int
    changed: int
    first: bool


class Rebuilding(NamedTuple):
    """How far a partition is with the latest request.

    Parameters
    ----------
    epoch : int
        0 if nobody has ever taken it over.
    rebuilt : int
        Number of the last request fulfilled.
    rebuild : str
        As in ``Meta``.
    users, swept : int
        How many it has, and how many of them the rebuild under way has been through.
    """

    epoch: int
    rebuilt: int
    rebuild: str
    users: int
    swept: int


class Rebuilds(Protocol):
    """Requests to make the read model anew. A later one has a greater number, also if the store has forgotten some."""

    async def request(self) -> int:
        """Request a rebuild, durably, and return its number."""
        ...

    async def watch(self) -> Watched:
        """Return the latest request; request one if a server is another than before.

        A server is known by its replication id, which changes when a replica takes its place or it is started
        anew: it may have forgotten what it acknowledged. Of several that look, one requests.
        """
        ...

    async def partitions(self) -> int:
        """Return N as the state has it, 0 without any state."""
        ...

    async def progress(self, partitions: int) -> list[Rebuilding]:
        """Return how far each partition is."""
        ...


class OutRecord(NamedTuple):
    """A record to publish.

    Parameters
    ----------
    topic : str
    key : bytes
    value : bytes or None
        None is a tombstone.
    partition : int or None
        Where to; None: the publisher's own partition number.
    headers : sequence of (str, bytes)
    """

    topic: str
    key: bytes
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Publisher(Protocol):
    """One partition's fenced way out."""

    async def fence(self) -> Told:
        """Refuse every earlier owner's sends from now on, then return what was told last (committed)."""
        ...

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Publish ``records`` and, at the end, ``told``, all in one transaction.

        Raises
        ------
        Fenced
            Another owner has fenced this one. Nothing of it will be seen.
        ServerError
            Whether it was committed is not known: start over with ``fence``.
        """
        ...

    async def close(self) -> None:
        """Leave without finishing anything."""
        ...


class DefinitionsVersion(NamedTuple):
    """A published version of the definitions.

    Parameters
    ----------
    version : int
        From 1, without gaps.
    text : str
        The file, as published.
    content_hash : str
        Of its meaning; two versions in a row differ in it.
    effective_at : int
        A partition adopts the version when its clock passes this moment, ms.
    author, note : str
        Who published it, and why.
    at : int
        When it was published, ms.
    """

    version: int
    text: str
    content_hash: str
    effective_at: int
    author: str
    note: str
    at: int


class DefinitionsLog(Protocol):
    """The numbered versions of the definitions, of all partitions. Every method may raise ``ServerError``."""

    async def append(
        self,
        text: str,
        content_hash: str,
        *,
        effective_at: int,
        author: str,
        note: str,
        at: int,
        after: int | None = None,
    ) -> int:
        """Add a version, durably, and return its number; the latest's if that has the same content hash.

        With ``after`` it is added only if that is the latest number still; else nothing is, and the latest number is
        returned all the same.
        """
        ...

    async def initial(
        self, text: str, content_hash: str, *, effective_at: int, author: str, note: str, at: int
    ) -> int:
        """Add version 1 if there is no version yet, and return the latest number in any case."""
        ...

    async def load(self, after_version: int = 0) -> list[DefinitionsVersion]:
        """Return the versions after ``after_version``, in order, in one round trip; none is the usual answer."""
        ...


class Training(NamedTuple):
    """Where the training of a model stands.

    Parameters
    ----------
    epoch : int
        The trainer's; a later trainer's is greater.
    number : int
        The latest snapshot's; 0 without any.
    learning : str or None
        JSON of the learning state saved last.
    """

    epoch: int
    number: int
    learning: str | None


class ModelStore(Protocol):
    """Snapshots of models and what their trainer has learned, by name. Every method may raise ``ServerError``."""

    async def take_over(self, name: str) -> Training:
        """Fence earlier trainers of ``name`` by a new epoch, durably, and return where training stands."""
        ...

    async def offer(self, name: str, epoch: int, number: int, snapshot: str, learning: str) -> None:
        """Make ``snapshot`` (JSON) the latest, together with the learning state behind it, durably.

        Old snapshots go; the last 20 numbers stay.

        Raises
        ------
        Fenced
            Another trainer has taken ``name`` over.
        StateLost
            ``number`` is not above the latest, or the store has forgotten the take-over: take over again.
        """
        ...

    async def save(self, name: str, epoch: int, learning: str) -> None:
        """Keep the learning state (JSON), durably.

        Raises
        ------
        Fenced, StateLost
            As ``offer`` does.
        """
        ...

    async def numbers(self, names: Sequence[str]) -> dict[str, int]:
        """Return the latest snapshot's number of each of ``names``, 0 without any, in one round trip."""
        ...

    async def snapshot(self, name: str, number: int) -> str | None:
        """Return a snapshot (JSON), ``None`` if it is not there (any more)."""
        ...
