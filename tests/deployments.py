"""Deployments on the real servers: topics with their settings, several deployments over the same input."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis

from segstream.core.time import HOUR, format_time, parse_time
from tests.conftest import Topics
from tests.workers import Scene, track

_SETTINGS = {
    "memberships": {"cleanup.policy": "compact"},
    "published": {"cleanup.policy": "compact"},
}


class Deployments:
    """Makes deployments that share their input, and tidies up after them.

    Parameters
    ----------
    topics : Topics
        This test's own.
    redis : str
        URL.
    folder : Path
        For files.
    """

    def __init__(self, topics: Topics, redis: str, folder: Path) -> None:
        self._topics, self._redis, self._folder = topics, redis, folder

    async def inputs(self, *names: str, partitions: int) -> tuple[str, ...]:
        """Create input topics and return their full names."""
        return tuple([await self._topics.create(name, partitions) for name in names])

    async def scene(self, name: str, events: Sequence[str], partitions: int) -> Scene:
        """Create the other topics of a deployment that reads ``events``, and return it."""
        for kind in ("changes", "memberships", "dead_letters", "rerouted", "published"):
            await self._topics.create(f"{name}-{kind}", partitions, _SETTINGS.get(kind))
        await self._topics.create(f"{name}-samples")
        prefix = f"{self._topics.prefix}{name}-"
        return Scene(self._topics.address, self._redis, prefix, tuple(events), partitions)

    def file(self, name: str, text: str) -> Path:
        """Write a file and return its path."""
        path = self._folder / name
        path.write_text(text)
        return path

    async def tidy(self) -> None:
        """Remove what all deployments have left in Redis."""
        client = Redis.from_url(self._redis)
        try:
            keys = [key async for key in client.scan_iter(match=f"{self._topics.prefix}*", count=5000)]
            for first in range(0, len(keys), 1000):
                await client.unlink(*keys[first : first + 1000])
        finally:
            await client.aclose()


SHOP = """
version: 1
features:
  orders:      {op: count, event: Order Completed}
  revenue_30d: {op: sum, of: properties.revenue, event: Order Completed, window: 30d, expose: true}
  last_order:  {op: last_time, event: Order Completed}
  pace:        {op: rate, event: Order Completed, half_life: 10d, per: 7d}
segments:
  big:    {when: revenue_30d >= 150, leave_when: revenue_30d < 60}
  keen:   {when: pace >= 1, leave_when: pace < 0.3}
  fresh:  {when: orders == 1 and since(last_order) <= 20d}
  active: {when: orders >= 2 and since(last_order) <= 10d}
  silent: {when: since(last_order) > 10d, min_dwell: 1d}
groups:
  lifecycle: {first_of: [fresh, active, silent]}
"""
"""Segments that silence changes again and again over half a year."""


def orders(
    count: int, *, seed: int, first: int = 0, users: int = 200, prefix: str = "u"
) -> list[tuple[str, bytes]]:
    """Return the orders of half a year, long ago: some arrive late, some twice.

    So long ago that any moment a timer waits for has passed when its event arrives: what follows depends on no clock.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        Decides everything.
    first : int
        Number of the first one, an hour each since 1997.
    users : int
        How many users.
    prefix : str
        What their ids begin with.
    """
    draw = random.Random(seed)
    begin = parse_time("1997-01-01T00:00:00Z")
    found: list[tuple[str, bytes]] = []
    for number in range(first, first + count):
        if found and draw.random() < 0.02:
            found.append(draw.choice(found[-20:]))
            continue
        user = f"{prefix}{draw.randrange(users):04d}"
        late = draw.randrange(20 * 24 * HOUR) if draw.random() < 0.05 else 0
        at = format_time(begin + number * HOUR - late + draw.randrange(HOUR))
        found.append(
            (user, track(user, at, f"{prefix}-{number}", revenue=round(draw.expovariate(1 / 35), 2)))
        )
    return found
