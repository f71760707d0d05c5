"""The asynchronous reader of users' answers in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from redis.asyncio import Redis, RedisCluster, Sentinel

from segstream_schemas.memberships import Membership
from segstream_schemas.queries import Command, MemberPages, Plan, Queries, clear_errors
from segstream_schemas.read_model import Answer, Catalog, FeatureValue, Member

Result = TypeVar("Result")


class AsyncSegmentReader:
    """`SegmentReader` for asyncio: the same methods, to be awaited; `members` is an asynchronous iterator.

    Parameters
    ----------
    client : redis.asyncio.Redis or redis.asyncio.RedisCluster
        Closed by whoever made it. For Sentinel pass ``Sentinel(...).master_for(name)`` or ``slave_for``.
    prefix : str
        Stands before every key: ``SEGSTREAM_SEGMENTS_PREFIX`` of the worker.

    Raises
    ------
    ReadModelError
        From every method, where Redis holds something else than a worker writes.
    TypeError
        From methods that take a user's id, where it is no text.

    Examples
    --------
    ::

        async with AsyncSegmentReader.from_url("redis://localhost:6379/0") as reader:
            segments = await reader.segments_of("00042")
            async for member in reader.members("high_value"):
                print(member.user_id, member.since)
    """

    def __init__(self, client: Redis | RedisCluster, *, prefix: str = "") -> None:
        self._client, self._queries = client, Queries(prefix)
        self._owned: tuple[Redis | RedisCluster, ...] = ()

    @classmethod
    def from_url(cls, url: str, *, cluster: bool = False, prefix: str = "", **options: Any) -> Self:
        """Return a reader with a client of its own (see `SegmentReader.from_url`)."""
        made: Redis | RedisCluster = (
            RedisCluster.from_url(url, **options) if cluster else Redis.from_url(url, **options)
        )
        return cls._owning(made, prefix)

    @classmethod
    def from_sentinel(
        cls,
        sentinels: Sequence[tuple[str, int]],
        service: str,
        *,
        replica: bool = False,
        prefix: str = "",
        **options: Any,
    ) -> Self:
        """Return a reader of the master that Sentinels name (see `SegmentReader.from_sentinel`)."""
        found = Sentinel(list(sentinels), **options)  # type: ignore[no-untyped-call]  # as redis-py has it
        made: Redis = found.slave_for(service) if replica else found.master_for(service)
        return cls._owning(made, prefix, *found.sentinels)

    @classmethod
    def _owning(cls, client: Redis | RedisCluster, prefix: str, *others: Redis) -> Self:
        reader = cls(client, prefix=prefix)
        reader._owned = client, *others
        return reader

    async def segments_of(self, user: str) -> dict[str, Membership]:
        """Return the segments a user is in, with since when and until when; none for an unknown user."""
        return await self._run(self._queries.segments_of(user))

    async def answer_of(self, user: str) -> Answer | None:
        """Return all that is told of a user; None for an unknown one."""
        return await self._run(self._queries.answer_of(user))

    async def in_segment(self, user: str, segment: str) -> bool:
        """Tell whether a user is in a segment; not in one that does not exist."""
        return await self._run(self._queries.in_segment(user, segment))

    async def many(self, users: Iterable[str]) -> dict[str, dict[str, Membership]]:
        """Return the segments of each of these users, as `segments_of` does, in one round trip per node."""
        return await self._run(self._queries.many(users))

    async def features_of(self, user: str) -> dict[str, FeatureValue]:
        """Return a user's exposed features; none for an unknown user."""
        return await self._run(self._queries.features_of(user))

    def members(self, segment: str, *, entered_since: datetime | None = None) -> AsyncIterator[Member]:
        """Return who is in a segment, a page at a time (see `SegmentReader.members`)."""
        return self._members(MemberPages(self._queries, segment, entered_since))

    async def _members(self, pages: MemberPages) -> AsyncIterator[Member]:
        while page := await self._run(pages.next()):
            for member in page:
                yield member

    async def size(self, segment: str) -> int:
        """Return how many users are in a segment; 0 also where it does not exist (see `catalog`)."""
        return await self._run(self._queries.size(segment))

    async def sizes(self) -> dict[str, int]:
        """Return the size of every segment of the catalog, discovered ones among them."""
        return await self._run(self._queries.sizes())

    async def catalog(self) -> Catalog:
        """Return which segments there are, with labels, descriptions and groups."""
        return await self._run(self._queries.catalog())

    async def aclose(self) -> None:
        """Close the clients that `from_url` or `from_sentinel` made."""
        for client in self._owned:
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, plan: Plan[Result]) -> Result:
        replies: list[Any] | None = None
        while True:
            try:
                commands = plan.send(replies)
            except StopIteration as done:
                result: Result = done.value
                return result
            replies = await self._send(commands)

    async def _send(self, commands: Iterable[Command]) -> list[Any]:
        client: Any = self._client  # the pipelines of both clients have these methods
        with clear_errors():
            async with client.pipeline(transaction=False) as pipeline:
                for name, arguments, options in commands:
                    getattr(pipeline, name)(*arguments, **options)
                return list(await pipeline.execute())
