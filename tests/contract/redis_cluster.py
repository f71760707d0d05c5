"""A Redis Cluster of two masters, of a test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis import Redis

from segstream.local.redis import LocalRedis

_OPTIONS: Final = {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"}
_DEADLINE: Final = 20.0


@contextmanager
def redis_cluster() -> Iterator[tuple[str, str]]:
    """Start one, and yield the URLs of its nodes, the slots divided among them."""
    with (
        LocalRedis(durable=False, options=_OPTIONS) as one,
        LocalRedis(durable=False, options=_OPTIONS) as two,
        Redis.from_url(one.url) as first,
        Redis.from_url(two.url) as second,
    ):
        first.execute_command("CLUSTER", "ADDSLOTS", *range(8192))
        second.execute_command("CLUSTER", "ADDSLOTS", *range(8192, 16384))
        first.execute_command("CLUSTER", "MEET", "127.0.0.1", two.port)
        give_up = time.monotonic() + _DEADLINE
        while not (_whole(first) and _whole(second)):
            assert time.monotonic() < give_up, "the cluster did not come together in time"
            time.sleep(0.02)
        yield one.url, two.url


def _whole(client: Any) -> bool:
    found = client.execute_command("CLUSTER", "INFO")
    if isinstance(found, dict):
        return (found["cluster_state"], found["cluster_known_nodes"]) == ("ok", "2")
    return b"cluster_state:ok" in found and b"cluster_known_nodes:2" in found
