"""Where a partition number goes on reading, by what its state knows of each topic."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition

from segstream.adapters.positions import find_positions
from segstream.core.origin import Origin
from segstream.errors import PositionError
from segstream.ports import OutRecord, Told
from tests.unit.flow.worlds import World

EVENTS, REROUTED = TopicPartition("events", 0), TopicPartition("segstream-rerouted", 0)
ENDS = {EVENTS: 10, REROUTED: 3}


class Consumer:
    """A member that knows where logs begin and end, and has committed nothing."""

    async def committed(self, there: TopicPartition) -> int | None:
        """Return that nothing is committed."""
        return None if there in ENDS else 0

    async def beginning_offsets(self, logs: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the beginnings."""
        return dict.fromkeys(logs, 0)

    async def end_offsets(self, logs: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends."""
        return {there: ENDS[there] for there in logs}


class Remembering:
    """A publisher to whom Kafka says what was told."""

    def __init__(self, told: Told) -> None:
        self.told = told

    async def fence(self) -> Told:
        """Fence nobody."""
        return self.told

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """Publish nothing."""

    async def close(self) -> None:
        """Release nothing."""


async def test_a_state_that_is_new_to_forwarded_records_reads_them_from_the_first_on() -> None:
    """Whatever ``start_from`` says: other workers may have forwarded some before this partition was taken over."""
    partition = (await World([(0, "version: 1")]).owner()).partition
    partition.meta.offsets = {"events": 4}
    found = await find_positions(Consumer(), ENDS, partition, "latest")
    assert found == {EVENTS: 5, REROUTED: 0}
    assert partition.meta.offsets == {"events": 4, "segstream-rerouted": -1}
    assert Origin.load(partition.meta.origin).begun == {"segstream-rerouted": 0}


async def test_a_new_state_begins_input_topics_as_it_is_told_and_misses_nothing_that_was_forwarded() -> None:
    """At the first start of all another worker may have taken records to be forwarded before this partition is begun."""
    for start_from, first in (("latest", ENDS[EVENTS]), ("earliest", 0)):
        partition = (await World([(0, "version: 1")]).owner()).partition
        found = await find_positions(Consumer(), ENDS, partition, start_from)
        assert found == {EVENTS: first, REROUTED: 0}
        assert Origin.load(partition.meta.origin).begun == {"events": first, "segstream-rerouted": 0}


async def test_a_state_that_is_gone_is_missed_although_the_group_has_committed_nothing() -> None:
    """Committed offsets expire; what was told does not: to begin at the latest then would skip events in silence."""
    flow = World([(0, "version: 1")]).flow()
    flow.publisher = Remembering(Told(1, 3, 17, "a"))
    await flow.take_over()
    with pytest.raises(
        PositionError, match="partition 0: Redis holds no state, but changes of it were published"
    ):
        await find_positions(Consumer(), ENDS, flow.partition, "latest")
