"""What a server can be asked to wait for."""

from __future__ import annotations

import pytest

from segstream.adapters.redis.durability import read
from segstream.errors import ServerError

AOF = {"redis_version": "7.4.3", "aof_enabled": 1}


def test_replicas_that_are_not_online_are_not_waited_for() -> None:
    """One that still copies cannot confirm."""
    found = read(
        {"redis_version": "8.0.0", "slave0": {"state": "online"}, "slave1": {"state": "wait_bgsave"}}
    )
    assert found.waits(2.0) == [["WAIT", 1, 2000]]
    assert found.promised


def test_an_old_redis_with_a_file_warns_of_the_last_second() -> None:
    """WAITAOF came with 7.2."""
    found = read({"redis_version": "7.0.15", "aof_enabled": 1})
    assert (found.waits(2.0), found.promised) == ([], False)
    assert "last second" in found.text


def test_both_ways_of_keeping_are_waited_for() -> None:
    """A restart before a failover would lose what only replicas have, and the other way round."""
    found = read({**AOF, "slave0": {"state": "online"}, "slave1": {"state": "online"}})
    assert found.waits(0.5) == [["WAIT", 2, 500], ["WAITAOF", 1, 0, 500]]
    assert found.text == "a write counts once 2 replicas and its append-only file have it"
    found.check([2, [1, 0]], 0.5, "here")
    with pytest.raises(ServerError, match="replicas"):
        found.check([1, [1, 0]], 0.5, "here")
    with pytest.raises(ServerError, match="disk, and that appendfsync"):
        found.check([2, [0, 0]], 0.5, "here")


@pytest.mark.parametrize(
    "versions",
    [
        {"redis_version": "7.4.0"},
        {"redis_version": "7.4.2"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.1"},
    ],
)
def test_a_server_that_answers_before_it_has_synced_warns_of_the_last_second(
    versions: dict[str, str],
) -> None:
    """It is asked all the same: with appendfsync always it is right."""
    found = read({**versions, "aof_enabled": 1})
    assert (found.waits(2.0), found.promised) == ([["WAITAOF", 1, 0, 2000]], False)
    name = f"Valkey {versions.get('valkey_version')}" if "valkey_version" in versions else "Redis 7.4."
    assert found.text.startswith(name)
    assert "last second" in found.text
    replicated = read({**versions, "aof_enabled": 1, "slave0": {"state": "online"}})
    assert (replicated.text, replicated.promised) == ("a write counts once 1 replica has it", True)


@pytest.mark.parametrize(
    "versions",
    [
        {"redis_version": "7.2.6"},
        {"redis_version": "7.4.3"},
        {"redis_version": "8.0.2"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.5"},
    ],
)
def test_a_server_that_answers_once_it_has_synced_promises(versions: dict[str, str]) -> None:
    """That of Redis 7.4 is fixed since 7.4.3; 7.2 and what branched off from it never had it."""
    found = read({**versions, "aof_enabled": 1})
    assert (found.text, found.promised) == ("a write counts once its append-only file has it", True)
