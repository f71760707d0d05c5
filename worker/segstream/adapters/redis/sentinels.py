"""Redis Sentinel: who the primary is, asked for each new connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

SENTINEL_TIMEOUT: Final = 1.0
"""Seconds for a Sentinel to answer; it has little else to do. Those that are gone with a machine cost as much each."""


class SentinelLoginError(AuthenticationError):
    """The Sentinels refuse the login."""


class Sentinels(Sentinel):
    """Redis' own way to ask, with one line on what each Sentinel said when none named a primary.

    Parameters
    ----------
    addresses : sequence of str
        ``host:port`` each.
    options : dict
        How to connect to them.
    """

    def __init__(self, addresses: Sequence[str], options: dict[str, Any]) -> None:
        pairs = [(host, int(port)) for host, _, port in (address.rpartition(":") for address in addresses)]
        timeouts = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
        super().__init__(pairs, sentinel_kwargs=options | timeouts)  # type: ignore[no-untyped-call]  # it has no types
        self.addresses = ",".join(addresses)

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the primary that the first Sentinel who knows one names.

        Raises
        ------
        MasterNotFoundError, SentinelLoginError
        """
        said: list[str] = []
        refused = False
        for number, sentinel in enumerate(self.sentinels):
            options = sentinel.connection_pool.connection_kwargs
            where = f"{options['host']}:{options['port']}"
            try:
                known: Any = await sentinel.sentinel_masters()
            except (RedisError, OSError) as error:
                refused = refused or isinstance(error, AuthenticationError | NoPermissionError)
                said.append(f"{where}: {error}".rstrip("."))
                continue
            state = known.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels[0], self.sentinels[number] = sentinel, self.sentinels[0]
                return str(state["ip"]), int(state["port"])
            others = f"knows only {', '.join(sorted(known)) or 'nobody'}"
            said.append(f"{where}: {'takes it for down' if state else others}")
        kind = SentinelLoginError if refused else MasterNotFoundError
        raise kind(f"no primary called {service_name!r} ({'; '.join(said)})")


class PrimaryPool(SentinelConnectionPool):
    """Connections to the primary, and those to the Sentinels, which are closed with them."""

    def __str__(self) -> str:
        """Return where it connects to, as errors name it."""
        return f"{self.service_name} of the Sentinels {self.sentinel_manager.addresses}"

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        """Close the connections; if all are meant, to the Sentinels too."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()
