"""The users kept in memory."""

from __future__ import annotations

import tracemalloc

import pytest

from segstream.cache import UserCache
from segstream.core.time import DAY
from segstream.core.user import RECENT_IDS, User


def purchaser(number: int, buckets: int) -> User:
    """Return a user as after many purchases, with values of its own."""
    window = {day + number: 1_000_000 * day + number for day in range(buckets)}
    features = (buckets, (7_000_000_000 + number, 1_700_000_000_000 + number, window), float(number))
    user = User(f"user-{number:06d}", features, basis=3, incarnation=1)
    user.held = {"active": (1_700_000_000_000 + number, 1_700_000_000_000 + number + 60 * DAY)}
    user.assigned = {"behaviour": ("c3", 1_700_000_000_000 + number)}
    user.recent = tuple(2**63 + number * RECENT_IDS + position for position in range(RECENT_IDS))
    return user


@pytest.mark.parametrize("buckets", [0, 3, 30, 300])
def test_the_estimate_is_never_below_what_a_user_takes(buckets: int) -> None:
    """The cap holds: a cache is estimated at no less than its real memory, and at no more than four times."""
    encoded = [User.encode(purchaser(number, buckets)) for number in range(300)]
    cache = UserCache(capacity=1 << 40)
    tracemalloc.start()
    try:
        for number, state in enumerate(encoded):
            cache.put(User.decode(f"user-{number:06d}", state), len(state))
        real, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert real <= cache.bytes <= 4 * real


def test_the_least_recently_used_go_first() -> None:
    """Whoever was asked for lately stays."""
    cache = UserCache(capacity=4 * 6_300)
    for name in "abcd":
        cache.put(User(name, (), 1, 1), 500)
    cache.get("a")
    cache.put(User("e", (), 1, 1), 500)
    assert "a" in cache.users
    assert "b" not in cache.users
    assert cache.evicted >= 1


def test_a_user_that_grows_is_counted_anew() -> None:
    """Writing a user again replaces its estimate."""
    cache = UserCache(capacity=1 << 30)
    user = User("a", (), 1, 1)
    cache.put(user, 100)
    small = cache.bytes
    cache.put(user, 1_000)
    cache.put(user, 100)
    assert cache.bytes == small
