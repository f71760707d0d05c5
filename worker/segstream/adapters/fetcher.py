"""Fetching: from Kafka into the inboxes, no more than they have room for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from segstream.adapters.kafka.consumer import poll
from segstream.adapters.kafka.records import take_unreadable

if TYPE_CHECKING:
    from aiokafka import TopicPartition

    from segstream.adapters.holdings import Holdings
    from segstream.adapters.kafka.records import Unreadable
    from segstream.runner import Runner

INBOX_BATCHES: Final = 4
"""Records kept per topic and partition, in batches: enough that the next batch is there when one is done."""

WAIT_MS: Final = 200
"""Longest wait for records, so that a pause is ended, and a lost membership noticed, soon."""

PUT_OFF: Final = 10.0
"""Seconds until a log is fetched again from which something came that cannot be unpacked."""


class Fetcher:
    """Fills the inboxes of the partitions that are fetched.

    A log whose next record cannot be unpacked is put off: its partition number waits, and its clock with it; all others
    go on. Nothing is left out: that is for an operator to decide.

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
        self._put_off: dict[TopicPartition, float] = {}
        self._stopped: dict[TopicPartition, tuple[Runner, Unreadable]] = {}
        self._log = structlog.get_logger("segstream")

    @property
    def paused(self) -> set[int]:
        """The partition numbers with a log from which nothing is fetched until there is room."""
        member = self._holdings.member
        waiting = set() if member is None else member.paused() - self._put_off.keys()
        return {there.partition for there in waiting if self._holdings.fetched_for(there) is not None}

    @property
    def unreadable(self) -> dict[int, str]:
        """By partition number: what cannot be unpacked of a log there, and what to do; until something behind it is read."""
        return {
            there.partition: str(stopped.error)
            for there, (runner, stopped) in self._stopped.items()
            if self._holdings.fetched_for(there) is runner  # it may have ended since the last fetch
        }

    async def fetch(self) -> bool:
        """Wait for records and put them into the inboxes; return whether there were any.

        Raises
        ------
        ServerError
            Reading fails, or membership has ended: join anew.
        """
        consumer = self._holdings.consumer
        fetched = await poll(consumer, WAIT_MS, self._batch)
        unreadable = take_unreadable(fetched)
        for there, records in fetched.items():
            runner = self._holdings.fetched_for(there)
            if runner is None:
                continue
            high = consumer.highwater(there)
            last = records[-1].offset
            self._stopped.pop(there, None)
            runner.inbox.add(there.topic, records, fetched_all=high is not None and last + 1 >= high)
            self.reached[there] = last
            if runner.inbox.waiting(there.topic) >= self._room or runner.inbox.full(there.topic):
                consumer.pause(there)
                self.pauses += 1
            runner.poke()
        for there, stopped in unreadable.items():
            # What came before it is applied first, and then it is fetched again.
            if there not in fetched and (runner := self._holdings.fetched_for(there)) is not None:
                self._stopped[there] = runner, stopped
                self._put(there, stopped)
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

    def _put(self, there: TopicPartition, stopped: Unreadable) -> None:
        """Put a log off, and say why."""
        self._holdings.consumer.pause(there)
        self._put_off[there] = asyncio.get_running_loop().time() + PUT_OFF
        self._log.error(
            "unreadable",
            topic=there.topic,
            partition=there.partition,
            offset=stopped.offset,
            error=str(stopped.error),
        )

    def _resume(self) -> None:
        consumer, now = self._holdings.consumer, asyncio.get_running_loop().time()
        self._put_off = {there: until for there, until in self._put_off.items() if until > now}
        # A runner that has ended is not to be kept, with all that waits in it.
        for there, (reader, _) in list(self._stopped.items()):
            if self._holdings.fetched_for(there) is not reader:
                del self._stopped[there]
        for there in consumer.paused():
            runner = self._holdings.fetched_for(there)
            if runner is None or there in self._put_off or runner.inbox.full(there.topic):
                continue
            if runner.inbox.waiting(there.topic) < self._room // 2:
                consumer.resume(there)
