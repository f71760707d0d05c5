"""The ways to Redis and Kafka, with a note of how long each commit and each transaction takes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.redis.state import RedisStateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from segstream.distribution import Distribution
    from segstream.ports import Commit, OutRecord, Told


@contextmanager
def timed(seconds: Distribution, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """Count how long the block takes, also when it fails.

    Examples
    --------
    >>> from segstream.distribution import Distribution
    >>> seconds, moments = Distribution([1, 10]), iter([3, 5])
    >>> with timed(seconds, lambda: next(moments)):
    ...     pass
    >>> seconds.counts
    [0, 1, 0]
    """
    begun = clock()
    try:
        yield
    finally:
        seconds.add(clock() - begun)


class TimedStateStore(RedisStateStore):
    """A store whose commits are counted in ``commits``, which must be set."""

    commits: Distribution

    async def commit(self, commit: Commit) -> int:
        """See ``StateStore``."""
        with timed(self.commits):
            return await super().commit(commit)


class TimedPublisher(KafkaPublisher):
    """A publisher whose transactions are counted in ``transactions``, which must be set."""

    transactions: Distribution

    async def publish(self, records: Sequence[OutRecord], told: Told) -> None:
        """See ``Publisher``."""
        with timed(self.transactions):
            await super().publish(records, told)
