"""What a commit leaves to be published, as it is kept in Redis and as it goes out.

An entry is one msgpack value: change records, dead letters, views and records to forward as their final bytes: decided
once, told once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgpack

from segstream.ports import EncodedView, OutboxEntry, OutRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_pack = msgpack.Packer(autoreset=True).pack

ENTRY_BYTES = 256 * 1024
"""An entry is closed when its records exceed this, so that no transaction and no Redis value grows large."""

RECORD_BYTES = 200
"""What a record counts at least, so that an entry has no more than 1,300 and is published in well under 0.1 s."""


class Topics(NamedTuple):
    """Names of the topics written to.

    Parameters
    ----------
    changes, memberships, dead_letters, rerouted : str
        See schemas/README.md.
    """

    changes: str = "segment-changes"
    memberships: str = "segment-memberships"
    dead_letters: str = "segment-dead-letters"
    rerouted: str = "segstream-rerouted"


class Reroute(NamedTuple):
    """A record to forward.

    Parameters
    ----------
    partition : int
        The one its user belongs to.
    key, value : bytes
    headers : sequence of (str, bytes)
        See ``core.rerouting``.
    """

    partition: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]

    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.value) + sum(len(name) + len(value or b"") for name, value in self.headers)


class Debts(NamedTuple):
    """What must go out whatever becomes of users' answers.

    Parameters
    ----------
    dead_letters, reroutes : sequence
        As in `Parcel`.
    """

    dead_letters: Sequence[tuple[bytes, bytes]] = ()
    reroutes: Sequence[Reroute] = ()


class Parcel(NamedTuple):
    """An outbox entry, opened.

    Parameters
    ----------
    sequence : int
        Partition sequence.
    changes, dead_letters : list of (bytes, bytes)
        Key and value of each record.
    views : list of EncodedView
        The last answer of each user that changed.
    reroutes : list of Reroute
        Records that lie in the wrong partition, those of one source partition in its order.
    """

    sequence: int
    changes: list[tuple[bytes, bytes]]
    dead_letters: list[tuple[bytes, bytes]]
    views: list[EncodedView]
    reroutes: list[Reroute]

    def seal(self) -> OutboxEntry:
        """Return the entry as it is stored."""
        parts = (self.changes, self.dead_letters, self.views)
        # Hardly ever there; and without them a worker of the version before reads an entry too.
        payload: bytes = _pack((*parts, self.reroutes) if self.reroutes else parts)
        return OutboxEntry(self.sequence, payload)

    @classmethod
    def open(cls, entry: OutboxEntry) -> Parcel:
        """Read a stored entry."""
        changes, letters, views, *more = msgpack.unpackb(entry.payload, use_list=False, strict_map_key=False)
        reroutes = [Reroute(*each) for each in more[0]] if more else []
        opened = [EncodedView(*view) for view in views]
        return cls(entry.sequence, list(changes), list(letters), opened, reroutes)

    def owed(self) -> Debts:
        """Return what is owed also by a new incarnation, which restates every answer."""
        return Debts(self.dead_letters, self.reroutes)

    def records(self, topics: Topics) -> Iterator[OutRecord]:
        """Yield what goes to the topics, in order: changes, memberships, dead letters, forwarded records."""
        for key, value in self.changes:
            yield OutRecord(topics.changes, key, value)
        for view in self.views:
            if view.moved:
                yield OutRecord(topics.memberships, view.user.encode(), view.record)
        for key, value in self.dead_letters:
            yield OutRecord(topics.dead_letters, key, value)
        for partition, key, value, headers in self.reroutes:
            yield OutRecord(topics.rerouted, key, value, partition, headers)


def pack(
    first: int,
    changes: Iterable[tuple[bytes, bytes]],
    views: Iterable[EncodedView],
    dead_letters: Iterable[tuple[bytes, bytes]],
    reroutes: Iterable[Reroute] = (),
) -> list[Parcel]:
    """Divide what a batch tells into parcels of bounded size, numbered from ``first``.

    A user's view is never in an earlier parcel than a change of the same batch: changes come first. All views of a
    batch are versioned by its first parcel: a user has one view in a batch, so that is enough to order them.

    Parameters
    ----------
    first : int
        Partition sequence of the first parcel.
    changes, dead_letters : iterable of (bytes, bytes)
        Key and value of each record, in order.
    views : iterable of EncodedView
        Of the users whose answer changed.
    reroutes : iterable of Reroute
        Records to forward, in order.
    """
    parcels: list[Parcel] = []
    size = ENTRY_BYTES

    def room(length: int) -> Parcel:
        nonlocal size
        size += length + RECORD_BYTES
        if size > ENTRY_BYTES:
            parcels.append(Parcel(first + len(parcels), [], [], [], []))
            size = length + RECORD_BYTES
        return parcels[-1]

    for key, value in changes:
        room(len(value)).changes.append((key, value))
    for view in views:
        room(len(view.answer) + len(view.record or b"")).views.append(view)
    for key, value in dead_letters:
        room(len(value)).dead_letters.append((key, value))
    for reroute in reroutes:
        room(reroute.size()).reroutes.append(reroute)
    return parcels
