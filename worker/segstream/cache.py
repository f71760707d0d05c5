"""Users' states kept in memory, bounded; the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

OVERHEAD: Final = 220
"""Bytes a user takes besides its id and its state: two strings' headers and an entry of the table (see tests)."""


class UserCache:
    """Encoded states of one partition's users by id, as they were last committed.

    They are kept encoded: that takes a tenth of the memory of the objects, nothing that Python's garbage collector
    would look through again and again, and reading one anew costs less than finding its forty objects in a memory
    far larger than the processor's caches. And what has not been committed can never be taken for what has.

    Parameters
    ----------
    capacity : int
        Most bytes to keep.

    Examples
    --------
    >>> cache = UserCache(capacity=2_000)
    >>> for name in "abc":
    ...     cache.put(name, bytes(500))
    >>> list(cache.states)
    ['b', 'c']
    """

    __slots__ = ("bytes", "capacity", "evicted", "states")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self.evicted = 0
        self.states: OrderedDict[str, bytes] = OrderedDict()

    def get(self, name: str) -> bytes | None:
        """Return a user's state and mark it as used, or None."""
        state = self.states.get(name)
        if state is not None:
            self.states.move_to_end(name)
        return state

    def put(self, name: str, state: bytes) -> None:
        """Keep a user's state, letting others go if there is no room."""
        before = self.states.get(name)
        self.bytes += len(state) + (OVERHEAD + len(name) if before is None else -len(before))
        self.states[name] = state
        self.states.move_to_end(name)
        while self.bytes > self.capacity and len(self.states) > 1:
            gone, dropped = self.states.popitem(last=False)
            self.bytes -= len(dropped) + OVERHEAD + len(gone)
            self.evicted += 1
