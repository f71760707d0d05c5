"""Which value is told most often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from segstream.core.features.base import Accumulator
from segstream.core.features.identity import digest_of, plain
from segstream.core.features.told import READERS, rank
from segstream.core.types import Value, ValueKind

if TYPE_CHECKING:
    from collections.abc import Iterable

COUNTED: Final = 100
"""Different values that are counted. As texts of 1,000 characters, the longest kept, they take 100 KB."""

Tally: TypeAlias = tuple[int, dict[int, tuple[Value, int]]]
"""How often other values were told; digest -> value and how often it was told, ascending."""


class Top(Accumulator):
    """The value told most often; of equally frequent ones the first by alphabet or size. Unknown before the first.

    Never wrong, sometimes unknown. The 100 values of the smallest digests are counted, each exactly: a value that is
    among them in the end always was. Of all others only the sum is. So up to 100 different values the answer is
    exact; with more, it is told when one was told more often than all that are not counted by themselves together,
    and else unknown. Neither depends on the order of arrival, and counts of two states add up.

    Parameters
    ----------
    room : int
        How many different values are counted.

    Notes
    -----
    Summaries that follow the frequent values (Misra-Gries, Space-Saving) are no choice here: what they keep depends
    on the order in which events arrive, and on the order in which states are merged.

    References
    ----------
    E. Cohen, H. Kaplan: Summarizing Data using Bottom-k Sketches. PODC 2007 (for why the counts are exact).

    Examples
    --------
    >>> category = Top()
    >>> state = category.zero()
    >>> for order, told in enumerate(["hats", "shoes", "shoes"]):
    ...     state = category.add(state, order, told, f"m{order}")
    >>> category.value(state, 3)
    'shoes'
    """

    __slots__ = ("room",)

    kind = ValueKind.ANY

    def __init__(self, room: int = COUNTED) -> None:
        self.room = room

    def zero(self) -> Tally:
        """Return no values."""
        return 0, {}

    def add(self, state: Tally, at: int, value: Value, tie: str) -> Tally:
        """Count the value."""
        told = READERS[ValueKind.ANY](value)
        digest = digest_of(told)
        if digest is None:
            return state
        others, counted = state
        key = int.from_bytes(digest, "big")
        if key in counted:
            return others, {**counted, key: (counted[key][0], counted[key][1] + 1)}
        if len(counted) == self.room and key > next(reversed(counted)):
            return others + 1, counted
        if type(told) is float:
            told = plain(told)
        return self._smallest(others, {**counted, key: (told, 1)})

    def merge(self, a: Tally, b: Tally) -> Tally:
        """Add the counts."""
        both = dict(a[1])
        for key, (value, count) in b[1].items():
            both[key] = (value, count + both[key][1] if key in both else count)
        return self._smallest(a[0] + b[0], both)

    def value(self, state: Tally, at: int) -> Value:
        """Return the value, if it is certain."""
        others, counted = state
        most = max((count for _, count in counted.values()), default=0)
        if most <= others:
            return None
        return _first(value for value, count in counted.values() if count == most)

    def _smallest(self, others: int, counted: dict[int, tuple[Value, int]]) -> Tally:
        ordered = sorted(counted.items())
        others += sum(count for _, (_, count) in ordered[self.room :])
        return others, dict(ordered[: self.room])


def _first(values: Iterable[Value]) -> Value:
    return min(values, key=_order)


def _order(value: Value) -> tuple[str, Value]:
    kind, told = rank(value)
    return ("number" if kind in {"int", "float"} else kind), told
