"""Redis and its twin in memory behind one face, so that a contract test runs over both."""

# ruff: noqa: D102 - the methods are documented once, in the protocol.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from redis.asyncio import Redis

from segstream.adapters.memory.definitions import MemoryDefinitions
from segstream.adapters.memory.listings import MemoryMemberLists
from segstream.adapters.memory.look import MemoryLook
from segstream.adapters.memory.models import MemoryModels
from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.rebuilds import MemoryRebuilds
from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.memory.state import MemoryStateStore, partition_of
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.listings import RedisMemberLists
from segstream.adapters.redis.look import Look
from segstream.adapters.redis.models import RedisModels
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.rebuilds import RedisRebuilds
from segstream.adapters.redis.state import RedisStateStore
from segstream.core.time import DAY
from segstream.ports import (
    DefinitionsLog,
    MemberLists,
    ModelStore,
    ReadModel,
    Rebuilds,
    StateReader,
    StateStore,
)
from segstream_schemas.keys import ReadModelKeys


class Backend(Protocol):
    """A server: new stores over it, what readers find on it, and ways to make it forget."""

    def state(self, partition: int = 3) -> StateStore:
        """Return a new owner's store of a partition."""
        ...

    def read_model(self) -> ReadModel:
        """Return a new writer of the public answers."""
        ...

    def definitions(self) -> DefinitionsLog:
        """Return a new client of the definitions."""
        ...

    def models(self) -> ModelStore:
        """Return a new client of the models."""
        ...

    def lists(self) -> MemberLists:
        """Return a new look at the lists of members."""
        ...

    def rebuilds(self) -> Rebuilds:
        """Return a new client of the requests to rebuild."""
        ...

    def reader(self) -> StateReader:
        """Return a new look at the state of all partitions."""
        ...

    async def server_changes(self) -> None:
        """Let the server become another, as after a failover."""
        ...

    async def answer(self, user: str) -> Mapping[str, str]:
        """Return what a reader finds about a user."""
        ...

    async def members(self, segment: str, partition: int) -> Mapping[str, int]:
        """Return what a reader finds in a list of members, in its order."""
        ...

    async def catalog(self) -> Mapping[str, str]:
        """Return what a reader finds in the catalog."""
        ...

    async def forget_meta(self, partition: int, **values: int) -> None:
        """Put older numbers into a partition's meta, as an old backup would."""
        ...

    async def a_day_passes(self, user: str) -> bool:
        """Let a day pass over a user's answer; tell whether that was its end."""
        ...


class InMemory:
    """The twin."""

    def __init__(self) -> None:
        self.time = 0
        self.server = MemoryRedis(lambda: self.time)

    def state(self, partition: int = 3) -> StateStore:
        return MemoryStateStore(self.server, partition)

    def read_model(self) -> ReadModel:
        return MemoryReadModel(self.server)

    def definitions(self) -> DefinitionsLog:
        return MemoryDefinitions(self.server)

    def models(self) -> ModelStore:
        return MemoryModels(self.server)

    def lists(self) -> MemberLists:
        return MemoryMemberLists(self.server)

    def rebuilds(self) -> Rebuilds:
        return MemoryRebuilds(self.server)

    def reader(self) -> StateReader:
        return MemoryLook(self.server)

    async def server_changes(self) -> None:
        self.server.replication_id = "another"

    async def answer(self, user: str) -> Mapping[str, str]:
        return MemoryReadModel(self.server).answer(user)

    async def members(self, segment: str, partition: int) -> Mapping[str, int]:
        return MemoryReadModel(self.server).members(segment, partition)

    async def catalog(self) -> Mapping[str, str]:
        return MemoryReadModel(self.server).catalog()

    async def forget_meta(self, partition: int, **values: int) -> None:
        meta = partition_of(self.server, "segstream", partition).meta
        for name, value in values.items():
            setattr(meta, name, value)

    async def a_day_passes(self, user: str) -> bool:
        there = bool(await self.answer(user))
        self.time += DAY
        return there and not await self.answer(user)


class OnRedis:
    """The real one."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.client, self.public, self.private = client, prefix, prefix + "segstream"
        self.keys = ReadModelKeys(prefix)

    def state(self, partition: int = 3) -> StateStore:
        return RedisStateStore(self.client, partition, self.private)

    def read_model(self) -> ReadModel:
        return RedisReadModel(self.client, self.public, self.private)

    def definitions(self) -> DefinitionsLog:
        return RedisDefinitions(self.client, self.private)

    def models(self) -> ModelStore:
        return RedisModels(self.client, self.private)

    def lists(self) -> MemberLists:
        return RedisMemberLists(self.client, self.public, self.private)

    def rebuilds(self) -> Rebuilds:
        return RedisRebuilds(self.client, self.private)

    def reader(self) -> StateReader:
        return Look(self.client, self.private)

    async def server_changes(self) -> None:
        # A server that is shared with other tests stays as it is; that nobody knows it comes to the same.
        client: Any = self.client
        key = f"{self.private}:rebuild"
        fields = [name.decode() for name in await client.hkeys(key)]
        await client.hdel(key, *[name for name in fields if name.startswith("node:")])

    async def _hash(self, key: str) -> dict[str, str]:
        client: Any = self.client  # redis-py types a reply as maybe awaitable, maybe not
        return {name.decode(): value.decode() for name, value in (await client.hgetall(key)).items()}

    async def answer(self, user: str) -> Mapping[str, str]:
        return await self._hash(self.keys.user(user))

    async def members(self, segment: str, partition: int) -> Mapping[str, int]:
        client: Any = self.client
        found = await client.zrange(self.keys.members(segment, partition), 0, -1, withscores=True)
        return {user.decode(): int(at) for user, at in found}

    async def catalog(self) -> Mapping[str, str]:
        return await self._hash(self.keys.catalog)

    async def forget_meta(self, partition: int, **values: int) -> None:
        client: Any = self.client
        await client.hset(PartitionKeys(self.private, partition).meta, mapping=values)

    async def a_day_passes(self, user: str) -> bool:
        # -1 is a key without an end. What is left of the day is told, not waited for.
        left = await self.client.pttl(self.keys.user(user))
        return bool(0 < left <= DAY)
