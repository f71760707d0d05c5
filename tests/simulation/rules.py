"""The rules of delivery, each removed in turn: that the checker notices shows that it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from segstream.adapters.memory.state import MemoryStateStore
from segstream.adapters.memory.state import Partition as Held
from segstream.outbox import pack
from segstream.partition import Draft, Partition
from segstream.ports import Commit, EncodedView, TakeOver, Told
from tests.simulation.histories import TOPIC
from tests.simulation.kafka import Publisher
from tests.simulation.redis import Answers, Shown, Store
from tests.simulation.simulation import Outcome, run
from tests.simulation.worker import Parts, SmallFlow

MOST: Final = 2_000
"""Schedules within which the removal of any rule is noticed."""


class _SameEpoch(MemoryStateStore):
    """Without epoch, and without owners' names, which are there for epochs given again; nobody asks for either."""

    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        found = await super().take_over(told._replace(owner=""), least)
        held = self._held
        held.owners.clear()
        for meta in (held.meta, found.meta):
            meta.epoch, meta.owner = 1, ""
        self._epoch, self._owner = 1, ""
        return found

    def _check_owner(self, held: Held) -> None:
        pass


class _AnyRevision(MemoryStateStore):
    async def commit(self, commit: Commit) -> int:
        commit.meta.revision = self._held.meta.revision + 1
        return await super().commit(commit)


class _SameIncarnation(MemoryStateStore):
    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        found = await super().take_over(told, least)
        self._held.meta.incarnation = found.meta.incarnation = 1
        return found


class _NoEpoch(Store):
    twin = _SameEpoch


class _NoRevision(Store):
    twin = _AnyRevision


class _NoIncarnation(Store):
    twin = _SameIncarnation


class _Hasty(Store):
    waits = False


class _KafkaKnows(Store):
    def as_sent(self, commit: Commit) -> Commit:
        sent = super().as_sent(commit)
        sent.meta.offsets.clear()
        return sent

    async def take_over(self, told: Told, least: int = 0) -> TakeOver:
        found = await super().take_over(told, least)
        committed = self._process.world.group.committed.get(self._number)  # type: ignore[attr-defined]  # a worker
        found.meta.offsets = {} if committed is None else {TOPIC: committed}
        return found


class _Overwriting(Answers):
    def put(self, views: Sequence[EncodedView]) -> None:
        for view in views:
            self._answer(view.user).fields = {}
        super().put(views)


class _NoCompare(Shown):
    hashes = _Overwriting


class _Forgettable(Shown):
    waits = False


class _Unfenced(Publisher):
    def init(self) -> int:
        # An identity of its own, as any producer has that is not given its predecessor's.
        self.id = f"{self.id}-{id(self)}"
        return super().init()


class _TellsFirst(Partition):
    async def commit(self, draft: Draft) -> None:
        ahead = pack(self.meta.sequence + 1, draft.changes, draft.views.values(), draft.letters)
        self.parcels.extend(ahead)
        await super().commit(draft)
        for _ in ahead:  # handed on a second time
            self.parcels.pop()


class _ClearsEarly(SmallFlow):
    async def publish(self, most: int = 2) -> int:
        partition = self.partition
        partition.published = max([partition.published, *(parcel.sequence for parcel in partition.parcels)])
        return await super().publish(most)


class Removal(NamedTuple):
    """A rule, and workers that do without it.

    Parameters
    ----------
    rule : str
    instead : str
        What such workers do.
    parts : Parts
    """

    rule: str
    instead: str
    parts: Parts


REMOVALS: Final[Mapping[str, Removal]] = MappingProxyType(
    {
        "epoch": Removal(
            "the epoch",
            "owners take Redis over under one epoch and no name, and no write asks for either",
            Parts(store=_NoEpoch),
        ),
        "fence": Removal(
            "`InitProducerId` under one id per partition",
            "every owner's producer has an id of its own, so nobody fences anybody",
            Parts(publisher=_Unfenced),
        ),
        "commit": Removal(
            "commit, then publish", "parcels are handed on before their commit", Parts(partition=_TellsFirst)
        ),
        "durable": Removal(
            "publish only what is durable", "a commit does not wait for the replica", Parts(store=_Hasty)
        ),
        "position": Removal(
            "the position in Redis, with the state",
            "read on from the offsets committed to Kafka",
            Parts(store=_KafkaKnows),
        ),
        "compare": Removal(
            "compare-and-set in the read model", "whoever writes last wins", Parts(shown=_NoCompare)
        ),
        "outbox": Removal(
            "clear the outbox only of what is published and shown",
            "the next commit clears what is about to be published",
            Parts(flow=_ClearsEarly),
        ),
        "revision": Removal("the revision", "a commit fits any revision", Parts(store=_NoRevision)),
        "incarnation": Removal(
            "a new incarnation when Redis has forgotten", "the first goes on", Parts(store=_NoIncarnation)
        ),
        "shown": Removal(
            "wait until the read model is durable, too",
            "do not wait for the replica",
            Parts(shown=_Forgettable),
        ),
    }
)
"""By a word to name them with."""


def schedules_until_caught(name: str, most: int, first: int = 0) -> tuple[int, Outcome | None]:
    """Run schedules without a rule until the checker notices.

    Parameters
    ----------
    name : str
        The rule, see `REMOVALS`.
    most : int
        Schedules to try.
    first : int
        The first seed.

    Returns
    -------
    (int, Outcome or None)
        How many it took, and what was seen; None if nothing was.
    """
    parts = REMOVALS[name].parts
    for count in range(1, most + 1):
        outcome = run(first + count - 1, parts=parts)
        if outcome.broken:
            return count, outcome
    return most, None
