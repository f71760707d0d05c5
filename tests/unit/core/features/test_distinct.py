"""How well the number of different values is told."""

from __future__ import annotations

import math
import random

from segstream.core.features import FeatureSpec, build
from segstream.core.features.distinct import EXACT
from segstream.core.time import DAY, HOUR
from segstream.core.types import State

WINDOW = FeatureSpec("distinct", has_of=True, window=30 * DAY)


def told(count: int, seed: int) -> State:
    """Return the state of so many different values."""
    accumulator = build(FeatureSpec("distinct", has_of=True))
    state = accumulator.zero()
    for number in range(count):
        state = accumulator.add(state, 0, f"{seed}-{number}", "m")
    return state


def test_the_number_is_exact_up_to_256_different_values_however_often_each_is_told() -> None:
    """The stated limit: not one off, with and without a window."""
    for spec in (FeatureSpec("distinct", has_of=True), WINDOW):
        accumulator = build(spec)
        state = accumulator.zero()
        for number in range(EXACT):
            for again in range(3):
                state = accumulator.add(state, number * HOUR, f"sku-{number}", f"m{number}-{again}")
            assert accumulator.value(state, number * HOUR) == number + 1


def test_beyond_256_the_standard_error_is_6_percent_and_the_bias_none() -> None:
    """The stated error over 100 sets of 3,000 values: 1 / sqrt(255) within a fifth, and no set off by 4 of them."""
    accumulator = build(FeatureSpec("distinct", has_of=True))
    errors = [accumulator.value(told(3_000, seed), 0) / 3_000 - 1 for seed in range(100)]  # type: ignore[operator]  # a number
    spread = math.sqrt(sum(error * error for error in errors) / len(errors))
    assert 0.8 / math.sqrt(255) < spread < 1.2 / math.sqrt(255)
    assert abs(sum(errors) / len(errors)) < 3 / math.sqrt(255 * len(errors))
    assert max(map(abs, errors)) < 4 / math.sqrt(255)


def test_more_than_256_are_never_told_as_fewer() -> None:
    """An estimate does not fall below what is known for certain."""
    accumulator = build(FeatureSpec("distinct", has_of=True))
    assert all(accumulator.value(told(EXACT + 1, seed), 0) >= EXACT + 1 for seed in range(50))  # type: ignore[operator]  # a number


def test_a_window_tells_what_a_recount_of_its_events_would() -> None:
    """Thousands of values come and go: at every moment the same as counted afresh from those in the window."""
    chance = random.Random(7)
    window, afresh = build(WINDOW), build(FeatureSpec("distinct", has_of=True))
    events = sorted((chance.randrange(60 * DAY), f"v{chance.randrange(4_000)}") for _ in range(6_000))
    state, sizes = window.zero(), []
    for number, (at, value) in enumerate(events):
        state = window.add(state, at, value, f"m{number}")
        sizes.append(sum(map(len, state.values())) // 8)
        if number % 500 == 499:
            alive = [
                (then, each)
                for then, each in events[: number + 1]
                if then - then % HOUR + HOUR + 30 * DAY > at
            ]
            expected = afresh.zero()
            for then, each in alive:
                expected = afresh.add(expected, then, each, "m")
            assert window.value(state, at) == afresh.value(expected, at)
    # About 257 * (1 + ln(n / 257)) digests for n different values.
    assert max(sizes) < 1.2 * 257 * (1 + math.log(2_200 / 257))


def test_equal_numbers_are_one_value_and_texts_are_others() -> None:
    """3 and 3.0 count once; "3", true and 1 are values of their own; what is missing is none."""
    accumulator = build(FeatureSpec("distinct", has_of=True))
    state = accumulator.zero()
    for number, value in enumerate([3, 3.0, "3", True, 1, None, math.nan, -0.0, 0]):
        state = accumulator.add(state, 0, value, f"m{number}")
    assert accumulator.value(state, 0) == 5
