"""What the readers ask Redis, and what they make of the replies, without asking: the readers do that.

Each query is a *plan*: a generator that yields the commands of one round trip, is sent their replies, and returns the
result. So the blocking reader and the asynchronous one differ in nothing but how they wait.

Examples
--------
>>> plan = Queries().in_segment("00042", "loyal")
>>> next(plan)
[Command(name='hexists', arguments=('segments:user:00042', 's:loyal'), options={})]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from redis.exceptions import ResponseError

from segstream_schemas import replies
from segstream_schemas.keys import ReadModelKeys
from segstream_schemas.memberships import Membership
from segstream_schemas.read_model import Answer, Catalog, FeatureValue, Member

PAGE: Final = 1_000
"""Members per round trip: under 100 KB, and well under a millisecond of Redis' time."""

CHUNK: Final = 10_000
"""Commands per round trip where there may be very many: their replies are held in memory."""


class Command(NamedTuple):
    """A command as redis-py's pipelines have it: the name of the method, and what it takes."""

    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = {}


Result = TypeVar("Result")
Plan: TypeAlias = Generator[list[Command], Any, Result]


class Queries:
    """The queries on a read model.

    Parameters
    ----------
    prefix : str
        Stands before every key (see `ReadModelKeys`).
    """

    def __init__(self, prefix: str = "") -> None:
        self.keys = ReadModelKeys(prefix)
        self._partitions = 0

    def _user(self, user: str) -> str:
        """Return the key of a user's answer.

        Of anything but text there would be one too, such as ``segments:user:b'00042'``, and nobody in it.
        """
        if not isinstance(user, str):
            raise TypeError(
                f"a user's id is a str, not {type(user).__name__}; a key from Kafka is decoded: key.decode()"
            )
        return self.keys.user(user)

    def segments_of(self, user: str) -> Plan[dict[str, Membership]]:
        """Plan what `SegmentReader.segments_of` does; so do the others here."""
        key = self._user(user)
        (found,) = yield [Command("hgetall", (key,))]
        return replies.memberships(key, replies.fields(key, found))

    def answer_of(self, user: str) -> Plan[Answer | None]:
        """Plan it."""
        key = self._user(user)
        (found,) = yield [Command("hgetall", (key,))]
        return replies.answer(user, key, replies.fields(key, found))

    def in_segment(self, user: str, segment: str) -> Plan[bool]:
        """Plan it."""
        (found,) = yield [Command("hexists", (self._user(user), replies.SEGMENT + segment))]
        return bool(found)

    def many(self, users: Iterable[str]) -> Plan[dict[str, dict[str, Membership]]]:
        """Plan it."""
        if isinstance(users, str | bytes):
            raise TypeError("many takes ids, and this is one: write [user], or segments_of(user)")
        keys = {user: self._user(user) for user in users}
        if not keys:
            return {}
        found = yield [Command("hgetall", (key,)) for key in keys.values()]
        return {
            user: replies.memberships(key, replies.fields(key, reply))
            for (user, key), reply in zip(keys.items(), found, strict=True)
        }

    def features_of(self, user: str) -> Plan[dict[str, FeatureValue]]:
        """Plan it."""
        key = self._user(user)
        (found,) = yield [Command("hgetall", (key,))]
        return replies.features(key, replies.fields(key, found))

    def catalog(self) -> Plan[Catalog]:
        """Plan it."""
        (found,) = yield [Command("hgetall", (self.keys.catalog,))]
        return replies.catalog(self.keys.catalog, replies.fields(self.keys.catalog, found))

    def size(self, segment: str) -> Plan[int]:
        """Plan it."""
        counts = yield from self._of_all_partitions(
            lambda partition: Command("zcard", (self.keys.members(segment, partition),))
        )
        return sum(counts)

    def sizes(self) -> Plan[dict[str, int]]:
        """Plan it."""
        catalog = yield from self.catalog()
        parts = [(name, partition) for name in catalog.segments for partition in range(catalog.partitions)]
        sizes = dict.fromkeys(catalog.segments, 0)
        for first in range(0, len(parts), CHUNK):
            chunk = parts[first : first + CHUNK]
            counts = yield [Command("zcard", (self.keys.members(*part),)) for part in chunk]
            for (name, _), count in zip(chunk, counts, strict=True):
                sizes[name] += count
        return sizes

    def partitions(self) -> Plan[int]:
        """Plan the reading of N."""
        (found,) = yield [Command("hget", (self.keys.catalog, "partitions"))]
        return replies.partitions(self.keys.catalog, found)

    def _of_all_partitions(self, command: Callable[[int], Command]) -> Plan[list[Any]]:
        # N is asked for every time, since a reset may change it, but in the same round trip as what it was last.
        while True:
            assumed = self._partitions
            asked = [Command("hget", (self.keys.catalog, "partitions")), *map(command, range(assumed))]
            told: list[Any] = yield asked
            number, *found = told
            self._partitions = replies.partitions(self.keys.catalog, number)
            if self._partitions == assumed:
                return found


