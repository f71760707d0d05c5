"""Whose word counts: that of the runner at work, not of one that was given up and ends late."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.adapters.holdings import Holdings
from segstream.adapters.membership import Membership
from segstream.adapters.offset_committer import OffsetCommitter
from segstream.adapters.rivals import LOSSES, Rivals
from segstream.adapters.vitals import Vitals
from segstream.errors import Fenced, ServerError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.runner import MOST_IN_HAND, Pace, Runner
from segstream.tally import Tally
from tests.unit.flow.worlds import START, World, record, track

LOG = TopicPartition("events", 0)


class Consumer:
    """A member that is assigned one log of nine records."""

    def __init__(self) -> None:
        self.paused: set[TopicPartition] = set()
        self.sought: dict[TopicPartition, int] = {}
        self._coordinator = SimpleNamespace(member_id="one")

    def become(self, member: str) -> None:
        """Be another member of the group."""
        self._coordinator.member_id = member

    def assignment(self) -> set[TopicPartition]:
        """Return the log."""
        return {LOG}

    def pause(self, *logs: TopicPartition) -> None:
        """Fetch no more from logs."""
        self.paused |= set(logs)

    def resume(self, *logs: TopicPartition) -> None:
        """Fetch from logs."""
        self.paused -= set(logs)

    def seek(self, there: TopicPartition, offset: int) -> None:
        """Go on at an offset."""
        self.sought[there] = offset

    async def committed(self, _there: TopicPartition) -> None:
        """Return nothing: nobody has committed an offset."""

    async def beginning_offsets(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 0."""
        return dict.fromkeys(logs, 0)

    async def end_offsets(self, logs: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 9."""
        return dict.fromkeys(logs, 9)


class Group:
    """A membership whose partition 0 has been given up by one runner, and is worked on by the next."""

    def __init__(self) -> None:
        self.consumer, self.holdings, self.world = Consumer(), Holdings(), World([(0, "version: 1")])
        self.holdings.member = cast("AIOKafkaConsumer", self.consumer)
        never: Callable[..., Any] = cast("Any", None)
        self.membership = Membership(
            self.holdings,
            OffsetCommitter(self.holdings),
            Vitals(),
            Tally(),
            Rivals("segstream-0"),
            make_consumer=never,
            make_flow=lambda _number, _owned: self.world.flow(),
            partitions=lambda: 1,
            pace=Pace(),
            inbox_bytes=1 << 20,
            rerouted="segstream-rerouted",
            start_from="earliest",
            release_seconds=1,
        )
        self.former, self.successor = (
            Runner(0, self.world.flow, Inbox(["events"]), self.membership, Pace()) for _ in range(2)
        )
        self.holdings.runners[0] = self.successor

    async def flow(self) -> Flow:
        """Return a flow that has taken the partition over."""
        return await self.world.owner()


@pytest.fixture
def group() -> Group:
    """Return one at work."""
    return Group()


def event(offset: int) -> Any:
    """Return a record."""
    return record(offset, START, track("u", "Visit", START))


async def test_a_former_runner_that_ends_late_does_not_stop_its_successor(group: Group) -> None:
    """It was cancelled, and hears only now that it is fenced: by its successor, which goes on fetching."""
    await group.membership.ready(group.successor, await group.flow())
    group.successor.inbox.add("events", [event(0)], fetched_all=True)
    group.former.inbox.add("events", [event(0)], fetched_all=True)
    group.membership.lost(group.former, Fenced("by its successor"))
    assert group.holdings.fetching == {LOG}
    assert not group.consumer.paused
    assert (len(group.successor.inbox), len(group.former.inbox)) == (1, 0)
    group.membership.lost(group.successor, Fenced("by another worker"))
    assert group.holdings.fetching == set()
    assert group.consumer.paused == {LOG}


async def test_a_former_runner_that_has_taken_over_late_does_not_move_its_successors_fetching(
    group: Group,
) -> None:
    """What has been fetched since would come twice, and neither of the two would know from where on."""
    flow = await group.flow()
    with pytest.raises(Fenced, match="partition 0: this worker has given it up, or works on it anew"):
        await group.membership.ready(group.former, flow)
    assert group.holdings.fetching == set()
    assert group.consumer.sought == {}
    await group.membership.ready(group.successor, await group.flow())
    assert group.consumer.sought == {LOG: 0}


async def test_a_lasting_outage_is_told_once_and_its_end_too(group: Group) -> None:
    """What fails at each retry is a warning when it begins or changes; the rest is for who wants each retry."""
    down, slow = (
        ServerError("commit partition 0: Redis is down"),
        ServerError("commit partition 0: no answer"),
    )
    with structlog.testing.capture_logs() as logged:
        for error in (down, down, down, slow, slow):
            group.membership.lost(group.successor, error)
        await group.membership.ready(group.successor, await group.flow())
        group.membership.lost(group.successor, down)
    told = [(line["event"], line["log_level"]) for line in logged if line["event"] != "owns"]
    interrupted = "partition_interrupted"
    assert told == [
        (interrupted, "warning"),
        (interrupted, "debug"),
        (interrupted, "debug"),
        (interrupted, "warning"),
        (interrupted, "debug"),
        ("partition_recovered", "info"),
        (interrupted, "warning"),
    ]


async def test_a_membership_that_another_worker_takes_again_and_again_is_told_once(group: Group) -> None:
    """A rebalance keeps the member's name, and an instance id that two workers have changes it each time."""
    with structlog.testing.capture_logs() as logged:
        for member in ("one", "one", *(f"member-{number}" for number in range(LOSSES + 2))):
            group.consumer.become(member)
            group.membership.assigned([])
    lines = [line for line in logged if line["event"] == "membership_lost"]
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "is SEGSTREAM_INSTANCE_ID=segstream-0 set for another worker, too?" in lines[0]["error"]


async def test_partitions_have_room_for_so_much_in_hand_together(group: Group) -> None:
    """Each runner asks for all of them: what one has in hand leaves less for the others."""
    group.membership.assigned([LOG])
    runner = group.holdings.runners[0]
    assert runner._room()
    group.holdings.runners[1] = group.former
    group.former._making = MOST_IN_HAND
    assert not runner._room()
    await group.membership.release(1)
