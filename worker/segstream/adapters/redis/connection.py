"""One client for one server or a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import hiredis
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from segstream.errors import SettingsError

Client = Redis | RedisCluster

TIMEOUT: Final = 5.0
"""Seconds to connect, and for any reply: longer than both waits of a write together (``nodes.DEADLINE``), so that those answer first."""

IDLE: Final = 30
"""Seconds after which an unused connection is asked whether it lives."""


def connect(url: str, *, cluster: bool = False, timeout: float = TIMEOUT) -> Client:
    """Return a client; it connects when first used.

    It never sends a command a second time by itself: a commit whose reply was lost may have been applied.

    Parameters
    ----------
    url : str
        ``redis://``, ``rediss://`` or ``unix://``, with user and password if need be.
    cluster : bool
        Whether it is a node of a Redis Cluster.
    timeout : float
        Seconds to connect, and to wait for any reply.

    Raises
    ------
    SettingsError
        If the URL cannot be read. It is not repeated, since it may hold a password.

    Examples
    --------
    >>> address(connect("redis://someone:secret@localhost:6380/2"))
    'localhost:6380/2'
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "health_check_interval": IDLE,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # the same replies from every version of Redis and of redis-py
        "decode_responses": False,
    }
    try:
        if cluster:
            return RedisCluster.from_url(url, **options)
        client = Redis.from_url(url, **options)
        client.connection_pool.connection_class = packing(client.connection_pool.connection_class)
    except (ValueError, TypeError, RedisError):
        raise SettingsError(
            "the Redis URL cannot be read; write redis://host:port/0, rediss://… for TLS, or unix:///path"
        ) from None
    return client


def pool_of(node_class: type[AbstractConnection], options: dict[str, Any]) -> ConnectionPool:
    """Return a pool of connections that pack quickly, for one node of a cluster."""
    return ConnectionPool(connection_class=packing(node_class), **options)


def packing(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a class of connections with which pipelines are packed by hiredis.

    redis-py's asyncio connections pack in Python, at about 2 us for each argument; hiredis takes 0.2.
    """

    class Packing(kind):  # type: ignore[valid-type, misc]  # plain, TLS or Unix: known when the URL is
        def pack_commands(self, commands: Iterable[Iterable[bytes | str | int]]) -> list[bytes]:
            # hiredis' types speak of a tuple of one.
            return [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]

    return Packing


def address(client: Client) -> str:
    """Return where a client connects to, without user and password."""
    if isinstance(client, RedisCluster):
        return ",".join(str(node.name) for node in client.nodes_manager.startup_nodes.values())
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        return f"{options['path']} (db {options.get('db', 0)})"
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0) or 0}"
