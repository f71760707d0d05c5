"""Very many timers due at one instant: in slices, live events between them, and nothing else than without a wave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson
import pytest

from segstream.adapters.memory.log import MemoryPublisher
from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.state import MemoryStateStore, partition_of
from segstream.core.events import LogRecord
from segstream.core.time import DAY
from segstream.errors import SegstreamError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.partition import Counts, Partition
from segstream.ports import Commit, OutRecord, Told
from segstream.runner import Pace, Runner
from segstream.upkeep import SLICE
from tests.unit.flow.worlds import START, World, play_singly, record, track

WAVE: Final = 200_000
"""Users whose timers are due at one instant."""

LIVE: Final = 280
"""How many of them do something while the wave goes on; a quarter as many more have never been seen before."""

DUE: Final = START + 60 * DAY + 1
DEFINITIONS: Final = """
version: 1
features:
  orders:     {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
segments:
  recent: {when: since(last_order) <= 60d}
  again:  {when: orders >= 2}
"""


class Step(NamedTuple):
    """A commit: how many records it applied, how many users it woke, and how many records waited meanwhile."""

    records: int
    woken: int
    waiting: int


class Watched(MemoryStateStore):
    """A store that notes each commit, and lets one live event arrive during each slice of the wave.

    Parameters
    ----------
    world : World
    inbox : Inbox
        Where records arrive.
    live : sequence of LogRecord
        What is still to arrive, in order.
    """

    def __init__(self, world: World, inbox: Inbox, live: Sequence[LogRecord]) -> None:
        super().__init__(world.server, 0)
        self.world, self.inbox, self.live = world, inbox, list(live)
        self.steps: list[Step] = []
        self.woken = 0
        self.runner: Runner | None = None

    async def due(self, before: int, limit: int) -> list[tuple[str, int]]:
        """Note how many are woken."""
        found = await super().due(before, limit)
        self.woken = len(found)
        return found

    async def commit(self, commit: Commit) -> int:
        """Let events arrive, commit, and note it; once there is nothing left, let the runner end."""
        waiting = len(self.inbox)
        if self.woken and self.live:
            self.inbox.add("events", [self.live.pop(0)], fetched_all=True)
        before = partition_of(self.world.server, "segstream", 0).meta.offsets.get("events", -1)
        due = await super().commit(commit)
        self.steps.append(Step(commit.meta.offsets.get("events", -1) - before, self.woken, waiting))
        self.woken = 0
        assert self.runner is not None
        if due >= self.world.now and not self.live and not self.inbox:
            self.runner.stop()
        # Publishing takes its turn.
        await asyncio.sleep(0)
        return due


class Compared(MemoryPublisher):
    """A publisher that compares each change with the one expected, and keeps none: they would fill the memory.

    Parameters
    ----------
    world : World
    expected : Expected
    """

    def __init__(self, world: World, expected: Expected) -> None:
        super().__init__(0, world.log)
        self.expected = expected
        self.told: dict[str, int] = {}

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Compare the changes, and tell how far they go."""
        await super().publish([], told)
        for each in records:
            if each.topic == "segment-changes":
                change = orjson.loads(each.value or b"")
                user = change["user_id"]
                place = self.told[user] = self.told.get(user, 0) + 1
                assert essence(change) == self.expected.of(user)[place - 1]


class Expected:
    """What is to be told of each user, found without a wave: of somebody who does nothing, and of each of the others.

    Parameters
    ----------
    silent : list of dict
        The changes of one who orders once and never again.
    others : dict of str to list of dict
        Those of each of the others, by name.
    """

    def __init__(self, silent: list[dict[str, Any]], others: dict[str, list[dict[str, Any]]]) -> None:
        self._silent = [essence(each) for each in silent]
        self._others = {user: [essence(each) for each in changes] for user, changes in others.items()}

    def of(self, user: str) -> list[dict[str, Any]]:
        """Return the changes of a user."""
        return self._others.get(user, self._silent)


def essence(change: dict[str, Any]) -> dict[str, Any]:
    """Return a change without what names the user or the moment of its processing."""
    left_out = {"id", "user_id", "processed_at"}
    cause = {key: value for key, value in change["cause"].items() if key not in ("message_id", "offset")}
    return {key: value for key, value in change.items() if key not in left_out} | {"cause": cause}


def first_order(offset: int, user: str) -> LogRecord:
    """Return a user's order at the beginning."""
    return record(offset, START, track(user, "Order Completed", START, message="first"))


def live_events() -> list[tuple[str, int]]:
    """Return who orders when while the wave goes on: soon after it was due, and some twice."""
    users = [f"u{number * (WAVE // LIVE):06d}" for number in range(LIVE)]
    users += [f"n{number:06d}" for number in range(LIVE // 4)]
    users += users[::10]
    return [(user, DUE + 10 + number) for number, user in enumerate(users)]


async def without_a_wave(end: int) -> Expected:
    """Play one silent user, and apart from that the live ones, each record by itself and each timer when it is due."""
    alone = World([(0, DEFINITIONS)])
    await play_singly(alone, [first_order(0, "u000001")], end)
    few = World([(0, DEFINITIONS)])
    events = live_events()
    early = list(dict.fromkeys(user for user, _ in events if user.startswith("u")))
    records = [first_order(offset, user) for offset, user in enumerate(early)]
    records += [
        record(len(early) + number, at, track(user, "Order Completed", at, message=f"m{number}"))
        for number, (user, at) in enumerate(events)
    ]
    await play_singly(few, records, end)
    others: dict[str, list[dict[str, Any]]] = {}
    for change in few.changes():
        others.setdefault(change["user_id"], []).append(change)
    return Expected(alone.changes(), others)


async def filled() -> World:
    """Return a world with all those whose timers are due, each as one order has left them."""
    world = World([(0, DEFINITIONS)])
    flow = await play_singly(world, [first_order(0, "u000000")], START + 1)
    held = partition_of(world.server, "segstream", 0)
    # A state does not hold its user's name, so one is as good as another.
    (state,) = held.states.values()
    names = [f"u{number:06d}" for number in range(WAVE)]
    held.states.update(dict.fromkeys(names, state))
    held.users.update(names)
    held.schedule(dict.fromkeys(names, DUE))
    await flow.publisher.close()
    return world


class Alone:
    """A group of one worker."""

    async def still_owns(self, number: int) -> bool:
        """Tell so."""
        return number == 0

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Have everything read up to a moment after the timers are due."""
        assert flow.partition.meta.offsets == {"events": 0}
        runner.inbox.add("events", [], fetched_all=True)
        runner.known_until = DUE + 5

    def lost(self, runner: Runner, error: SegstreamError) -> None:
        """Fail: nothing goes wrong here."""
        raise AssertionError(runner.trouble) from error


@pytest.mark.timeout(600)
async def test_a_wave_of_200_000_timers_goes_in_slices_and_lets_live_events_through() -> None:
    """No slice is larger than its bound, no event waits for more than one slice, and all is told as without a wave."""
    end = DUE + 10_000
    expected, world = await without_a_wave(end), await filled()
    world.now = end
    inbox = Inbox(["events"])
    live = [
        record(1 + number, at, track(user, "Order Completed", at, message=f"m{number}"))
        for number, (user, at) in enumerate(live_events())
    ]
    store, publisher = Watched(world, inbox, live), Compared(world, expected)
    read_model = MemoryReadModel(world.server)
    counts: list[Counts] = []

    def make_flow() -> Flow:
        partition = Partition(store, world.library, world.settings, lambda: world.now)
        counts.append(partition.counts)
        return Flow(0, partition, read_model, publisher)

    runner = Runner(0, make_flow, inbox, Alone(), Pace(publish_interval=0.0))
    store.runner = runner
    publisher.told = {f"u{number:06d}": 1 for number in range(WAVE)}  # of the first order, above
    async with asyncio.timeout(500):
        await runner.run()

    slices = [step for step in store.steps if step.woken]
    assert len(slices) >= WAVE // SLICE
    assert max(step.woken for step in slices) == SLICE
    assert sum(step.records for step in store.steps) == len(live)
    # What arrived during a slice was applied before the next one, from the beginning of the wave nearly to its end.
    assert {step.waiting for step in slices} == {0}
    order = ["slice" if step.woken else "event" for step in store.steps if step.woken or step.records]
    assert order[: 2 * len(live)] == ["slice", "event"] * len(live)
    # Everybody is told everything, once.
    others = {user for user, _ in live_events()}
    assert len(expected.of("u000001")) == 2
    assert publisher.told.keys() == others | {f"u{number:06d}" for number in range(WAVE)}
    assert all(number == len(expected.of(user)) for user, number in publisher.told.items())
    (count,) = counts
    assert count.idle_wake_ups == 0
    held = partition_of(world.server, "segstream", 0)
    assert held.next_due() > world.now
    assert set(read_model.members("recent", 0)) == others
