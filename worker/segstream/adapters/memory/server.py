"""What the twins of Redis share: a server's memory, which tests can look at, wind back or cut off."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NewType, TypeVar

from segstream.errors import ServerError

Snapshot = NewType("Snapshot", dict[str, Any])
T = TypeVar("T")


class MemoryRedis:
    """A server's memory: values by key. Several stores over one server fight as several workers over one Redis.

    Parameters
    ----------
    now : callable, optional
        The server's clock in ms, by which tombstones expire; without one it stands still.

    Examples
    --------
    >>> server = MemoryRedis()
    >>> server.value("greeted", list).append("world")
    >>> before = server.snapshot()
    >>> server.value("greeted", list).append("moon")
    >>> server.restore(before)
    >>> server.value("greeted", list)
    ['world']
    """

    def __init__(self, now: Callable[[], int] = lambda: 0) -> None:
        self.now = now
        self.reachable = True
        """Set to False, every call raises ``ServerError`` and changes nothing."""
        self.replication_id = "one"
        """Set to another text, it is as if a replica had taken this server's place."""
        self._values: dict[str, Any] = {}

    def value(self, key: str, kind: Callable[[], T]) -> T:
        """Return what is at ``key``, made by ``kind`` if nothing is.

        Raises
        ------
        ServerError
            While the server is not reachable.
        """
        if not self.reachable:
            raise ServerError("Redis in memory: connection refused; set reachable")
        if key not in self._values:
            self._values[key] = kind()
        found: T = self._values[key]
        return found

    def snapshot(self) -> Snapshot:
        """Return a copy of everything, for ``restore``."""
        return Snapshot(deepcopy(self._values))

    def restore(self, snapshot: Snapshot) -> None:
        """Forget everything since ``snapshot``, as a Redis that lost its tail."""
        self._values = deepcopy(dict(snapshot))
