"""What is news to a consumer, what it has had, and what it misses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream_schemas import Gap
from segstream_schemas.sequences import Sequences


def test_a_change_is_news_once() -> None:
    """A repeat is none, nor is an older incarnation's, however high its sequence."""
    seen = Sequences()
    told = [(1, 1), (1, 2), (1, 2), (1, 1), (2, 1), (1, 9), (2, 1), (2, 2)]
    assert [seen.is_news(0, n, "a", *each) for n, each in enumerate(told)] == [
        *(True, True, False, False),
        *(True, False, False, True),
    ]


def test_a_gap_lies_between_the_last_change_and_this_one() -> None:
    """In a new incarnation, before its first; for a repeat and for an unknown user there is none."""
    seen = Sequences()
    assert seen.gap(0, 0, "a", 1, 5) is None
    seen.is_news(0, 0, "a", 1, 5)
    assert seen.gap(0, 1, "a", 1, 6) is None
    assert seen.gap(0, 1, "a", 1, 5) is None
    assert seen.gap(0, 1, "a", 1, 8) == Gap("a", 1, 6, 7, 0, 1)
    assert seen.gap(0, 1, "a", 2, 1) is None
    assert seen.gap(0, 1, "a", 2, 3) == Gap("a", 2, 1, 2, 0, 1)
    assert seen.gap(0, 1, "b", 1, 3) is None


def test_only_so_many_users_are_remembered_those_heard_of_last() -> None:
    """Memory is bounded; who is forgotten counts as new."""
    seen = Sequences(2)
    for offset, user in enumerate(["a", "b", "a", "c"]):
        seen.is_news(0, offset, user, 1, offset + 1)
    assert len(seen) == 2
    assert not seen.is_news(0, 4, "a", 1, 3)
    assert seen.is_news(0, 5, "b", 1, 2)
    with pytest.raises(ValueError, match="at least one"):
        Sequences(0)


def test_what_others_have_read_meanwhile_is_no_gap() -> None:
    """A partition that comes back further ahead is known no more; another one still is."""
    seen = Sequences()
    seen.is_news(0, 10, "a", 1, 1)
    seen.is_news(1, 10, "b", 1, 1)
    seen.resume(0)
    seen.resume(1)
    assert seen.gap(0, 20, "a", 1, 9) is None
    assert seen.gap(1, 11, "b", 1, 9) == Gap("b", 1, 2, 8, 1, 11)


def test_what_comes_again_after_a_rebalance_is_a_repeat() -> None:
    """Reading went back to the last commit: nobody else can have read further."""
    seen = Sequences()
    for offset in range(3):
        seen.is_news(0, offset, "a", 1, offset + 1)
    seen.resume(0)
    assert [seen.is_news(0, offset, "a", 1, offset + 1) for offset in range(1, 4)] == [False, False, True]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(1, 6)), max_size=40))
def test_news_only_ever_goes_forward(told: list[tuple[str, int, int]]) -> None:
    """Whatever comes in whatever order, each user's news ascends by (incarnation, sequence)."""
    seen = Sequences()
    news: dict[str, list[tuple[int, int]]] = {}
    for offset, (user, incarnation, sequence) in enumerate(told):
        gap = seen.gap(0, offset, user, incarnation, sequence)
        if seen.is_news(0, offset, user, incarnation, sequence):
            news.setdefault(user, []).append((incarnation, sequence))
        else:
            assert gap is None
    for found in news.values():
        assert found == sorted(set(found))
