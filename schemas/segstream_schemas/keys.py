"""Names of the keys in Redis from which campaign engines read."""

from __future__ import annotations

from typing import NamedTuple


class ReadModelKeys(NamedTuple):
    """The keys of the public read model.

    Parameters
    ----------
    prefix : str
        Stands before every key, as set for the worker.

    Examples
    --------
    >>> keys = ReadModelKeys("shop:")
    >>> keys.user("00042")
    'shop:segments:user:00042'
    >>> keys.members("at_risk", 3)
    'shop:segments:members:at_risk:{3}'
    >>> ReadModelKeys().catalog
    'segments:catalog'
    """

    prefix: str = ""

    def user(self, user_id: str) -> str:
        """Return the key of a user's answer, a hash."""
        return f"{self.prefix}segments:user:{user_id}"

    def members(self, segment: str, partition: int) -> str:
        """Return the key of a segment's members in one partition, a sorted set by entry time in ms."""
        return f"{self.prefix}segments:members:{segment}:{{{partition}}}"

    @property
    def catalog(self) -> str:
        """Return the key of the list of segments, a hash."""
        return f"{self.prefix}segments:catalog"
