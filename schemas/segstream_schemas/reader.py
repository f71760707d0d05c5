"""The blocking reader of users' answers in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from redis import Redis
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel

from segstream_schemas.memberships import Membership
from segstream_schemas.queries import Command, MemberPages, Plan, Queries, clear_errors
from segstream_schemas.read_model import Answer, Catalog, FeatureValue, Member

Result = TypeVar("Result")


class SegmentReader:
    """Reads users' segments, and segments' users, from the Redis that a worker writes.

    It writes nothing, and may be shared by threads as its client may. What it finds trails the worker by
    milliseconds. Redis' own errors (`redis.RedisError`: not there, a wrong password) pass through.

    Parameters
    ----------
    client : redis.Redis or redis.cluster.RedisCluster
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

        with SegmentReader.from_url("redis://localhost:6379/0") as reader:
            if reader.in_segment("00042", "at_risk"):
                print(reader.segments_of("00042")["at_risk"].since)
            for member in reader.members("high_value", entered_since=yesterday):
                print(member.user_id, member.since)
    """

    def __init__(self, client: Redis | RedisCluster, *, prefix: str = "") -> None:
        self._client, self._queries = client, Queries(prefix)
        self._owned: tuple[Redis | RedisCluster, ...] = ()

    @classmethod
    def from_url(cls, url: str, *, cluster: bool = False, prefix: str = "", **options: Any) -> Self:
        """Return a reader with a client of its own, which `close` closes; it connects when first used.

        Parameters
        ----------
        url : str
            ``redis://``, ``rediss://`` or ``unix://``, with user and password if need be.
        cluster : bool
            Whether it is a node of a Redis Cluster.
        prefix : str
            As for the class.
        **options
            For the client, such as ``socket_timeout`` (seconds) or ``ssl_ca_certs``.

        Raises
        ------
        ValueError
            If the URL cannot be read.
        """
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
        """Return a reader of the master that Sentinels name, also after a failover.

        Parameters
        ----------
        sentinels : sequence of (str, int)
            Hosts and ports of the Sentinels.
        service : str
            The master's name there.
        replica : bool
            Read from its replicas instead, which may trail.
        prefix : str
            As for the class.
        **options
            For the clients, such as ``password``; ``sentinel_kwargs`` holds those for the Sentinels themselves.
        """
        found = Sentinel(list(sentinels), **options)  # type: ignore[no-untyped-call]  # as redis-py has it
        made: Redis = found.slave_for(service) if replica else found.master_for(service)  # type: ignore[no-untyped-call]  # the same
        return cls._owning(made, prefix, *found.sentinels)

    @classmethod
    def _owning(cls, client: Redis | RedisCluster, prefix: str, *others: Redis) -> Self:
        reader = cls(client, prefix=prefix)
        reader._owned = client, *others
        return reader

    def segments_of(self, user: str) -> dict[str, Membership]:
        """Return the segments a user is in, with since when and until when; none for an unknown user."""
        return self._run(self._queries.segments_of(user))

    def answer_of(self, user: str) -> Answer | None:
        """Return all that is told of a user; None for an unknown one."""
        return self._run(self._queries.answer_of(user))

    def in_segment(self, user: str, segment: str) -> bool:
        """Tell whether a user is in a segment; not in one that does not exist."""
        return self._run(self._queries.in_segment(user, segment))

    def many(self, users: Iterable[str]) -> dict[str, dict[str, Membership]]:
        """Return the segments of each of these users, as `segments_of` does, in one round trip per node."""
        return self._run(self._queries.many(users))

    def features_of(self, user: str) -> dict[str, FeatureValue]:
        """Return a user's exposed features; none for an unknown user."""
        return self._run(self._queries.features_of(user))

    def members(self, segment: str, *, entered_since: datetime | None = None) -> Iterator[Member]:
        """Return who is in a segment, a page at a time: never are all in memory.

        They come partition by partition, in each by the time of entry. Whoever is in it all the while comes once;
        who enters or leaves meanwhile may come or not.

        Parameters
        ----------
        segment : str
            Without members, also where it does not exist (see `catalog`).
        entered_since : datetime, optional
            Only who entered then or later; needs a time zone. Who entered earlier is not read.

        Raises
        ------
        ValueError
            At once, if `entered_since` has no time zone.
        """
        return self._members(MemberPages(self._queries, segment, entered_since))

    def _members(self, pages: MemberPages) -> Iterator[Member]:
        while page := self._run(pages.next()):
            yield from page

    def size(self, segment: str) -> int:
        """Return how many users are in a segment; 0 also where it does not exist (see `catalog`)."""
        return self._run(self._queries.size(segment))

    def sizes(self) -> dict[str, int]:
        """Return the size of every segment of the catalog, discovered ones among them."""
        return self._run(self._queries.sizes())

    def catalog(self) -> Catalog:
        """Return which segments there are, with labels, descriptions and groups."""
        return self._run(self._queries.catalog())

    def close(self) -> None:
        """Close the clients that `from_url` or `from_sentinel` made."""
        for client in self._owned:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, plan: Plan[Result]) -> Result:
        replies: list[Any] | None = None
        while True:
            try:
                commands = plan.send(replies)
            except StopIteration as done:
                result: Result = done.value
                return result
            replies = self._send(commands)

    def _send(self, commands: Iterable[Command]) -> list[Any]:
        client: Any = self._client  # the pipelines of both clients have these methods
        with clear_errors(), client.pipeline(transaction=False) as pipeline:
            for name, arguments, options in commands:
                getattr(pipeline, name)(*arguments, **options)
            return list(pipeline.execute())
