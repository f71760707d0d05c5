"""Which changes are news, which are repeats, and which are missing."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

REMEMBERED: Final = 100_000
"""Users whose last change is remembered unless told otherwise: about 25 MB."""


class Gap(NamedTuple):
    """Changes of a user that were not delivered: the topic has lost them, or kept them for too short a time.

    Parameters
    ----------
    user_id : str
    incarnation : int
        Within which they are missing.
    first, last : int
        Sequences of the first and the last one missing.
    partition, offset : int
        Of the change that was delivered in their place.
    """

    user_id: str
    incarnation: int
    first: int
    last: int
    partition: int
    offset: int


class Sequences:
    """The last change of each user, of those heard of most recently.

    Of a user who is not remembered (any more), a repeat is news and a gap is not seen.

    Parameters
    ----------
    most : int
        Users to remember at most.

    Examples
    --------
    >>> seen = Sequences()
    >>> seen.is_news(0, 10, "7", 1, 1), seen.is_news(0, 11, "7", 1, 2), seen.is_news(0, 11, "7", 1, 2)
    (True, True, False)
    >>> seen.gap(0, 12, "7", 1, 5)
    Gap(user_id='7', incarnation=1, first=3, last=4, partition=0, offset=12)
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        if most < 1:
            message = f"at least one user has to be remembered, not {most}"
            raise ValueError(message)
        self._most = most
        self._last: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._offsets: dict[int, int] = {}
        self._resumed: set[int] = set()

    def __len__(self) -> int:
        return len(self._last)

    def resume(self, partition: int) -> None:
        """Note that reading of a partition begins anew, after others may have read on."""
        self._resumed.add(partition)

    def gap(self, partition: int, offset: int, user: str, incarnation: int, sequence: int) -> Gap | None:
        """Return what is missing before a change, to be asked before `is_news`."""
        self._check(partition, offset)
        known = self._last.get(user)
        if known is None or incarnation < known[0]:
            return None
        # A new incarnation restates the answer, as its first change.
        expected = known[1] + 1 if incarnation == known[0] else 1
        if sequence <= expected:
            return None
        return Gap(user, incarnation, expected, sequence - 1, partition, offset)

    def is_news(self, partition: int, offset: int, user: str, incarnation: int, sequence: int) -> bool:
        """Tell whether a change has not been seen before, and remember it."""
        self._check(partition, offset)
        self._offsets[partition] = max(offset, self._offsets.get(partition, -1))
        known = self._last.get(user, (0, 0, 0))
        if (incarnation, sequence) <= known[:2]:
            return False
        self._last[user] = incarnation, sequence, partition
        self._last.move_to_end(user)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return True

    def _check(self, partition: int, offset: int) -> None:
        """Forget a partition whose reading goes on further ahead: another consumer has had what lies between."""
        if partition in self._resumed:
            self._resumed.discard(partition)
            if offset > self._offsets.get(partition, offset) + 1:
                for user in [user for user, known in self._last.items() if known[2] == partition]:
                    del self._last[user]
