"""Histograms that are added to by the batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segstream.distribution import Distribution

BOUNDS = st.lists(st.integers(1, 100).map(lambda tenth: tenth / 10), unique=True, max_size=6).map(sorted)
MOMENTS = st.lists(st.integers(0, 12_000), max_size=40)


@given(BOUNDS, MOMENTS)
def test_ages_of_a_batch_are_counted_as_if_one_by_one(bounds: list[float], moments: list[int]) -> None:
    """However the moments are ordered and where they lie; what is still to come has age 0."""
    now = 10_000
    together, singly = Distribution(bounds), Distribution(bounds)
    together.add_ages(moments, now, 1_000)
    for moment in moments:
        singly.add(max(now - moment, 0) / 1_000)
    assert together.counts == singly.counts
    assert abs(together.total - singly.total) < 1e-6
    assert sum(together.counts) == len(moments)
