"""The users kept in memory."""

from __future__ import annotations

import tracemalloc

import pytest

from segstream.cache import UserCache


@pytest.mark.parametrize("length", [40, 400, 4_000])
def test_the_cap_is_one_of_real_memory(length: int) -> None:
    """What is counted is never below what the states really take, and at most half above it."""
    cache = UserCache(capacity=1 << 40)
    tracemalloc.start()
    try:
        for number in range(5_000):
            cache.put(f"user-{number:06d}", bytes(length))
        real, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert real <= cache.bytes <= 2 * real


def test_the_least_recently_used_go_first() -> None:
    """Whoever was asked for lately stays."""
    cache = UserCache(capacity=3_500)
    for name in "abcd":
        cache.put(name, bytes(500))
    cache.get("a")
    cache.put("e", bytes(500))
    assert "a" in cache.states
    assert "b" not in cache.states
    assert cache.evicted == 1
    assert cache.bytes <= cache.capacity


def test_a_user_that_grows_is_counted_anew() -> None:
    """Writing a user again replaces its share."""
    cache = UserCache(capacity=1 << 30)
    cache.put("a", bytes(100))
    small = cache.bytes
    cache.put("a", bytes(1_000))
    assert cache.bytes == small + 900
    cache.put("a", bytes(100))
    assert cache.bytes == small
