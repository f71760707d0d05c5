"""A wrong ACL file is loaded into Redis while a worker works, and the right one again: nothing is lost, nothing stands still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from redis import Redis

from segstream.errors import LocalServerError
from segstream.local.ports import free_port
from segstream.local.redis import find_redis
from tests.checker import check_everywhere, stories
from tests.conftest import Topics
from tests.deployments import SHOP, Deployments, orders
from tests.health import is_ready, until
from tests.operations import segstream
from tests.redis_users import RestrictedRedis, redis_version
from tests.servers import unavailable
from tests.workers import Worker, applied, send

PATIENCE: Final = 60
PORTION: Final = 300
RIGHTS: Final = ("hset", "mset", "zadd", "xadd", "del")
"""The first of what a commit writes, three that come later, and one of the answers' alone."""


@pytest.fixture
def server() -> Iterator[RestrictedRedis]:
    """Return a Redis of this test's own."""
    try:
        binary = find_redis()
    except LocalServerError as error:
        unavailable(str(error))
    if redis_version(binary) < (7,):
        pytest.skip("a script cannot ask for its rights before Redis 7; deploy/access.md says so")
    with RestrictedRedis(binary=binary, durable=False, refuses=True) as own:
        yield own


@pytest.mark.long
async def test_rights_that_are_taken_away_and_given_back_cost_nothing_but_time(
    server: RestrictedRedis, topics: Topics, tmp_path: Path
) -> None:
    """One after another, under load; the worker says what to grant, then applies all of it, and a recount finds no difference."""
    deployments = Deployments(topics, server.url, tmp_path)
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("rights", [events], 2)
    port, sent = free_port(), 0
    environment = scene.environment(deployments.file("shop.yaml", SHOP), web_port=port, batch=50)
    with Redis.from_url(server.url) as admin, Worker(environment) as worker:
        for right in RIGHTS:
            await send(scene, orders(PORTION, seed=sent, first=sent))
            await until(port, worker, is_ready)
            admin.execute_command("ACL", "SETUSER", "segstream", f"-{right}")
            await send(scene, orders(PORTION, seed=sent + PORTION, first=sent + PORTION))
            sent += 2 * PORTION
            await until(port, worker, lambda said: "Rights in Redis" in said.why())
            admin.execute_command("ACL", "SETUSER", "segstream", f"+{right}")
            await applied(scene, [worker], PATIENCE)
        await until(port, worker, is_ready)
        assert await asyncio.to_thread(worker.stop) == 0
    told = await stories(scene)
    assert await check_everywhere(scene, told)
    ran = await segstream(environment, "verify", "--json", seconds=PATIENCE)
    assert ran.err == ""
    found = json.loads(ran.out)
    assert (ran.code, found["equal"], found["differences"]) == (0, True, [])
    assert found["total"]["events"] > 0
    incarnations = {change["incarnation"] for changes in told.values() for change in changes}
    assert incarnations == {1}
