"""Users kept in memory, bounded; the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from segstream.core.user import User

BASE_BYTES: Final = 1_200
PER_BYTE: Final = 10
"""A decoded user takes at most 1.2 kB and ten times its encoded length, as a test measures: small integers, which
windows are full of, take one byte in msgpack and 32 in memory."""


class UserCache:
    """Users of one partition by id.

    Parameters
    ----------
    capacity : int
        Most bytes to keep, estimated from the encoded size of each user.

    Examples
    --------
    >>> from segstream.core.user import User
    >>> cache = UserCache(capacity=15_000)
    >>> for name in "abc":
    ...     cache.put(User(name, (), 1, 1), 500)
    >>> sorted(cache.users)
    ['b', 'c']
    """

    __slots__ = ("_sizes", "bytes", "capacity", "evicted", "users")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self.evicted = 0
        self.users: OrderedDict[str, User] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def get(self, name: str) -> User | None:
        """Return a user and mark it as used, or None."""
        user = self.users.get(name)
        if user is not None:
            self.users.move_to_end(name)
        return user

    def put(self, user: User, encoded: int) -> None:
        """Keep a user whose encoded state has ``encoded`` bytes, letting others go if there is no room."""
        size = BASE_BYTES + PER_BYTE * encoded
        self.bytes += size - self._sizes.get(user.name, 0)
        self._sizes[user.name] = size
        self.users[user.name] = user
        self.users.move_to_end(user.name)
        while self.bytes > self.capacity and len(self.users) > 1:
            name, _ = self.users.popitem(last=False)
            self.bytes -= self._sizes.pop(name)
            self.evicted += 1