class MemberPages:
    """The members of a segment, page by page, partition by partition, each from the earliest entry on.

    Entries come and go while one reads. So a page does not begin at a place counted from the front, but behind the
    last entry read: it is asked for from that entry on, and where it begins with a later one, entries before it have
    gone, and it is asked for from further to the front.

    Parameters
    ----------
    queries : Queries
    segment : str
    entered_since : datetime or None
        Leave out who entered before.
    page : int
        Members per round trip, from 2.

    Raises
    ------
    ValueError
        If `entered_since` has no time zone.
    """

    def __init__(
        self, queries: Queries, segment: str, entered_since: datetime | None, *, page: int = PAGE
    ) -> None:
        self._queries, self._segment, self._size = queries, segment, page
        self._since = None if entered_since is None else replies.milliseconds(entered_since)
        self._left: list[int] | None = None
        self._key = ""
        self._begin()

    def _begin(self) -> None:
        self._start: int | None = None
        self._last: tuple[float, bytes] = (-math.inf if self._since is None else self._since, b"")
        self._back = self._size

    def next(self) -> Plan[list[Member]]:
        """Plan the next page; an empty one: there are no more."""
        if self._left is None:
            number = yield from self._queries.partitions()
            self._left = list(range(number))
        while self._left:
            self._key = self._queries.keys.members(self._segment, self._left[0])
            fresh, more = yield from self._page()
            if not more:
                del self._left[0]
                self._begin()
            if fresh:
                return replies.members(self._key, fresh)
        return []

    def _page(self) -> Plan[tuple[list[tuple[bytes, float]], bool]]:
        """Plan the entries of the next page that have not been read, and whether others may follow."""
        if self._start is None:
            # One before the first that is wanted, as for every other page.
            before = 0
            if self._since is not None:
                (before,) = yield [Command("zcount", (self._key, "-inf", f"({self._since}"))]
            self._start = max(0, before - 1)
        (found,) = yield [
            Command("zrange", (self._key, self._start, self._start + self._size - 1), {"withscores": True})
        ]
        # Redis sorts what entered at one moment by the bytes of the id.
        entries = [(float(at), user if isinstance(user, bytes) else user.encode()) for user, at in found]
        if self._start and (not entries or entries[0] > self._last):
            self._start = max(0, self._start - self._back)
            self._back *= 2
            return [], True
        fresh = [entry for entry in entries if entry > self._last]
        if fresh:
            self._last = fresh[-1]
        self._start += max(0, len(entries) - 1)
        self._back = self._size
        return [(user, at) for at, user in fresh], len(entries) == self._size


@contextmanager
def clear_errors() -> Iterator[None]:
    """Say what to do where a key holds something else than the read model; other errors pass through."""
    try:
        yield
    except ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise replies.wrong_type(error) from error
        raise
