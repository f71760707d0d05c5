"""Where the logs end: what moves the clocks of partitions without records, and tells how far they lag behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from segstream.adapters.kafka.errors import kafka_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from segstream.adapters.holdings import Holdings
    from segstream.adapters.kafka.ends import LogEnds
    from segstream.adapters.vitals import Vitals


class LogWatch:
    """Asks for the ends of all logs owned.

    Parameters
    ----------
    holdings : Holdings
    log_ends : LogEnds
        Where to ask.
    topics : collection of str
        What is read. While nothing is owned, their first logs are asked for: who only stands by has to reach Kafka, too.
    vitals : Vitals
        Told when Kafka has answered.
    replay : bool
        Whether events' timestamps drive the clock.
    now : callable
        Returns the time in ms.

    Attributes
    ----------
    ends : dict of TopicPartition to int
        The offset behind the last record of each log, when it last was told.
    read_all : set of TopicPartition
        The logs that had then been read up to there.
    read_all_at : dict of TopicPartition to int
        The latest moment (ms) at which a log was asked for its end and had been read up to there.
    """

    def __init__(
        self,
        holdings: Holdings,
        log_ends: LogEnds,
        vitals: Vitals,
        topics: Collection[str],
        *,
        replay: bool,
        now: Callable[[], int],
    ) -> None:
        self._elsewhere = [TopicPartition(topic, 0) for topic in topics]
        self._holdings, self._log_ends, self._vitals = holdings, log_ends, vitals
        self._replay, self._now = replay, now
        self.ends: dict[TopicPartition, int] = {}
        self.read_all: set[TopicPartition] = set()
        self.read_all_at: dict[TopicPartition, int] = {}

    async def look(self) -> None:
        """Tell each runner the moment up to which all that arrived has been fetched.

        All but forwarded records in or behind a transaction that is not finished, which cannot be read yet: a worker
        that was killed in the middle would stop the timers of partitions that are well until Kafka ends it.

        Raises
        ------
        ServerError
            Kafka does not tell any of the ends, or not those of a partition: it waits, the others have been told.
        """
        assigned = self._holdings.assigned()
        if not assigned:
            self.ends, self.read_all, self.read_all_at = {}, set(), {}
            await self._log_ends.ask(self._elsewhere)
            self._vitals.answered()
            return
        asked_at = self._now()
        # Also those that are not fetched: how far a partition lags matters most while it is in trouble.
        ends = await self._log_ends.ask(assigned)
        self.ends = {there: end for there, end in self.ends.items() if there in assigned} | ends
        self._vitals.answered()
        visible = await self._visible(ends)
        # Positions last, with no other task in between: a partition that starts over while something is asked for goes
        # back to records that the clock must not pass. (aiokafka waits for no position of a log that is fetched.)
        positions = await self._positions()
        here = [there for there in positions if there in ends]
        self.read_all = read_all = {there for there in here if positions[there] >= ends[there]}
        self.read_all_at = {there: at for there, at in self.read_all_at.items() if there in assigned}
        behind = {
            there.partition
            for there in here
            if there not in read_all and (there not in visible or positions[there] < visible[there])
        }
        for there in here:
            runner = self._holdings.runners.get(there.partition)
            if runner is None:
                continue
            if there in read_all:
                self.read_all_at[there] = asked_at
                runner.inbox.add(there.topic, (), fetched_all=True)
            if there.partition not in behind and not self._replay:
                runner.known_until = asked_at
            runner.poke()
        for error in self._log_ends.silent.values():
            raise error

    async def _positions(self) -> dict[TopicPartition, int]:
        """Return how far each log that is fetched has been read."""
        consumer, assigned = self._holdings.consumer, self._holdings.assigned()
        return {there: await consumer.position(there) for there in self._holdings.fetching & assigned}

    async def _visible(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return up to where logs of forwarded records can be read, of those that are not read to their ends."""
        runners = self._holdings.runners
        asked = [
            there
            for there, position in (await self._positions()).items()
            if there.partition in runners
            and there.topic == runners[there.partition].inbox.rerouted
            and position < ends.get(there, 0)
        ]
        if not asked:
            return {}
        with kafka_errors("ask where forwarded records end"):
            # As the workers read, "read_committed", a log ends where its first unfinished transaction begins.
            visible: dict[TopicPartition, int] = await self._holdings.consumer.end_offsets(asked)
            return visible
