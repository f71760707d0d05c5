"""How many different values: the smallest digests say it, exactly while they are few."""

from __future__ import annotations

from bisect import insort
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from segstream.core.features.base import Accumulator
from segstream.core.features.grid import Sliding
from segstream.core.features.identity import DIGEST, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segstream.core.types import Value

EXACT: Final = 256
"""Up to so many different values are counted exactly. The standard error beyond is 1 / sqrt(EXACT - 1), 6.3 %."""

_SPACE: Final = 1 << (8 * DIGEST)


def estimate(kept: int, largest: bytes, exact: int = EXACT) -> int:
    """Return how many different values there are.

    Parameters
    ----------
    kept : int
        Digests kept: one more than are exact, to see that there are more.
    largest : bytes
        The largest of them.
    exact : int
        Up to how many different values are counted exactly.

    Examples
    --------
    >>> estimate(3, b"whatever"), estimate(257, (1 << 63).to_bytes(8, "big"))
    (3, 512)
    """
    if kept <= exact:
        return kept
    return max(kept, round(exact * _SPACE / max(int.from_bytes(largest, "big"), 1)))


class Distinct(Accumulator):
    """Number of different values; 0 before the first. 3 and 3.0 are the same value.

    Exact up to 256 different values. Beyond, the 257 smallest of the values' digests are kept: were the digests of n
    values spread evenly over 0 to 1, the 257th smallest would lie at about 257 / n, so that n is estimated as
    256 / the 257th smallest. That is free of bias, with a standard error of 6.3 %. The smallest digests of a set do
    not depend on the order of arrival, and those of two sets together are among the smallest of each.

    The state is the digests, ascending, end to end: 2 KB at most.

    Parameters
    ----------
    exact : int
        Up to how many different values are counted exactly.

    References
    ----------
    Z. Bar-Yossef, T. S. Jayram, R. Kumar, D. Sivakumar, L. Trevisan: Counting Distinct Elements in a Data Stream.
    RANDOM 2002.

    K. Beyer, P. J. Haas, B. Reinwald, Y. Sismanis, R. Gemulla: On Synopses for Distinct-Value Estimation Under
    Multiset Operations. SIGMOD 2007.

    Examples
    --------
    >>> categories = Distinct()
    >>> state = categories.zero()
    >>> for order, category in enumerate(["shoes", "hats", "shoes"]):
    ...     state = categories.add(state, order, category, f"m{order}")
    >>> categories.value(state, 3)
    2
    """

    __slots__ = ("exact", "kept")

    def __init__(self, exact: int = EXACT) -> None:
        self.exact = exact
        self.kept = exact + 1

    def zero(self) -> bytes:
        """Return no digests."""
        return b""

    def add(self, state: bytes, at: int, value: Value, tie: str) -> bytes:
        """Put the value's digest in its place if it is new and among the smallest."""
        digest = digest_of(value)
        if digest is None:
            return state
        count = len(state) // DIGEST
        if count == self.kept and digest >= state[-DIGEST:]:
            return state
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if state[middle * DIGEST : (middle + 1) * DIGEST] < digest:
                low = middle + 1
            else:
                high = middle
        place = low * DIGEST
        if state[place : place + DIGEST] == digest:
            return state
        return (state[:place] + digest + state[place:])[: self.kept * DIGEST]

    def merge(self, a: bytes, b: bytes) -> bytes:
        """Keep the smallest of both."""
        return b"".join(sorted({*_split(a), *_split(b)})[: self.kept])

    def value(self, state: bytes, at: int) -> int:
        """Return how many, or about how many."""
        return estimate(len(state) // DIGEST, state[-DIGEST:], self.exact)


class WindowedDistinct(Sliding):
    """Number of different values in a sliding window; 0 while it is empty. See `Sliding` for its buckets.

    At every moment the value is what `Distinct` would say of the events that count then: exact up to 256, with a
    standard error of 6.3 % beyond. A digest stands in the last bucket its value was told in; it is dropped when 257
    smaller ones stand in that bucket or later ones, because from then on they outlive it and outrank it. Of n values
    spread over the window about 257 * (1 + ln(n / 257)) digests are kept, and never more than 257 in one bucket.

    The state is bucket number -> its digests, ascending, end to end; the buckets ascending.

    Parameters
    ----------
    window, resolution : int
        See `Sliding`.
    exact : int
        Up to how many different values are counted exactly.

    References
    ----------
    Y. Tao, D. Papadias: Maintaining Sliding Window Skylines on Data Streams. TKDE 2006 (for what outlives and
    outranks); see `Distinct` for the estimate.

    Examples
    --------
    >>> from segstream.core.time import DAY
    >>> viewed = WindowedDistinct(30 * DAY)
    >>> state = viewed.add(viewed.add(viewed.zero(), 0, "shoes", "m1"), DAY, "hats", "m2")
    >>> viewed.value(state, DAY), viewed.value(state, 31 * DAY)
    (2, 1)
    """

    __slots__ = ("exact", "kept")

    def __init__(self, window: int, resolution: int | None = None, exact: int = EXACT) -> None:
        super().__init__(window, resolution)
        self.exact = exact
        self.kept = exact + 1

    def zero(self) -> dict[int, bytes]:
        """Return no buckets."""
        return {}

    def add(self, state: dict[int, bytes], at: int, value: Value, tie: str) -> dict[int, bytes]:
        """Let the value's digest stand in the bucket of its timestamp, unless it stands in a later one."""
        digest = digest_of(value)
        if digest is None:
            return state
        bucket = at // self.resolution
        newest = next(reversed(state), bucket)
        if bucket <= self._out_of_reach(newest):
            return state
        after = state.copy()
        for there in reversed(state):
            chunk = state[there]
            place = _place(chunk, digest)
            if place < 0:
                continue
            if there >= bucket:
                return state
            rest = chunk[:place] + chunk[place + DIGEST :]
            if rest:
                after[there] = rest
            else:
                del after[there]
            break
        if bucket in after:
            after[bucket] = b"".join(sorted([*_split(after[bucket]), digest]))
        else:
            after[bucket] = digest
            if bucket < newest:
                after = dict(sorted(after.items()))
        return self._ranked(self._since(after, self._out_of_reach(max(bucket, newest))))

    def merge(self, a: dict[int, bytes], b: dict[int, bytes]) -> dict[int, bytes]:
        """Keep each digest where it stands latest."""
        if not a or not b:
            return a or b
        last: dict[bytes, int] = {}
        for state in (a, b):
            for bucket, chunk in state.items():
                for digest in _split(chunk):
                    last[digest] = max(bucket, last.get(digest, bucket))
        buckets: dict[int, list[bytes]] = {}
        for digest in sorted(last):
            buckets.setdefault(last[digest], []).append(digest)
        both = {bucket: b"".join(buckets[bucket]) for bucket in sorted(buckets)}
        return self._ranked(self._since(both, self._out_of_reach(next(reversed(both)))))

    def value(self, state: dict[int, bytes], at: int) -> int:
        """Return how many, or about how many, the buckets that have not left hold."""
        gone = self._last_departed(at)
        alive = [chunk for bucket, chunk in state.items() if bucket > gone]
        count = sum(map(len, alive)) // DIGEST
        if count <= self.exact:
            return count
        digests = sorted(digest for chunk in alive for digest in _split(chunk))
        return estimate(self.kept, digests[self.exact], self.exact)

    def steps(self, state: dict[int, bytes], at: int) -> Iterator[tuple[int, int]]:
        """Yield each moment at which a bucket leaves and the number is another."""
        values = reversed([(self._leaves(bucket), value) for bucket, value in self._backwards(state)])
        for (leaves, before), (_, after) in pairwise([*values, (0, 0)]):
            if leaves > at and after != before:
                yield leaves, after

    def compact(self, state: dict[int, bytes], at: int) -> dict[int, bytes]:
        """Drop the buckets that have left."""
        return self._since(state, self._last_departed(at))

    def _backwards(self, state: dict[int, bytes]) -> Iterator[tuple[int, int]]:
        """Yield each bucket, newest first, with the number that it and the later ones make."""
        smallest: list[bytes] = []
        for bucket in reversed(state):
            self._take(smallest, state[bucket])
            yield bucket, estimate(len(smallest), smallest[-1], self.exact)

    def _ranked(self, state: dict[int, bytes]) -> dict[int, bytes]:
        """Drop the digests that are outlived and outranked."""
        if sum(map(len, state.values())) <= self.kept * DIGEST:
            return state
        smallest: list[bytes] = []
        ranked = [(bucket, self._take(smallest, state[bucket])) for bucket in reversed(state)]
        return {bucket: chunk for bucket, chunk in reversed(ranked) if chunk}

    def _take(self, smallest: list[bytes], chunk: bytes) -> bytes:
        """Bring a bucket's digests in among the smallest; return those that found a place."""
        taken = []
        for digest in _split(chunk):
            if len(smallest) == self.kept:
                if digest > smallest[-1]:
                    break
                smallest.pop()
            insort(smallest, digest)
            taken.append(digest)
        return b"".join(taken)

    @staticmethod
    def _since(state: dict[int, bytes], gone: int) -> dict[int, bytes]:
        if next(iter(state), gone + 1) > gone:
            return state
        return {bucket: chunk for bucket, chunk in state.items() if bucket > gone}


def _split(chunk: bytes) -> list[bytes]:
    return [chunk[start : start + DIGEST] for start in range(0, len(chunk), DIGEST)]


def _place(chunk: bytes, digest: bytes) -> int:
    """Return where a digest begins, or -1."""
    place = chunk.find(digest)
    while place % DIGEST and place > 0:  # across two others
        place = chunk.find(digest, place + 1)
    return place
