"""The group's offsets in Kafka: a hint for lag monitors, since Redis holds the true positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition

if TYPE_CHECKING:
    from segstream.adapters.holdings import Holdings


class OffsetCommitter:
    """Commits what has been applied, as far as it has changed.

    Parameters
    ----------
    holdings : Holdings
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._committed: dict[TopicPartition, int] = {}

    def forget(self) -> None:
        """Forget what was committed: another member may have done so since."""
        self._committed.clear()

    async def commit(self) -> None:
        """Commit the group's offsets."""
        offsets: dict[TopicPartition, int] = {}
        for runner in self._holdings.runners.values():
            for topic, offset in runner.applied.items():
                there = TopicPartition(topic, runner.number)
                if there in self._holdings.fetching and self._committed.get(there) != offset + 1:
                    offsets[there] = offset + 1
        assigned = self._holdings.assigned()
        offsets = {there: offset for there, offset in offsets.items() if there in assigned}
        if offsets:
            await self._holdings.consumer.commit(offsets)
            self._committed.update(offsets)
