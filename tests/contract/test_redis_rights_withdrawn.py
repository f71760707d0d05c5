"""A right is taken away from the worker's user while workers run, and given back: nothing is half done.

Redis does not undo the first half of a script that is refused a command in the middle. Each script that writes is run
without each command that it uses, on a real Redis as the user of ``deploy/redis.acl``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from redis.asyncio import Redis

import segstream.adapters.redis
from segstream.adapters.redis.connection import connect
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.models import KEPT, RedisModels
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.rebuilds import RedisRebuilds
from segstream.adapters.redis.state import RedisStateStore
from segstream.errors import ServerError
from segstream.local.redis import find_redis
from segstream.ports import NOTHING_TOLD, Commit, Meta, OutboxEntry, View
from segstream.views import encode
from tests.redis_users import RestrictedRedis, redis_version, worker_url
from tests.servers import need_own_redis

pytestmark = pytest.mark.integration

LUA: Final = Path(next(iter(segstream.adapters.redis.__path__))) / "lua"
STATE: Final = "test-segstream"
PUBLIC: Final = "test-"
KEYS: Final = PartitionKeys(STATE, 3)
EMPTY: Final = View("7", 1, 1, 1, 0, 1, {}, {}, {}, {}, [])
NEVER_COMMITTED: Final = 9
KNOWN_SERVERS: Final = 300
"""More than are remembered, so that some are forgotten."""
RANDOM: Final = {b"owner", b"owners"}
"""Fields that differ from run to run."""

Act = Callable[[], Awaitable[object]]
Prepare = Callable[[Redis, Any], Awaitable[Act]]


@pytest.fixture(scope="module")
def server(redis_url: str) -> Iterator[RestrictedRedis]:  # noqa: ARG001 - skips where there is no Redis at all
    """Return a Redis of this module's own, which can be asked for its rights: rights are taken away on it."""
    need_own_redis()
    if redis_version(find_redis()) < (7,):
        pytest.skip("a script cannot ask for its rights before Redis 7; deploy/access.md says so")
    with RestrictedRedis(durable=False, refuses=True) as own:
        yield own


class Site(NamedTuple):
    """A Redis with nothing in it: clients with a worker's rights and with all."""

    worker: Redis
    admin: Any

    @asynccontextmanager
    async def without(self, command: str) -> AsyncIterator[None]:
        """Take one right away for as long as the block runs."""
        await self.admin.execute_command("ACL", "SETUSER", "segstream", f"-{command.lower()}")
        try:
            yield
        finally:
            await self.admin.execute_command("ACL", "SETUSER", "segstream", f"+{command.lower()}")

    async def held(self, part: str = "") -> dict[bytes, object]:
        """Return what keys with ``part`` in their names hold, and whether each has an end."""
        found: dict[bytes, object] = {}
        for key in sorted(await self.admin.keys(f"*{part}*")):
            found[key] = (await _content(self.admin, key), await self.admin.pttl(key) > 0)
        return found


async def _content(admin: Any, key: bytes) -> object:
    kind = await admin.type(key)
    if kind == b"hash":
        return {name: value for name, value in (await admin.hgetall(key)).items() if name not in RANDOM}
    if kind == b"zset":
        return await admin.zrange(key, 0, -1, withscores=True)
    return await admin.xrange(key) if kind == b"stream" else await admin.get(key)


@pytest.fixture
async def site(server: RestrictedRedis) -> AsyncIterator[Site]:
    """Return the server, emptied."""
    worker, admin = connect(worker_url(server.url)), Redis.from_url(server.url)
    assert isinstance(worker, Redis)
    try:
        await admin.flushall()
        yield Site(worker, admin)
    finally:
        await worker.aclose()
        await admin.aclose()


async def _commit(worker: Redis, _admin: Any) -> Act:
    store = RedisStateStore(worker, 3, STATE)
    await store.take_over(NOTHING_TOLD)
    users = ["a", "b", "c"]
    first = Meta(revision=1, sequence=2)
    entries = [OutboxEntry(1, b"one"), OutboxEntry(2, b"two")]
    await store.commit(Commit(first, dict.fromkeys(users, b"1"), {"a": 5, "b": 6, "c": 7}, users, entries))
    second = Commit(
        Meta(revision=2, sequence=3, offsets={"events": 8}),
        {"a": b"2", "d": b"2"},
        {"a": 9, "b": 2**63 - 1, "d": 8},
        ["d"],
        [OutboxEntry(3, b"three")],
        published=1,
        departures=["c"],
    )
    return lambda: store.commit(second)


async def _take_over(worker: Redis, admin: Any) -> Act:
    await (await _commit(worker, admin))()
    await admin.xadd(KEYS.outbox, {"e": b"never"}, id=f"{NEVER_COMMITTED}-0")
    return lambda: RedisStateStore(worker, 3, STATE).take_over(NOTHING_TOLD)


