"""What happens to the users of a simulated deployment, and what an undisturbed worker makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random
from typing import Any, Final

from segstream.core.basis import Basis
from segstream.core.decider import Decider
from segstream.core.definitions import read_definitions
from segstream.core.events import LogRecord
from segstream.core.partitioning import murmur2
from segstream.library import Library, Version
from tests.unit.flow.worlds import START, World, play_singly, record, track

PARTITIONS: Final = 2

HISTORIES: Final = 64
"""How many there are: what is expected of each is worked out once."""

MOST_RECORDS: Final = 8
"""Of one partition."""

MOST_DECIDERS: Final = 64
"""Of one history that are kept."""

TOPIC: Final = "events"

FIRST: Final = """
version: 1
features:
  orders: {op: count, event: Order Completed, expose: true}
  last_order: {op: last_time, event: Order Completed}
  visits: {op: count, event: Visited, window: 10s}
segments:
  buyer: {when: orders >= 1}
  busy: {when: visits >= 2}
  active: {when: since(last_order) <= 8s}
  lapsed: {when: since(last_order) > 8s}
groups:
  lifecycle: {first_of: [active, lapsed]}
"""

SECOND: Final = """
version: 1
features:
  orders: {op: count, event: Order Completed, expose: true}
  last_order: {op: last_time, event: Order Completed}
segments:
  buyer: {when: orders >= 1}
  loyal: {when: orders >= 2}
  active: {when: since(last_order) <= 15s}
  lapsed: {when: since(last_order) > 15s}
groups:
  lifecycle: {first_of: [active, lapsed]}
"""

USERS: Final = tuple(
    tuple(name for name in map(str, range(40)) if murmur2(name.encode(), PARTITIONS) == number)[:3]
    for number in range(PARTITIONS)
)
"""Three for each partition number."""


class CompiledLibrary(Library):
    """A library without models that works each answer out once, for all schedules."""

    def __init__(self) -> None:
        super().__init__()
        self._deciders: dict[tuple[object, ...], Decider] = {}
        self._following: dict[int, Version | None] = {}
        self._segments: list[str] | None = None

    def add_version(self, version: Version) -> None:
        """Add a version of the definitions."""
        super().add_version(version)
        self._following.clear()
        self._segments = None

    def following(self, number: int) -> Version | None:
        """Return the next version after ``number``."""
        if number not in self._following:
            self._following[number] = super().following(number)
        return self._following[number]

    def segments(self) -> list[str]:
        """Return the names of all segments that anybody can be in, sorted."""
        if self._segments is None:
            self._segments = super().segments()
        return self._segments

    def newest_models(self, definitions: int, in_force: Mapping[str, int]) -> dict[str, int]:
        """Return none."""
        del definitions, in_force
        return {}

    def decider(self, basis: Basis) -> Decider:
        """Return what decides under ``basis``."""
        key = (*basis[:-1], *basis.models.items())
        found = self._deciders.get(key)
        if found is None:
            if len(self._deciders) == MOST_DECIDERS:  # millions of schedules adopt at ever new moments
                self._deciders.clear()
            found = self._deciders[key] = super().decider(basis)
        return found


@dataclass(frozen=True)
class History:
    """What happens to all partition numbers.

    Parameters
    ----------
    versions : tuple of (int, str)
        Definitions, each with the moment (ms) at which it comes into force.
    records : tuple of tuple of LogRecord
        By partition number, in log order.
    end : int
        A moment (ms) at which every timer has come.
    """

    versions: tuple[tuple[int, str], ...]
    records: tuple[tuple[LogRecord, ...], ...]
    end: int

    @cached_property
    def library(self) -> Library:
        """What a worker knows."""
        library = CompiledLibrary()
        for number, (at, text) in enumerate(self.versions, 1):
            library.add_version(Version(number, at, read_definitions(text)))
        return library

    @cached_property
    def expected(self) -> tuple[dict[str, Any], ...]:
        """By partition number: what comes of it, one record at a time, with nothing in the way."""
        return tuple(asyncio.run(self._play(number)) for number in range(PARTITIONS))

    async def _play(self, number: int) -> dict[str, Any]:
        world = World(self.versions, {"partitions": PARTITIONS})
        await play_singly(world, self.records[number], self.end, number)
        return world.everything(number)


@lru_cache(maxsize=HISTORIES)
def history(number: int) -> History:
    """Return one of the histories, by its number from 0.

    Examples
    --------
    >>> [len(records) for records in history(3).records] == [len(records) for records in history(3).records]
    True
    """
    random = Random(number)
    latest = START
    logs = []
    for partition in range(PARTITIONS):
        arrival = START
        records: list[LogRecord] = []
        # Most happens in one of them, most of that to one user: what one request tells, another soon contradicts.
        for offset in range(
            random.randrange(4, MOST_RECORDS + 1) if partition == number % PARTITIONS else random.randrange(3)
        ):
            arrival += random.choice((0, 1, 500, 3_000, 9_000))
            user = random.choice(USERS[partition][: random.choice((1, 1, 2, 3))])
            document: dict[str, Any] | bytes = track(
                user,
                random.choice(("Order Completed", "Order Completed", "Visited")),
                arrival - random.choice((0, 0, 0, 1, 4_000)),
                f"{partition}-{offset}",
            )
            if random.random() < 0.1:
                document = b"{"
            records.append(record(offset, arrival, document, partition=partition))
        logs.append(tuple(records))
        latest = max(latest, arrival)
    versions = [(0, FIRST)]
    if number % 4 == 3:
        versions.append((START + random.randrange(1, max(2, latest - START)), SECOND))
    return History(tuple(versions), tuple(logs), latest + 60_000)
