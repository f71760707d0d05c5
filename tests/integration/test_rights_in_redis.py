"""The user that workers and commands of this suite come into Redis as: that of `deploy/redis.acl`, whichever Redis it is."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from segstream.errors import LocalServerError
from segstream.local.redis import find_redis
from tests.deployments import Deployments
from tests.redis_users import RestrictedRedis, given, refused, worker_url
from tests.servers import unavailable

FOREIGN = (
    ("GET", "other"),
    ("SET", "other", "1"),
    ("HGETALL", "segstream"),
    ("KEYS", "test-*"),
    ("SCAN", "0"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "requirepass"),
    ("ACL", "LIST"),
    ("EVAL", "return 1", "0"),
    ("SUBSCRIBE", "news"),
    ("CLIENT", "KILL", "TYPE", "normal"),
)
"""Keys of others, and commands that a worker has no use for."""


@pytest.fixture
def server() -> Iterator[RestrictedRedis]:
    """Return a Redis of this test's own: what is refused on the shared one fails the run."""
    try:
        binary = find_redis()
    except LocalServerError as error:
        unavailable(str(error))
    with RestrictedRedis(binary=binary, durable=False, refuses=True) as own:
        yield own


async def test_what_a_deployment_runs_logs_in_as_that_user(deployments: Deployments, redis_url: str) -> None:
    """The environment of its workers and commands names the user; Redis says who that is."""
    (events,) = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("who", [events], 1)
    url = scene.environment(deployments.file("none.yaml", ""))["SEGSTREAM_REDIS"]
    assert url == worker_url(redis_url)
    if url == redis_url:
        pytest.skip("SEGSTREAM_TEST_REDIS may not make users: its workers log in as it says")
    with Redis.from_url(url, decode_responses=True) as client, Redis.from_url(redis_url) as admin:
        name = urlsplit(url).username
        assert any(entry.get("user") == name for entry in clients(client, admin)), name


def clients(client: Redis, admin: Redis) -> list[dict[str, str]]:
    """Return who is connected, once ``client`` is."""
    assert client.ping()
    found: list[dict[str, str]] = admin.client_list()
    return found


def test_that_user_may_touch_our_keys_and_commands_only(server: RestrictedRedis) -> None:
    """All else is refused, and the check at the end of the run would tell."""
    with Redis.from_url(worker_url(server.url), decode_responses=True) as client:
        assert client.hset("test-0:meta", "epoch", "1") == 1
        assert refused(server.url) == []
        for command in FOREIGN:
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)
    assert {entry["object"] for entry in refused(server.url)} >= {"other", "keys", "flushall", "eval"}


def test_the_users_outlast_a_restart(server: RestrictedRedis) -> None:
    """So a test may kill Redis under a worker."""
    server.kill()
    server.start()
    with Redis.from_url(worker_url(server.url)) as client:
        assert client.ping()


def test_a_server_given_by_its_address_gets_a_user_for_the_run(server: RestrictedRedis) -> None:
    """Under a name of its own, gone at the end; where users may not be made, workers use the address as it is."""
    bare = f"{server.url}?client_name=given"
    with given(bare), Redis.from_url(server.url, decode_responses=True) as admin:
        name = str(urlsplit(worker_url(bare)).username)
        assert name.startswith("segstream-test-")
        assert name in admin.acl_users()
        with Redis.from_url(worker_url(bare)) as client, pytest.raises(NoPermissionError):
            client.execute_command("GET", "other")
    with Redis.from_url(server.url, decode_responses=True) as admin:
        assert name not in admin.acl_users()
        assert worker_url(bare) == bare
        low = worker_url(server.url)
    with given(low):
        assert worker_url(low) == low