async def _renew(worker: Redis, admin: Any) -> Act:
    await (await _commit(worker, admin))()
    store = RedisStateStore(worker, 3, STATE)
    await store.take_over(NOTHING_TOLD)
    return lambda: store.renew(Meta(incarnation=6, revision=3, sequence=3))


async def _views(worker: Redis, _admin: Any) -> Act:
    epoch = (await RedisStateStore(worker, 3, STATE).take_over(NOTHING_TOLD)).meta.epoch
    model = RedisReadModel(worker, PUBLIC, STATE)
    stays = EMPTY._replace(segments={"new": (5, None)}, entered={"new": 5})
    await model.write(3, epoch, [encode(stays), encode(stays._replace(user="8"))])
    gone = EMPTY._replace(partition_sequence=2, left=["new"])
    moved = stays._replace(
        user="8", partition_sequence=2, segments={"old": (6, None)}, entered={"old": 6}, left=["new"]
    )
    return lambda: model.write(3, epoch, [encode(gone), encode(moved)])


async def _catalog(worker: Redis, _admin: Any) -> Act:
    model = RedisReadModel(worker, PUBLIC, STATE)
    await model.describe({"s:new": "{}", "s:gone": "{}"}, 1)
    return lambda: model.describe({"s:new": "{}"}, 2)


async def _offer(worker: Redis, _admin: Any) -> Act:
    models = RedisModels(worker, STATE)
    epoch = (await models.take_over("m")).epoch
    await models.offer("m", epoch, 1, "first", "1")
    return lambda: models.offer("m", epoch, 1 + KEPT, "next", "2")


async def _train(worker: Redis, admin: Any) -> Act:
    await (await _offer(worker, admin))()
    return lambda: RedisModels(worker, STATE).take_over("m")


async def _watch(worker: Redis, admin: Any) -> Act:
    strangers = {f"node:{number:040x}": number for number in range(KNOWN_SERVERS)}
    await admin.hset(f"{STATE}:rebuild", mapping=strangers)
    return RedisRebuilds(worker, STATE, now=lambda: 1_000).watch


SCRIPTS: Final[dict[str, tuple[Prepare, str]]] = {
    "commit": (_commit, "{3}"),
    "take_over": (_take_over, "{3}"),
    "renew": (_renew, "{3}"),
    "members": (_views, "members"),
    "answers": (_views, "user"),
    "catalog": (_catalog, "catalog"),
    "model_save": (_offer, "models"),
    "model_take_over": (_train, "models"),
    "rebuild_watch": (_watch, "rebuild"),
}
"""By script: what makes it run, and what is in the names of the keys that it writes."""

ONE_WRITE: Final = {"definitions_append"}
"""Its one write is the last thing it does."""


def commands(name: str) -> set[str]:
    """Return what a script may give."""
    return set(re.findall(r"(?:redis\.p?call|\ball)\('([A-Z]+)'", (LUA / f"{name}.lua").read_text("utf-8")))


WRITES: Final = {
    "HSET",
    "HDEL",
    "HINCRBY",
    "MSET",
    "XADD",
    "XTRIM",
    "ZADD",
    "ZREM",
    "UNLINK",
    "DEL",
    "PEXPIRE",
}


def test_no_script_that_writes_is_left_out() -> None:
    """But for the one that tries all commands on keys of no meaning."""
    names = {file.stem for file in LUA.glob("*.lua") if commands(file.stem) & WRITES}
    assert names == SCRIPTS.keys() | ONE_WRITE | {"rights"}


async def test_what_is_asked_for_is_a_whole_command(site: Site) -> None:
    """Redis 7.0 does not count the arguments of a command that it is asked about; later versions do."""
    asked = [
        (words[0].strip("'"), len(words))
        for name in SCRIPTS
        for call in re.findall(r"forbidden\((.*?)\)", (LUA / f"{name}.lua").read_text("utf-8"))
        if (words := call.split(", "))
    ]
    assert len(asked) > len(SCRIPTS)
    for command, count in asked:
        (found,) = (await site.admin.execute_command("COMMAND", "INFO", command)).values()
        arity = int(found["arity"])
        assert count == arity or count >= -arity > 0, command


@pytest.mark.parametrize(
    ("name", "command"), [(name, word) for name in SCRIPTS for word in sorted(commands(name))]
)
async def test_a_script_that_lacks_a_right_does_nothing_and_with_it_everything(
    site: Site, name: str, command: str
) -> None:
    """The error says what to grant; once that is granted the same call comes to what it would have come to."""
    prepare, part = SCRIPTS[name]
    act = await prepare(site.worker, site.admin)
    before = await site.held(part)
    async with site.without(command):
        with pytest.raises(ServerError, match="Rights in Redis"):
            await act()
    assert await site.held(part) == before
    await act()
    healed = await site.held(part)
    await site.admin.flushall()
    again = await prepare(site.worker, site.admin)
    await again()
    assert healed == await site.held(part)
    assert healed != before
