"""What a server can be asked to wait for."""

from __future__ import annotations

import pytest

from segstream.adapters.redis.durability import read
from segstream.errors import ServerError

AOF = {"redis_version": "7.4.1", "aof_enabled": 1}


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
    with pytest.raises(ServerError, match="disk"):
        found.check([2, [0, 0]], 0.5, "here")
