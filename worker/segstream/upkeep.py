"""What a partition does without a record: timers, sweeps, new versions, the clock.

Each takes a slice of users through steps 2 to 5 of the flow, so that live events get their turn in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.core.user import User

if TYPE_CHECKING:
    from segstream.core.events import Record
    from segstream.partition import Partition

SLICE: Final = 500
"""Users per slice of a wave of timers or of a sweep: some 50 ms of work between two batches of events."""


LATE: Final = 5_000
"""Milliseconds after its moment at which a timer counts as late: the clock moves once a second, and a wave of ten
thousand takes a second."""


async def drain(partition: Partition, before: int | None = None) -> bool:
    """Fire one slice of timers due before a moment (ms; the settled clock by default); return whether more are."""
    before = partition.settled() if before is None else before
    if partition.next_due >= before:
        return False
    draft = partition.draft()
    due = await partition.store.due(before, SLICE)
    for name, state in (await partition.load([name for name, _ in due])).items():
        if state is not None:
            draft.write_down(partition.engine.wake(User.decode(name, state), before, draft.outcome))
    await partition.commit(draft)
    late = partition.now() - LATE
    partition.counts.late_wake_ups += sum(moment < late for _, moment in due)
    return partition.next_due < before


async def sweep(partition: Partition) -> bool:
    """Bring one slice of users up to the basis in force; return whether more are left."""
    number, _, last = partition.meta.sweep.partition(" ")
    if not number:
        return False
    names = await partition.store.users_after(last, SLICE)
    draft = partition.draft()
    for name, state in (await partition.load(names)).items():
        if state is not None and (user := User.decode(name, state)).basis != partition.bases[-1].number:
            draft.write_down(partition.engine.touch(user, draft.outcome))
    partition.counts.swept += len(names)
    partition.meta.sweep = f"{number} {names[-1]}" if names else ""
    if not names:
        partition.forget_former_bases()
    await partition.commit(draft)
    return bool(names)


async def tidy(partition: Partition) -> bool:
    """Clear the store's outbox of what is published, if no commit did since; return whether there was any."""
    if partition.tidy:
        return False
    await partition.commit(partition.draft())
    return True


async def adopt_definitions(partition: Partition, clock: int) -> bool:
    """Adopt the next version of the definitions if ``clock`` (ms) has passed its moment; return whether to call again.

    Timers due before that moment are fired first, a slice at each call, by the version of their time.
    """
    upcoming, last = partition.upcoming(), partition.bases[-1]
    if upcoming is None or clock - partition.options.timer_grace < upcoming.effective_at:
        return False
    at = max(upcoming.effective_at, last.at, partition.settled())
    # No further: the version after this one may come into force before ``clock``.
    partition.advance_clock(at + partition.options.timer_grace)
    if not await drain(partition, at):
        await partition.enact(last._replace(definitions=upcoming.number, at=at))
    return True


async def adopt_models(partition: Partition) -> bool:
    """Adopt newer snapshots once the last sweep is over; return whether to call again. Never an older one."""
    last = partition.bases[-1]
    models = partition.library.newest_models(last.definitions, last.models)
    if partition.meta.sweep or models == last.models:
        return False
    at = max(last.at, partition.settled())
    if not await drain(partition, at):
        await partition.enact(last._replace(models=models, at=at))
    return True


async def move_clock(partition: Partition, record: Record, clock: int) -> bool:
    """Move a replay's clock, a slice of timers at each call; return whether the record is applied.

    Everything up to and including that moment has been sent, so what is due then fires.
    """
    if await adopt_definitions(partition, max(clock, partition.meta.clock)):
        return False
    if partition.meta.sweep:
        # Who rests on former definitions has no timer yet for what by the new ones falls due at this very moment.
        await sweep(partition)
        return False
    partition.advance_clock(clock)
    if await drain(partition, partition.settled() + 1):
        return False
    partition.meta.offsets[record.topic] = record.offset
    await partition.commit(partition.draft())
    return True
