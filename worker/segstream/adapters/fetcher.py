"""Fetching: from Kafka into the inboxes, no more than they have room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.adapters.kafka.consumer import poll

if TYPE_CHECKING:
    from aiokafka import TopicPartition

    from segstream.adapters.holdings import Holdings

INBOX_BATCHES: Final = 4
"""Records kept per topic and partition, in batches: enough that the next batch is there when one is done."""

WAIT_MS: Final = 200
"""Longest wait for records, so that a pause is ended, and a lost membership noticed, soon."""


class Fetcher:
    """Fills the inboxes of the partitions that are fetched.

    Parameters
    ----------
    holdings : Holdings
    batch : int
        Most records per batch.

    Attributes
    ----------
    reached : dict of TopicPartition to int
        Offset of the last record that was put into an inbox.
    pauses : int
        How often fetching from a log has paused for want of room.
    """

    def __init__(self, holdings: Holdings, batch: int) -> None:
        self._holdings, self._batch = holdings, batch
        self._room = INBOX_BATCHES * batch
        self.reached: dict[TopicPartition, int] = {}
        self.pauses = 0

    @property
    def paused(self) -> set[int]:
        """The partition numbers with a log from which nothing is fetched until there is room."""
        member = self._holdings.member
        waiting = () if member is None else member.paused()
        return {there.partition for there in waiting if self._holdings.fetched_for(there) is not None}

    async def fetch(self) -> bool:
        """Wait for records and put them into the inboxes; return whether there were any.

        Raises
        ------
        ServerError
            Reading fails, or membership has ended: join anew.
        """
        consumer = self._holdings.consumer
        fetched = await poll(consumer, WAIT_MS, self._batch)
        for there, records in fetched.items():
            runner = self._holdings.fetched_for(there)
            if runner is None:
                continue
            high = consumer.highwater(there)
            last = records[-1].offset
            runner.inbox.add(there.topic, records, fetched_all=high is not None and last + 1 >= high)
            self.reached[there] = last
            if runner.inbox.waiting(there.topic) >= self._room or runner.inbox.full(there.topic):
                consumer.pause(there)
                self.pauses += 1
            runner.poke()
        await self._pass_markers()
        self._resume()
        return bool(fetched)

    async def _pass_markers(self) -> None:
        """Note which logs have been fetched to their end: behind a transaction's last record lies a marker, no record."""
        consumer = self._holdings.consumer
        for there in list(self._holdings.fetching):
            runner = self._holdings.fetched_for(there)
            if runner is None or not runner.inbox.unsure(there.topic):
                continue
            if there not in self._holdings.assigned() or (high := consumer.highwater(there)) is None:
                continue
            if await consumer.position(there) >= high:
                runner.inbox.add(there.topic, (), fetched_all=True)
                runner.poke()

    def _resume(self) -> None:
        consumer = self._holdings.consumer
        for there in consumer.paused():
            runner = self._holdings.fetched_for(there)
            if runner is None or runner.inbox.full(there.topic):
                continue
            if runner.inbox.waiting(there.topic) < self._room // 2:
                consumer.resume(there)
