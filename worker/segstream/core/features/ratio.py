"""Sums over how many, in a window: the mean, and the share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from segstream.core.features.base import Accumulator
from segstream.core.features.fixed import PER_UNIT, Wide, amount, kept, plus, whole
from segstream.core.features.grid import Sliding
from segstream.core.time import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segstream.core.types import Scalar, Value

Part: TypeAlias = tuple[Wide, int]
"""A sum, and of how many."""

Parts: TypeAlias = tuple[Part, int, dict[int, Part]]
"""The part of all buckets; the moment the earliest of them leaves; bucket number -> its part, ascending."""


class _WindowedRatio(Sliding):
    """A sum divided by how many there are in it; unknown while the window is empty."""

    __slots__ = ("per",)

    def __init__(self, window: int, resolution: int | None, per: int) -> None:
        super().__init__(window, resolution)
        self.per = per  # what one is written as in the sums

    def zero(self) -> Parts:
        """Return no buckets."""
        return (0, 0), NEVER, {}

    def put(self, state: Parts, at: int, brought: int) -> Parts:
        """Return the state with one more in the bucket of its timestamp, late or not."""
        total, leaves, buckets = state
        bucket = at // self.resolution
        newest = next(reversed(buckets), bucket)
        if bucket <= self._out_of_reach(newest):
            return state
        after = buckets.copy()
        after[bucket] = _with(after.get(bucket, (0, 0)), brought, 1)
        if bucket < newest and bucket not in buckets:
            after = dict(sorted(after.items()))
        begun = max(bucket, newest) * self.resolution
        return self.compact((_with(total, brought, 1), min(leaves, self._leaves(bucket)), after), begun)

    def merge(self, a: Parts, b: Parts) -> Parts:
        """Add bucket by bucket."""
        if not a[2] or not b[2]:
            return a if a[2] else b
        both = dict(a[2])
        for bucket, (brought, many) in b[2].items():
            both[bucket] = _with(both.get(bucket, (0, 0)), brought, many)
        buckets = dict(sorted(both.items()))
        merged = _with(a[0], *b[0]), min(a[1], b[1]), buckets
        return self.compact(merged, next(reversed(buckets)) * self.resolution)

    def value(self, state: Parts, at: int) -> float | None:
        """Return the ratio of the buckets that have not left, correctly rounded to a float."""
        return self._ratio(*(state[0] if at < state[1] else self._rest(state, at)))

    def steps(self, state: Parts, at: int) -> Iterator[tuple[int, float | None]]:
        """Yield each moment at which a bucket leaves and the ratio is another."""
        rest, many = whole(state[0][0]), state[0][1]
        before = self.value(state, at)
        for bucket, (brought, of) in state[2].items():
            rest, many = rest - whole(brought), many - of
            leaves = self._leaves(bucket)
            if leaves > at and (after := self._ratio(rest, many)) != before:
                yield leaves, after
                before = after

    def compact(self, state: Parts, at: int) -> Parts:
        """Drop the buckets that have left; each takes away exactly what it brought."""
        if at < state[1]:
            return state
        gone = self._last_departed(at)
        remaining = {bucket: part for bucket, part in state[2].items() if bucket > gone}
        if not remaining:
            return self.zero()
        return self._rest(state, at), self._leaves(next(iter(remaining))), remaining

    def _rest(self, state: Parts, at: int) -> Part:
        """Return the part of the buckets that have not left."""
        gone = self._last_departed(at)
        rest, many = whole(state[0][0]), state[0][1]
        for bucket, (brought, of) in state[2].items():
            if bucket > gone:
                break
            rest, many = rest - whole(brought), many - of
        return kept(rest), many

    def _ratio(self, total: Wide, many: int) -> float | None:
        return whole(total) / (many * self.per) if many else None


class WindowedMean(_WindowedRatio):
    """Arithmetic mean of the numbers told in a sliding window; unknown while it is empty.

    Parameters
    ----------
    window, resolution : int
        See `Sliding`.

    Examples
    --------
    >>> from segstream.core.time import DAY
    >>> basket = WindowedMean(30 * DAY)
    >>> state = basket.add(basket.add(basket.zero(), 0, 10, "m1"), DAY, 20.5, "m2")
    >>> basket.value(state, DAY), basket.value(state, 31 * DAY), basket.value(state, 32 * DAY)
    (15.25, 20.5, None)
    """

    __slots__ = ()

    def __init__(self, window: int, resolution: int | None = None) -> None:
        super().__init__(window, resolution, PER_UNIT)

    def add(self, state: Parts, at: int, value: Value, tie: str) -> Parts:
        """Take the number in."""
        told = amount(value)
        return state if told is None else self.put(state, at, told)


class _Equals:
    """Says whether a value is one of those wanted: 3 and 3.0 are, true and 1 are not the same."""

    __slots__ = ("_wanted",)

    def __init__(self, wanted: tuple[Scalar, ...]) -> None:
        self._wanted = frozenset((type(value) is bool, value) for value in wanted)

    def __call__(self, value: Value) -> bool:
        return (type(value) is bool, value) in self._wanted


class Share(Accumulator):
    """Which part of the events holds one of the values wanted, from 0 to 1; unknown before the first event.

    An event without a value counts as one that does not hold it. The state is ``(how many hold it, how many)`` or
    ``None``.

    Parameters
    ----------
    wanted : tuple
        Texts, numbers, true or false.

    Examples
    --------
    >>> mobile = Share(("mobile", "tablet"))
    >>> state = mobile.zero()
    >>> for page, device in enumerate(["mobile", "desktop", None, "tablet"]):
    ...     state = mobile.add(state, page, device, f"m{page}")
    >>> mobile.value(state, 4)
    0.5
    """

    __slots__ = ("_holds",)

    def __init__(self, wanted: tuple[Scalar, ...]) -> None:
        self._holds = _Equals(wanted)

    def zero(self) -> None:
        """Return the unknown."""
        return

    def add(self, state: tuple[int, int] | None, at: int, value: Value, tie: str) -> tuple[int, int]:
        """Count the event."""
        held, events = state or (0, 0)
        return held + self._holds(value), events + 1

    def merge(self, a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
        """Add the counts."""
        if a is None or b is None:
            return b if a is None else a
        return a[0] + b[0], a[1] + b[1]

    def value(self, state: tuple[int, int] | None, at: int) -> float | None:
        """Return the part."""
        return None if state is None else state[0] / state[1]


class WindowedShare(_WindowedRatio):
    """Which part of the events in a sliding window holds one of the values wanted; unknown while it is empty.

    Parameters
    ----------
    window, resolution : int
        See `Sliding`.
    wanted : tuple
        See `Share`.

    Examples
    --------
    >>> from segstream.core.time import DAY
    >>> mobile = WindowedShare(30 * DAY, None, ("mobile",))
    >>> state = mobile.add(mobile.add(mobile.zero(), 0, "desktop", "m1"), DAY, "mobile", "m2")
    >>> mobile.value(state, DAY), mobile.value(state, 31 * DAY)
    (0.5, 1.0)
    """

    __slots__ = ("_holds",)

    def __init__(self, window: int, resolution: int | None, wanted: tuple[Scalar, ...]) -> None:
        super().__init__(window, resolution, 1)
        self._holds = _Equals(wanted)

    def add(self, state: Parts, at: int, value: Value, tie: str) -> Parts:
        """Count the event."""
        return self.put(state, at, int(self._holds(value)))


def _with(part: Part, brought: Wide, many: int) -> Part:
    return plus(part[0], brought), part[1] + many
