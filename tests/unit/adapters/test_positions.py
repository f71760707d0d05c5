"""Where a partition number goes on reading, by what its state knows of each topic."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition

from segstream.adapters.positions import find_positions
from segstream.core.origin import Origin
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


async def test_a_state_that_is_new_to_forwarded_records_reads_them_from_the_first_on() -> None:
    """Whatever ``start_from`` says: other workers may have forwarded some before this partition was taken over."""
    partition = (await World([(0, "version: 1")]).owner()).partition
    partition.meta.offsets = {"events": 4}
    found = await find_positions(Consumer(), ENDS, partition, "latest")
    assert found == {EVENTS: 5, REROUTED: 0}
    assert partition.meta.offsets == {"events": 4, "segstream-rerouted": -1}
    assert Origin.load(partition.meta.origin).begun == {"segstream-rerouted": 0}


async def test_a_new_state_begins_all_topics_as_it_is_told() -> None:
    """Forwarded records of a time before are left out like all others."""
    for start_from, offsets in (("latest", ENDS), ("earliest", dict.fromkeys(ENDS, 0))):
        partition = (await World([(0, "version: 1")]).owner()).partition
        assert await find_positions(Consumer(), ENDS, partition, start_from) == offsets
