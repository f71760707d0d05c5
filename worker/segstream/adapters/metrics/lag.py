"""How far the worker is behind its logs, in records and in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import TopicPartition

    from segstream.adapters.fetcher import Fetcher
    from segstream.adapters.holdings import Holdings
    from segstream.adapters.log_watch import LogWatch
    from segstream.runner import Runner


class Lag(NamedTuple):
    """How far one log is ahead of what is applied.

    Parameters
    ----------
    records : int
        Offsets between the two; a record that marks the end of a transaction counts as one until it is passed.
    seconds : float or None
        For how long the oldest of these records has been there, None if that cannot be told.
    """

    records: int
    seconds: float | None


class LagMeter:
    """Works it out from what fetching and the look at the logs' ends, once a second, have left behind.

    Parameters
    ----------
    holdings : Holdings
    fetcher : Fetcher
    log_watch : LogWatch
    now : callable
        Returns the time in ms.
    """

    def __init__(
        self, holdings: Holdings, fetcher: Fetcher, log_watch: LogWatch, now: Callable[[], int]
    ) -> None:
        self._holdings, self._fetcher, self._log_watch, self._now = holdings, fetcher, log_watch, now

    def measure(self) -> dict[TopicPartition, Lag]:
        """Return the lag of each log of the partitions owned whose position and end are known."""
        found = {}
        for there, end in sorted(self._log_watch.ends.items()):
            runner = self._holdings.runners.get(there.partition)
            if runner is not None and (applied := runner.applied.get(there.topic)) is not None:
                found[there] = self._lag(there, runner, end, applied)
        return found

    def _lag(self, there: TopicPartition, runner: Runner, end: int, applied: int) -> Lag:
        reached = self._fetcher.reached.get(there, -1)
        end = max(end, reached + 1)
        # Nothing may be left although offsets are: the log's last ones may be markers of transactions.
        if applied + 1 >= end or (there in self._log_watch.read_all and applied >= reached):
            return Lag(0, 0.0)
        head = runner.inbox.head(there.topic)
        # In trouble nothing is fetched: what is left came after the last record that was applied, and after the last
        # moment at which there was nothing more to read.
        since = max(head or 0, 0) or max(self._log_watch.read_all_at.get(there, 0), runner.arrived)
        return Lag(end - applied - 1, max(self._now() - since, 0) / 1000 if since else None)
