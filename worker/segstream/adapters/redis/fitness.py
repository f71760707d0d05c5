"""Whether a server can be trusted with the state: told from INFO, since managed Redis forbids CONFIG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segstream.errors import ServerError

OLDEST: Final = (6, 2)
"""``XTRIM … MINID``, with which a commit clears the outbox, came with 6.2."""


def check(info: Mapping[str, Any], address: str, *, cluster: bool = False) -> None:
    """Refuse a server that would lose or refuse the state.

    Parameters
    ----------
    info : mapping of str to Any
        Fields of INFO as redis-py reads them.
    address : str
        Host and port, without user and password.
    cluster : bool
        Whether it was asked as a node of a cluster.

    Raises
    ------
    ServerError
        It is too old, evicts keys, is a replica, or a node of a cluster where none was expected.

    Examples
    --------
    >>> check({"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "role": "master"}, "one:6379/0")
    >>> check({"redis_version": "7.2.4", "maxmemory_policy": "allkeys-lru", "role": "master"}, "one:6379/0")
    Traceback (most recent call last):
        ...
    segstream.errors.ServerError: Redis at one:6379/0: it evicts keys when memory is short (maxmemory-policy is \
allkeys-lru), users' states among them; set maxmemory-policy to noeviction, or use a Redis of its own
    """
    told = str(info.get("redis_version", ""))
    version = tuple(int(part) for part in told.split(".")[:2] if part.isdigit())
    if version and version < OLDEST:
        raise ServerError(f"Redis at {address}: it is version {told}; segstream needs 6.2 or later")
    if info.get("role", "master") != "master":
        raise ServerError(f"Redis at {address}: this is a replica; give the address of the primary")
    if info.get("cluster_enabled") and not cluster:
        raise ServerError(
            f"Redis at {address}: it is a node of a cluster; set SEGSTREAM_REDIS_CLUSTER to true"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ServerError(
            f"Redis at {address}: it evicts keys when memory is short (maxmemory-policy is {policy}), users' states "
            "among them; set maxmemory-policy to noeviction, or use a Redis of its own"
        )
