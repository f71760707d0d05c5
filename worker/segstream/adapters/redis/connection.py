"""One client for one server, for the primary that Sentinels name, or for a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import hiredis
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from segstream.access import Certificates, Password
from segstream.adapters.redis.sentinels import PrimaryPool, Sentinels
from segstream.errors import SettingsError

Client = Redis | RedisCluster

TIMEOUT: Final = 5.0
"""Seconds to connect, and for any reply: longer than both waits of a write together (``nodes.DEADLINE``), so that those answer first."""

IDLE: Final = 30
"""Seconds after which an unused connection is asked whether it lives."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is and how to get in. Blind to the environment: `segstream.app` fills it.

    Parameters
    ----------
    url : str
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user and password if need be. With ``sentinels`` its
        host and port do not count.
    username, password : str and Password, optional
        Where the URL has none. A password's file is read for each new connection.
    certificates : Certificates
        For ``rediss://``; for the Sentinels too.
    cluster : bool
        Whether the URL is a node of a Redis Cluster.
    sentinels : tuple of str
        Sentinels as ``host:port``.
    service : str
        What the Sentinels call the primary.
    sentinel_username, sentinel_password : str and Password, optional
        The Sentinels' own login.
    timeout : float
        Seconds to connect, and to wait for any reply.
    """

    url: str = field(repr=False)
    username: str | None = None
    password: Password = field(default_factory=Password)
    certificates: Certificates = field(default_factory=Certificates)
    cluster: bool = False
    sentinels: tuple[str, ...] = ()
    service: str = "mymaster"
    sentinel_username: str | None = None
    sentinel_password: Password = field(default_factory=Password)
    timeout: float = TIMEOUT


class Login(CredentialProvider):
    """User and password for each new connection, the password read anew.

    Parameters
    ----------
    username : str or None
    password : Password
    """

    def __init__(self, username: str | None, password: Password) -> None:
        self._username, self._password = username, password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes."""
        password = self._password.read() or ""
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same: a small file takes microseconds."""
        return self.get_credentials()


def connect(where: RedisSettings | str) -> Client:
    """Return a client; it connects when first used.

    It never sends a command a second time by itself: a commit whose reply was lost may have been applied.

    Parameters
    ----------
    where : RedisSettings or str
        A text is the URL of one server.

    Raises
    ------
    SettingsError
        If the URL cannot be read. It is not repeated, since it may hold a password.

    Examples
    --------
    >>> address(connect("redis://someone:secret@localhost:6380/2"))
    'localhost:6380/2'
    >>> address(connect(RedisSettings("redis://", sentinels=("one:26379", "two:26379"))))
    'mymaster of the Sentinels one:26379,two:26379'
    """
    settings = RedisSettings(where) if isinstance(where, str) else where
    options: dict[str, Any] = {
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "health_check_interval": IDLE,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # the same replies from every version of Redis and of redis-py
        "decode_responses": False,
    }
    try:
        scheme, url = urlsplit(settings.url).scheme, settings.url
        if scheme != "unix":
            options["socket_keepalive"] = True
        if scheme == "rediss":
            options |= _tls(settings.certificates)
        if settings.username or settings.password:
            url, options["credential_provider"] = _login(settings)
        if settings.sentinels:
            return _by_sentinels(settings, url, options)
        if settings.cluster:
            return _own_cluster(RedisCluster.from_url(url, **options))
        client = Redis.from_url(url, **options)
        client.connection_pool.connection_class = own(client.connection_pool.connection_class)
    except (ValueError, TypeError, RedisError):
        raise SettingsError(
            "the Redis URL cannot be read; write redis://host:port/0, rediss://… for TLS, or unix:///path"
        ) from None
    return client


def _tls(certificates: Certificates) -> dict[str, Any]:
    names = {"ssl_ca_certs": "ca_file", "ssl_certfile": "cert_file", "ssl_keyfile": "key_file"}
    return {
        option: str(path)
        for option, name in names.items()
        if (path := getattr(certificates, name)) is not None
    }


def _login(settings: RedisSettings) -> tuple[str, Login]:
    """Return the URL without a login, and the login."""
    parts = urlsplit(settings.url)
    username = settings.username or (unquote(parts.username) if parts.username else None)
    password = settings.password or Password(unquote(parts.password) if parts.password else None)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare), Login(username, password)


def _by_sentinels(settings: RedisSettings, url: str, options: dict[str, Any]) -> Redis:
    asking: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if name.startswith("ssl_") or name in ("retry", "protocol", "socket_keepalive", "decode_responses")
    }
    parsed: dict[str, Any] = {**parse_url(url)}
    encrypted = parsed.pop("connection_class", None) is SSLConnection
    if encrypted:
        asking["ssl"] = True
    if settings.sentinel_password:
        asking["credential_provider"] = Login(settings.sentinel_username, settings.sentinel_password)
    sentinels = Sentinels(settings.sentinels, asking)
    for each in sentinels.sentinels:
        each.connection_pool.connection_class = own(each.connection_pool.connection_class)
    for name in ("host", "port"):
        parsed.pop(name, None)
    kind = own(SentinelManagedSSLConnection if encrypted else SentinelManagedConnection)
    pool = PrimaryPool(settings.service, sentinels, connection_class=kind, **(parsed | options))  # type: ignore[no-untyped-call]  # it has no types
    return Redis.from_pool(pool)


def pool_of(node_class: type[AbstractConnection], options: dict[str, Any]) -> ConnectionPool:
    """Return a pool of our own connections, for one node of a cluster."""
    return ConnectionPool(connection_class=own(node_class), **options)


def own(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a class of connections that pack pipelines by hiredis, and look at their certificates' files anew.

    redis-py's asyncio connections pack in Python, at about 2 us for each argument; hiredis takes 0.2. And they would
    read the files once, however often they connect.
    """

    class Own(kind):  # type: ignore[valid-type, misc]  # plain, TLS or Unix: known when the URL is
        def pack_commands(self, commands: Iterable[Iterable[bytes | str | int]]) -> list[bytes]:
            # hiredis' types speak of a tuple of one.
            return [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]

        def _connection_arguments(self) -> Mapping[str, Any]:
            if isinstance(self, SSLConnection):
                self.ssl_context.context = None
            found: Mapping[str, Any] = super()._connection_arguments()
            return found

    return Own


def _own_cluster(client: RedisCluster) -> RedisCluster:
    """Make such connections of those by which a client asks for the cluster's layout."""
    nodes = client.nodes_manager
    nodes.connection_kwargs["connection_class"] = own(nodes.connection_kwargs["connection_class"])
    for node in nodes.startup_nodes.values():
        node.connection_class = nodes.connection_kwargs["connection_class"]
    return client


def address(client: Client) -> str:
    """Return where a client connects to, without user and password."""
    if isinstance(client, RedisCluster):
        return ",".join(str(node.name) for node in client.nodes_manager.startup_nodes.values())
    if isinstance(client.connection_pool, PrimaryPool):
        return str(client.connection_pool)
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        return f"{options['path']} (db {options.get('db', 0)})"
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0) or 0}"
