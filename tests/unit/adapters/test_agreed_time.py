"""The time by which partitions' clocks go: one clock that is wrong moves it neither way."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from segstream.adapters.agreed_time import AgreedTime
from segstream.core.time import HOUR, SECOND

BEGIN = 1_800_000_000_000


class Clocks:
    """Two machines' clocks, and the time that really passes."""

    def __init__(self) -> None:
        self.ours = self.redis = 0
        self.passed = 0
        self.agreed = AgreedTime(lambda: BEGIN + self.ours + self.passed, lambda: self.passed / 1000)

    def go_on(self, milliseconds: int = SECOND, *, heard: bool = True) -> int:
        """Let time pass, hear from Redis, and return the time less the beginning."""
        self.passed += milliseconds
        if heard:
            self.agreed.heard(BEGIN + self.redis + self.passed)
        return self.agreed() - BEGIN


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@pytest.mark.parametrize("whose", ["ours", "redis"])
def test_one_clock_that_is_stepped_changes_nothing(whose: str, step: int) -> None:
    """Ours or Redis', forward or back, for as long as it lasts and when it is right again."""
    clocks = Clocks()
    times = [clocks.go_on()]
    for by in (step, 0):
        setattr(clocks, whose, by)
        times += [clocks.go_on() for _ in range(3)]
    assert times == [number * SECOND for number in range(1, 8)]


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_what_both_machines_say_is_the_time(step: int) -> None:
    """A machine that stood still, as a virtual one may, has not counted the hour; a clock that was wrong is put right."""
    clocks = Clocks()
    clocks.go_on()
    clocks.ours = clocks.redis = step
    assert clocks.go_on() == 2 * SECOND + step


@pytest.mark.parametrize(("ours", "redis"), [(HOUR, 0), (0, HOUR)])
def test_of_two_clocks_that_differ_from_the_start_the_earlier_one_counts(ours: int, redis: int) -> None:
    """Which is right cannot be told; late is a delay, too early would be untrue."""
    clocks = Clocks()
    clocks.ours, clocks.redis = ours, redis
    assert [clocks.go_on(), clocks.go_on()] == [SECOND, 2 * SECOND]


def test_time_goes_on_while_redis_is_away_and_does_not_begin_before_it_was_heard() -> None:
    """Also then a step of our clock is none."""
    clocks = Clocks()
    assert clocks.agreed() == 0
    clocks.go_on()
    clocks.ours = HOUR
    assert clocks.go_on(heard=False) == 2 * SECOND


def test_clocks_that_differ_are_told_once_and_when_they_agree_again() -> None:
    """Somebody has to look at NTP."""
    clocks = Clocks()
    with capture_logs() as logs:
        for clocks.ours in (0, 4 * SECOND, HOUR, HOUR, 0, 0):
            clocks.go_on()
    assert [(line["event"], line.get("seconds")) for line in logs] == [
        ("clocks_differ", 3600),
        ("clocks_agree", None),
    ]
