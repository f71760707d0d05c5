"""A batch of records, read up to where something else must come first.

Two things interrupt a batch: a record whose arrival passes the moment at which a new version of the definitions
comes into force, and a record that moves a replay's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from segstream.core.events import Event, Rejected, decode
from segstream.core.time import NEVER
from segstream_schemas import RejectionReason
from segstream_schemas.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.core.engine import Brought, Engine
    from segstream.core.events import Record

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
    """

    replay: bool
    max_clock_skew: int
    adoption: int


class Incoming(NamedTuple):
    """Decoded records.

    Parameters
    ----------
    entries : list of (Record, Brought or Rejected, int)
        Each with the partition's clock at it, in ms.
    taken : int
        How many of the records these are, counting those that were applied before and are left out.
    adopt_at : int or None
        The clock that passes a new version's moment: adopt it before the next record.
    control : (Record, int) or None
        A record that moves a replay's clock, and the moment; it is not counted in ``taken``.
    """

    entries: list[tuple[Record, Brought | Rejected, int]]
    taken: int
    adopt_at: int | None = None
    control: tuple[Record, int] | None = None

    @property
    def interrupted(self) -> bool:
        """Whether something else must come before the next record."""
        return self.adopt_at is not None or self.control is not None


def read(
    records: Sequence[Record], applied: Mapping[str, int], clock: int, how: Reading, engine: Engine
) -> Incoming:
    """Decode records in order. Of an event only what it brings is kept: whole documents would fill every cache.

    Parameters
    ----------
    records : sequence of Record
        In log order per topic.
    applied : mapping of str to int
        Highest offset applied per topic.
    clock : int
        The partition's clock in ms.
    how : Reading
    engine : Engine
        Knows what an event brings.
    """
    entries: list[tuple[Record, Brought | Rejected, int]] = []
    replay, skew, adoption = how
    for taken, record in enumerate(records):
        if record.offset <= applied.get(record.topic, -1):
            continue
        if record.headers and (moment := _control(record)) is not None:
            if replay and isinstance(moment, int):
                return Incoming(entries, taken, control=(record, moment))
            entries.append((record, _STRAY_CLOCK if isinstance(moment, int) else moment, clock))
            continue
        event = decode(record, max_clock_skew=skew)
        if not replay:
            clock = max(clock, min(record.timestamp, LATEST))
        elif isinstance(event, Event):
            clock = max(clock, event.at)
        if clock >= adoption:
            return Incoming(entries, taken, adopt_at=clock)
        entries.append(
            (record, engine.bring(event, record.topic) if isinstance(event, Event) else event, clock)
        )
    return Incoming(entries, len(records))


def _control(record: Record) -> int | Rejected | None:
    for name, value in record.headers:
        if name == CLOCK_HEADER:
            moment = int(value) if value and value.isdigit() and len(value) <= len(str(LATEST)) else NEVER
            return moment if moment <= LATEST else _BAD_CLOCK
    return None
