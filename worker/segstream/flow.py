"""The way of an event through the worker, for one partition number.

1. **decode**   bytes become validated events; bad ones become dead letters, with the reason
2. **load**     states of users not in the cache, in one round trip to Redis for 500 of them
3. **fold**     the event becomes features
4. **decide**   features and models become memberships, and a moment until when they hold
5. **commit**   states, timers, position and outbox in one atomic script in Redis, fenced
6. **publish**  the outbox goes to the topics in one Kafka transaction, fenced, then to the read model
7. **ack**      Kafka's offsets follow, as a hint for lag monitors: Redis holds the true position

Timers that fall due and users to be swept enter at step 2, as a cause without a record: see ``upkeep``.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from segstream.core.events import home
from segstream.core.rerouting import Forwarded, strayed
from segstream.core.time import NEVER
from segstream.core.user import User
from segstream.incoming import Reading, read
from segstream.outbox import Parcel
from segstream.ports import Told
from segstream.resetting import refuse_unfinished
from segstream.upkeep import adopt_definitions, move_clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from segstream.core.events import Record
    from segstream.incoming import Incoming
    from segstream.partition import Draft, Partition
    from segstream.ports import Publisher, ReadModel
    from segstream.rebuilding import Rebuilder

PART: Final = 500
"""Users loaded at a time."""


class Flow:
    """One partition number, from the records to what is told of them.

    Parameters
    ----------
    number : int
        The partition number.
    partition : Partition
        Its state in this worker.
    read_model, publisher
        The ways out, see ``segstream.ports``.
    refresh : awaitable function, optional
        Brings the library up to date: an earlier owner may have adopted what this worker has not looked for yet.
    rebuilder : Rebuilder, optional
        Makes the partition's answers anew when that is requested.

    Attributes
    ----------
    forgotten : bool
        Whether Redis had forgotten something that was told when the partition was taken over.
    """

    def __init__(
        self,
        number: int,
        partition: Partition,
        read_model: ReadModel,
        publisher: Publisher,
        refresh: Callable[[], Awaitable[object]] | None = None,
        rebuilder: Rebuilder | None = None,
    ) -> None:
        self.number, self.partition, self.rebuilder = number, partition, rebuilder
        self.read_model, self.publisher, self._refresh = read_model, publisher, refresh
        self.forgotten = False

    async def take_over(self) -> None:
        """Become the partition's only owner.

        1. Fence Kafka: an earlier owner's sends are refused from now on.
        2. Ask Kafka what was told.
        3. Fence Redis: raise the epoch.
        4. Publish only what is durable: the store has made sure of what it returned.
        5. Write the read model again for all that is still in the outbox, published or not.
        """
        partition = self.partition
        told = await self.publisher.fence()  # 1, 2
        found = await partition.store.take_over(told)  # 3, 4
        refuse_unfinished(self.number, found.meta)
        partition.expect(found)
        if self._refresh is not None:  # no earlier: until it is fenced, an earlier owner may adopt something
            await self._refresh()
        partition.adopt_state(found)
        parcels = [Parcel.open(entry) for entry in found.outbox]
        incarnation, bases = found.meta.incarnation, partition.bases
        # A predecessor may have died between raising the incarnation and the first commit under it.
        begun = bool(bases) and bases[-1].incarnation == incarnation
        # What an earlier incarnation told is not what is here: Redis may have lost that, and another owner may have left
        # something else under the same numbers since. So dead letters may be told twice, rather than not at all.
        reached = told.partition_sequence if told.incarnation == incarnation else 0
        owed = [parcel for parcel in parcels if parcel.sequence > reached]
        if not begun:
            # Every answer is going to be restated; only dead letters and what is forwarded are still owed.
            await partition.begin([parcel.owed() for parcel in owed])
        else:
            await self._show(parcels[: len(parcels) - len(owed)])  # 5; the others follow their publication
            partition.parcels.extend(owed)
        self.forgotten = not begun and incarnation > 1 and found.meta.reset != str(incarnation)

    async def process(self, records: Sequence[Record]) -> int:
        """Apply records in log order and commit; return how many were taken.

        Fewer are taken where a new version of the definitions comes into force before the next one, or where one
        moves a replay's clock: a part of that has been done on return; call again with the rest.
        """
        partition, options = self.partition, self.partition.options
        meta, upcoming = partition.meta, partition.upcoming()
        adoption = NEVER if upcoming is None else upcoming.effective_at + options.timer_grace
        whose = partial(home, partitions=options.partitions, partitioner=options.partitioner)
        skew, rerouted = options.max_clock_skew, options.topics.rerouted
        how = Reading(
            options.replay, skew, adoption, self.number, whose, rerouted, partition.latest_arrival()
        )
        draft = partition.draft()
        incoming = read(records, meta, how, partition.engine)  # 1
        names = list(incoming.users)
        for first in range(0, len(names), PART):
            states = await partition.load(names[first : first + PART])  # 2
            for name, state in states.items():
                self._apply(name, state, incoming, draft)  # 3, 4
        for record, wrong in sorted(incoming.rejected, key=_place):
            draft.reject(record, wrong)
        for record, name in sorted(incoming.strangers, key=_place):
            draft.forward(record, name, whose(name))
        draft.outcome.repeats += incoming.repeats
        if incoming.offsets:
            meta.clock = incoming.clock
            meta.offsets |= incoming.offsets
            meta.forwarded |= incoming.forwarded
            await partition.commit(draft)  # 5
        if incoming.adopt_at is not None:
            await adopt_definitions(partition, incoming.adopt_at)
        elif incoming.control is not None:
            return incoming.taken + await move_clock(partition, *incoming.control)
        return incoming.taken

    def _apply(self, name: str, state: bytes | None, incoming: Incoming, draft: Draft) -> None:
        """Apply all that the batch brings one user: users do not depend on each other, and one at a time stays warm."""
        engine, options, outcome = self.partition.engine, self.partition.options, draft.outcome
        arrivals = incoming.users[name]
        if state is not None:
            user = User.decode(name, state)
        elif (place := home(name, options.partitions, options.partitioner)) != self.number:
            for record, _, _ in arrivals:
                if isinstance(record, Forwarded):  # once is enough: nothing goes round in circles
                    incoming.rejected.append((record, strayed(self.number, place)))
                else:
                    incoming.strangers.append((record, name))
            return
        else:
            user = engine.newcomer(name, outcome)
        touched = engine.touch(user, outcome)
        for record, event, clock in arrivals:
            engine.apply(touched, event, record, clock - options.timer_grace, outcome)
        draft.write_down(touched)

    async def publish(self, most: int = 8) -> int:
        """Publish up to ``most`` parcels in one transaction, then write the read model; return how many."""
        partition = self.partition
        parcels = list(islice(partition.parcels, most))
        if parcels:
            records = [record for parcel in parcels for record in parcel.records(partition.options.topics)]
            meta = partition.meta
            told = Told(meta.incarnation, meta.epoch, parcels[-1].sequence, meta.owner)
            await self.publisher.publish(records, told)  # 6
            await self._show(parcels)
            for _ in parcels:
                partition.parcels.popleft()
            partition.counts.transactions += 1
        return len(parcels)

    async def _show(self, parcels: Sequence[Parcel]) -> None:
        """Write the read model; only then may the store's outbox be cleared of these parcels."""
        views = [view for parcel in parcels for view in parcel.views]
        if views:
            await self.read_model.write(self.number, self.partition.meta.epoch, views)
        if parcels:
            self.partition.published = parcels[-1].sequence


def _place(told: tuple[Record, object]) -> tuple[str, int, int]:
    """Return where a record stands: dead letters and forwarded records of a log keep its order."""
    return told[0].topic, told[0].partition, told[0].offset
