"""What a commit leaves to be published, as it is kept in Redis and as it goes out.

An entry is one msgpack value: change records, dead letters and views as their final bytes: decided once, told once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgpack

from segstream.ports import EncodedView, OutboxEntry, OutRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_pack = msgpack.Packer(autoreset=True).pack

ENTRY_BYTES = 256 * 1024
"""An entry is closed when its records exceed this, so that no transaction and no Redis value grows large."""

RECORD_BYTES = 200
"""What a record counts at least, so that an entry has no more than 1,300 and is published in well under 0.1 s."""


class Topics(NamedTuple):
    """Names of the topics written to.

    Parameters
    ----------
    changes, memberships, dead_letters : str
        See *Contracts* in the README.
    """

    changes: str = "segment-changes"
    memberships: str = "segment-memberships"
    dead_letters: str = "segment-dead-letters"


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
    """

    sequence: int
    changes: list[tuple[bytes, bytes]]
    dead_letters: list[tuple[bytes, bytes]]
    views: list[EncodedView]

    def seal(self) -> OutboxEntry:
        """Return the entry as it is stored."""
        payload: bytes = _pack((self.changes, self.dead_letters, self.views))
        return OutboxEntry(self.sequence, payload)

    @classmethod
    def open(cls, entry: OutboxEntry) -> Parcel:
        """Read a stored entry."""
        changes, letters, views = msgpack.unpackb(entry.payload, use_list=False, strict_map_key=False)
        return cls(entry.sequence, list(changes), list(letters), [EncodedView(*view) for view in views])

    def records(self, topics: Topics) -> Iterator[OutRecord]:
        """Yield what goes to the topics, in order: changes, memberships, dead letters."""
        for key, value in self.changes:
            yield OutRecord(topics.changes, key, value)
        for view in self.views:
            if view.moved:
                yield OutRecord(topics.memberships, view.user.encode(), view.record)
        for key, value in self.dead_letters:
            yield OutRecord(topics.dead_letters, key, value)


def pack(
    first: int,
    changes: Iterable[tuple[bytes, bytes]],
    views: Iterable[EncodedView],
    dead_letters: Iterable[tuple[bytes, bytes]],
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
    """
    parcels: list[Parcel] = []
    size = ENTRY_BYTES

    def room(length: int) -> Parcel:
        nonlocal size
        size += length + RECORD_BYTES
        if size > ENTRY_BYTES:
            parcels.append(Parcel(first + len(parcels), [], [], []))
            size = length + RECORD_BYTES
        return parcels[-1]

    for key, value in changes:
        room(len(value)).changes.append((key, value))
    for view in views:
        room(len(view.answer) + len(view.record or b"")).views.append(view)
    for key, value in dead_letters:
        room(len(value)).dead_letters.append((key, value))
    return parcels
