"""Which value is told most often, with more values than are counted."""

from __future__ import annotations

import random

import pytest

from segstream.core.features import FeatureSpec, build
from segstream.core.features.top import COUNTED
from segstream.core.types import State, Value
from tests.unit.core.features.recounts import most_frequent


def fold(values: list[Value]) -> State:
    """Return the state of values in the order given."""
    accumulator = build(FeatureSpec("top", has_of=True))
    state = accumulator.zero()
    for number, value in enumerate(values):
        state = accumulator.add(state, number, value, f"m{number}")
    return state


def value_of(state: State) -> Value:
    """Return the most frequent value."""
    return build(FeatureSpec("top", has_of=True)).value(state, 0)


def test_up_to_100_different_values_the_answer_is_exact() -> None:
    """A value told once more than the 99 others is found."""
    values: list[Value] = [f"page {number}" for number in range(COUNTED)]
    assert value_of(fold([*values, "page 63", *values])) == "page 63"


def test_of_equally_frequent_values_it_is_the_first() -> None:
    """By alphabet, by size, and true or false before numbers before texts."""
    assert value_of(fold(["b", "a", "c", "a", "b"])) == "a"
    assert value_of(fold(["a", 10, 9])) == 9
    assert value_of(fold(["a", 0, True])) is True


def test_beyond_100_it_is_told_when_it_is_certain_and_else_unknown() -> None:
    """The rule for any number of values: never wrong, unknown where one that is not counted may be ahead."""
    chance = random.Random(3)
    answers = set()
    for _ in range(40):
        different = chance.randrange(90, 160)
        values: list[Value] = [f"v{number}" for number in range(different)]
        favourite = chance.choice(values)
        values += [favourite] * chance.choice([1, 20, 200])
        chance.shuffle(values)
        answer = value_of(fold(values))
        assert answer == most_frequent(values)
        assert answer in {favourite, None}
        answers.add(answer is None)
    assert answers == {True, False}


@pytest.mark.parametrize("seed", range(5))
def test_neither_order_nor_grouping_matters_beyond_100_values(seed: int) -> None:
    """Thousands of values in any order, in one stream or merged from three in any grouping: one state."""
    chance = random.Random(seed)
    values: list[Value] = [f"v{int(chance.expovariate(0.01))}" for _ in range(3_000)]
    shuffled = values[:]
    chance.shuffle(shuffled)
    accumulator = build(FeatureSpec("top", has_of=True))
    one, two, three = fold(values[:500]), fold(values[500:700]), fold(values[700:])
    whole = fold(values)
    assert len(whole[1]) == COUNTED
    assert fold(shuffled) == whole
    assert accumulator.merge(accumulator.merge(three, one), two) == whole
    assert accumulator.merge(three, accumulator.merge(two, one)) == whole
