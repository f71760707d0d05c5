"""What a commit leaves to be published, as it is kept in Redis and as it goes out.

An entry is one msgpack value: the change records and dead letters as their final bytes (decided once, told once),
and the views, from which the compacted topic's record and the read model are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgpack
import orjson

from segstream.core.time import NEVER, format_time
from segstream.ports import OutboxEntry, OutRecord, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from segstream.core.decider import Decider
    from segstream.core.engine import Touched
    from segstream.core.types import State

ENTRY_BYTES = 256 * 1024
"""An entry is closed when its records exceed this, so that no transaction and no Redis value grows large."""

RECORD_BYTES = 200
"""What a record counts at least, so that an entry has no more than 1,300 and is published in well under 0.1 s."""

VIEW_BYTES = 100
"""What a view counts per segment: a name and two times."""


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
    views : list of View
        The last answer of each user that changed.
    """

    sequence: int
    changes: list[tuple[bytes, bytes]]
    dead_letters: list[tuple[bytes, bytes]]
    views: list[View]

    def seal(self) -> OutboxEntry:
        """Return the entry as it is stored."""
        payload: bytes = msgpack.packb((self.changes, self.dead_letters, self.views))
        return OutboxEntry(self.sequence, payload)

    @classmethod
    def open(cls, entry: OutboxEntry) -> Parcel:
        """Read a stored entry."""
        changes, letters, views = msgpack.unpackb(entry.payload, use_list=False, strict_map_key=False)
        return cls(entry.sequence, list(changes), list(letters), [View(*view) for view in views])

    def records(self, topics: Topics) -> Iterator[OutRecord]:
        """Yield what goes to the topics, in order: changes, memberships, dead letters."""
        for key, value in self.changes:
            yield OutRecord(topics.changes, key, value)
        for view in self.views:
            if view.moved is not None:
                yield OutRecord(topics.memberships, view.user.encode(), memberships(view, *view.moved))
        for key, value in self.dead_letters:
            yield OutRecord(topics.dead_letters, key, value)


def memberships(view: View, at: int, definitions_version: int, model_version: dict[str, int]) -> bytes | None:
    """Return the record of the compacted topic: the whole answer, or a tombstone where there is none.

    Parameters
    ----------
    view : View
        The answer.
    at, definitions_version, model_version
        As in ``View.moved``.

    Examples
    --------
    >>> memberships(View("00042", 1, 9, 0, 0, 1, {}, {}, {}, {}, ["active"]), 0, 1, {}) is None
    True
    """
    if not view.segments:
        return None
    document = {
        "schema_version": 1,
        "user_id": view.user,
        "incarnation": view.incarnation,
        "sequence": view.sequence,
        "segments": {
            name: {
                "since": format_time(since),
                "expires_at": None if expires is None else format_time(expires),
            }
            for name, (since, expires) in view.segments.items()
        },
        "at": format_time(at),
        "definitions_version": definitions_version,
        "model_version": model_version,
    }
    return orjson.dumps(document)


def pack(
    first: int,
    changes: Iterable[tuple[bytes, bytes]],
    views: Iterable[View],
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
    views : iterable of View
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
        room(VIEW_BYTES * (len(view.segments) + 1)).views.append(view)
    for key, value in dead_letters:
        room(len(value)).dead_letters.append((key, value))
    return parcels


def view_of(touched: Touched, sequence: int, at: int, decider: Decider, states: Sequence[State]) -> View:
    """Return a user's answer after a batch, with what was entered and left since before it.

    Parameters
    ----------
    touched : Touched
        The user.
    sequence : int
        Partition sequence that the answer is versioned by.
    at, decider, states
        The last decision that changed the answer, see ``Touched.told``.
    """
    user = touched.user
    segments: dict[str, tuple[int, int | None]] = {
        name: (since, None if ends >= NEVER else ends) for name, (since, ends) in user.held.items()
    }
    for model, (cluster, since) in user.assigned.items():
        segments[f"{model}.{cluster}"] = since, None
    entered, left = {}, []
    restated = user.incarnation != touched.incarnation
    if (
        user.sequence != touched.sequence or restated
    ):  # else the same segments, and only their ends may have moved
        before = {name: since for name, (since, _) in touched.held.items()}
        before |= {f"{model}.{cluster}": since for model, (cluster, since) in touched.assigned.items()}
        entered = {
            name: since for name, (since, _) in segments.items() if restated or before.get(name) != since
        }
        left = [name for name in before if name not in segments]
    moved = None
    if touched.moved is not None:
        moment, decided_by = touched.moved
        moved = moment, decided_by.basis.definitions, decided_by.basis.models
    return View(
        user=user.name,
        incarnation=user.incarnation,
        partition_sequence=sequence,
        sequence=user.sequence,
        at=at,
        definitions_version=decider.basis.definitions,
        model_version=decider.basis.models,
        segments=segments,
        features={
            feature.name: feature.accumulator.value(states[feature.index], at) for feature in decider.exposed
        },
        entered=entered,
        left=left,
        moved=moved,
    )
