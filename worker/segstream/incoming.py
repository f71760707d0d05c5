"""A batch of records, read up to where something else must come first.

Two things interrupt a batch: a record whose arrival passes the moment at which a new version of the definitions
comes into force, and a record that moves a replay's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from segstream.core.events import Event, Rejected, decode
from segstream.core.rerouting import Forwarded, mark, where_from
from segstream.core.time import NEVER, format_time
from segstream_schemas import RejectionReason
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segstream.core.engine import Brought, Engine
    from segstream.core.events import Record
    from segstream.ports import Meta

CLOCK_HEADER: Final = "segstream-clock"
"""A record with this header moves a replay's clock to the moment it holds, in ms, and fires what is due by then.

It says that everything up to and including that moment has been sent, and must go to every partition.
"""

_STRAY_CLOCK: Final = Rejected(
    RejectionReason.UNEXPECTED_CONTROL,
    f"Records with the header {CLOCK_HEADER} move the clock of replays only; set `clock` to `event` for a replay.",
    "headers",
)
_BAD_CLOCK: Final = Rejected(
    RejectionReason.UNEXPECTED_CONTROL,
    f"The header {CLOCK_HEADER} must hold milliseconds since 1970.",
    "headers",
)


def _from_the_future(arrived: int) -> Rejected:
    return Rejected(
        RejectionReason.FUTURE_TIMESTAMP,
        f"The record says that it arrived at {format_time(min(arrived, LATEST))}, which is still to come: its producer's clock "
        "is wrong. Let the topic have message.timestamp.type=LogAppendTime.",
    )


Arrival: TypeAlias = "tuple[Record, Brought, int]"
"""Where an event stands in the log (a forwarded one: where it stood), what it brings, and the partition's clock, in ms."""


class Reading(NamedTuple):
    """How records are to be read.

    Parameters
    ----------
    replay : bool
        Whether events' timestamps drive the clock instead of arrivals.
    max_clock_skew : int
        How much later than its arrival an event may be, in ms.
    adoption : int
        The clock, in ms, from which a new version of the definitions is in force.
    number : int
        The partition number.
    home : callable
        Returns the partition number that a user belongs to.
    rerouted : str
        The topic of forwarded records.
    latest : int
        The latest moment, in ms, that may move the clock: where producers name the arrival, one that is wrong would else
        move it for everybody.
    """

    replay: bool
    max_clock_skew: int
    adoption: int
    number: int
    home: Callable[[str], int]
    rerouted: str
    latest: int = LATEST


@dataclass(slots=True)
class Incoming:
    """Decoded records.

    Parameters
    ----------
    clock : int
        The partition's clock at the last of them, in ms.
    users : dict of str to list of Arrival
        What arrived for each user, in order.
    rejected : list of (Record, Rejected)
        Records that cannot be applied.
    strangers : list of (Record, str)
        Records of topics without keys whose user, named with it, belongs to another partition.
    offsets : dict of str to int
        The last offset of each topic.
    forwarded : dict of str to int
        As ``Meta.forwarded``, of the forwarded records among these.
    repeats : int
        Forwarded records that were applied before.
    taken : int
        How many of the records these are, counting those that were applied before and are left out.
    adopt_at : int or None
        The clock that passes a new version's moment: adopt it before the next record.
    control : (Record, int) or None
        A record that moves a replay's clock, and the moment; it is not counted in ``taken``.
    """

    clock: int
    users: dict[str, list[Arrival]] = field(default_factory=dict)
    rejected: list[tuple[Record, Rejected]] = field(default_factory=list)
    strangers: list[tuple[Record, str]] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    forwarded: dict[str, int] = field(default_factory=dict)
    repeats: int = 0
    taken: int = 0
    adopt_at: int | None = None
    control: tuple[Record, int] | None = None


def read(records: Sequence[Record], meta: Meta, how: Reading, engine: Engine) -> Incoming:  # noqa: C901, PLR0912 - the way of every record, in one loop
    """Decode records in order. Of an event only what it brings is kept: whole documents would fill every cache.

    Parameters
    ----------
    records : sequence of Record
        In log order per topic.
    meta : Meta
        The partition's; it is not changed.
    how : Reading
    engine : Engine
        Knows what an event brings.
    """
    applied, clock = meta.offsets, meta.clock
    found = Incoming(clock, taken=len(records))
    replay, skew, adoption, here, home, rerouted, latest = how
    users, offsets, bring = found.users, found.offsets, engine.bring
    definitions = engine.current.definitions
    mappings, unkeyed = definitions.mappings, definitions.unkeyed
    for number, record in enumerate(records):
        topic, offset = record.topic, record.offset
        if offset <= applied.get(topic, -1):
            continue
        event: Event | Rejected | int | None = _control(record) if record.headers else None
        origin: Record | Rejected = record if topic != rerouted else where_from(record)
        if event is None:
            if isinstance(origin, Rejected):
                event = origin
            else:
                event = decode(origin, max_clock_skew=skew, mapping=mappings.get(origin.topic))
            happened = record.timestamp if not replay else event.at if isinstance(event, Event) else clock
            if happened > clock:
                if happened <= latest:
                    clock = happened if happened < LATEST else LATEST
                else:
                    event = _from_the_future(happened)
            if clock >= adoption:
                found.taken, found.adopt_at = number, clock
                return found
        elif replay and isinstance(event, int):
            found.taken, found.control = number, (record, event)
            return found
        offsets[topic], found.clock = offset, clock
        if isinstance(origin, Forwarded) and not _is_new(origin, meta, found):
            continue
        if isinstance(event, Event) and not isinstance(origin, Rejected):
            if topic in unkeyed and origin is record and home(event.user) != here:
                found.strangers.append((record, event.user))
                continue
            arrival = origin, bring(event, origin.topic), clock
            arrivals = users.get(event.user)
            if arrivals is None:
                users[event.user] = [arrival]
            else:
                arrivals.append(arrival)
        elif isinstance(event, int):
            found.rejected.append((record, _STRAY_CLOCK))
        elif isinstance(origin, Rejected):
            found.rejected.append((record, origin))
        elif isinstance(event, Rejected):
            found.rejected.append((origin, event))
    return found


def _is_new(record: Forwarded, meta: Meta, found: Incoming) -> bool:
    """Note a forwarded record, and tell whether it has not been applied before.

    Those of one source partition come in its order, and from some point on once more where it lost its tail.
    """
    source = mark(record)
    highest = found.forwarded.get(source, meta.forwarded.get(source, -1))
    if record.offset <= highest:
        found.repeats += 1
        return False
    found.forwarded[source] = record.offset
    return True


def _control(record: Record) -> int | Rejected | None:
    for name, value in record.headers:
        if name == CLOCK_HEADER:
            moment = int(value) if value and value.isdigit() and len(value) <= len(str(LATEST)) else NEVER
            return moment if moment <= LATEST else _BAD_CLOCK
    return None
