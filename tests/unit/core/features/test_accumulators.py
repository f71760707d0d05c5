"""Accumulators by example."""

from __future__ import annotations

import pytest

from segstream.core.features import FeatureSpec, build, default_resolution, scaled
from segstream.core.time import DAY, HOUR, MINUTE, NEVER, SECOND, parse_duration, parse_time
from segstream.core.types import Motion, ValueKind

START = parse_time("1997-01-01")


def test_ten_times_ten_cents_is_one_dollar() -> None:
    """Sums do not drift, with or without a window."""
    for spec in (FeatureSpec("sum", has_of=True), FeatureSpec("sum", window=30 * DAY, has_of=True)):
        revenue = build(spec)
        state = revenue.zero()
        for order in range(10):
            state = revenue.add(state, START + order, 0.10, f"m{order}")
        assert revenue.value(state, START + 10) == 1.00


def test_amounts_are_rounded_to_six_decimals_halves_to_even() -> None:
    """The rule of the fixed-point integers, whole numbers exact."""
    assert [scaled(amount) for amount in (0.1, 19.99, 0.0000005, 0.0000015, 12345678901234567)] == [
        100_000,
        19_990_000,
        0,
        2,
        12_345_678_901_234_567_000_000,
    ]


@pytest.mark.parametrize(
    ("window", "resolution"),
    [
        ("365d", DAY),
        ("288d", DAY),
        ("287d", 6 * HOUR),
        ("30d", HOUR),
        ("7d", 15 * MINUTE),
        ("1d", 5 * MINUTE),
        ("12h", MINUTE),
        ("1h", 10 * SECOND),
        ("5m", SECOND),
        ("1s", SECOND),
    ],
)
def test_a_window_has_at_least_288_buckets_where_it_can(window: str, resolution: int) -> None:
    """The default resolution is the widest that goes into the window 288 times, else a second."""
    assert default_resolution(parse_duration(window)) == resolution


def test_an_event_counts_until_the_end_of_its_bucket_plus_the_window() -> None:
    """Half past midnight is in the bucket that ends at one; 30 days after that it leaves."""
    orders = build(FeatureSpec("count", window=30 * DAY))
    state = orders.add(orders.zero(), START + 30 * MINUTE, None, "m1")
    leaves = START + HOUR + 30 * DAY
    assert [orders.value(state, at) for at in (START + 30 * MINUTE, leaves - 1, leaves)] == [1, 1, 0]
    assert orders.next_change(state, START + HOUR) == leaves
    assert orders.next_change(state, leaves) == NEVER
    assert orders.crosses(state, ">=", 1, START + HOUR) == leaves


def test_a_late_event_goes_into_its_own_bucket() -> None:
    """It leaves the window before the events that arrived ahead of it."""
    orders = build(FeatureSpec("sum", window=DAY, resolution=HOUR, has_of=True))
    state = orders.add(orders.zero(), START + 9 * HOUR, 5, "m1")
    state = orders.add(state, START + 2 * HOUR, 2, "m2")
    assert list(orders.steps(state, START + 9 * HOUR)) == [
        (START + DAY + 3 * HOUR, 5.0),
        (START + DAY + 10 * HOUR, 0.0),
    ]


def test_an_event_later_than_the_window_does_not_count() -> None:
    """Its bucket has left already, so the state stays as it is."""
    orders = build(FeatureSpec("count", window=DAY))
    state = orders.add(orders.zero(), START + 3 * DAY, None, "m1")
    assert orders.add(state, START, None, "m2") is state


def test_a_bucket_that_brought_nothing_takes_nothing_away() -> None:
    """An order and its refund in the same hour cancel out; no moment is announced for them."""
    revenue = build(FeatureSpec("sum", window=30 * DAY, has_of=True))
    state = revenue.add(revenue.add(revenue.zero(), START, 9.99, "m1"), START + 1, -9.99, "m2")
    assert revenue.next_change(state, START + 1) == NEVER


def test_three_visits_a_day_are_a_rate_of_three() -> None:
    """The decaying rate is scaled to what a steady stream does."""
    visits = build(FeatureSpec("rate", half_life=7 * DAY, per=DAY))
    assert visits.motion is Motion.DECAY
    state = visits.zero()
    for visit in range(3 * 365):
        state = visits.add(state, START + visit * 8 * HOUR, None, f"m{visit}")
    last = START + 364 * DAY + 16 * HOUR
    assert visits.value(state, last + 4 * HOUR) == pytest.approx(3, rel=1e-3)
    half = float(visits.value(state, last) or 0) / 2
    assert visits.crosses(state, "<", half, last) == pytest.approx(last + 7 * DAY, abs=1)


def test_a_rate_never_seen_is_nought_and_stays_so() -> None:
    """Count, sum and rate are known before the first event."""
    for spec in (FeatureSpec("count"), FeatureSpec("sum", has_of=True), FeatureSpec("rate", half_life=DAY)):
        empty = build(spec)
        assert empty.value(empty.zero(), START) == 0
        assert empty.crosses(empty.zero(), ">", -1.0, START) == NEVER


@pytest.mark.parametrize("half_life", [SECOND, 7 * DAY, 36_500 * DAY])
@pytest.mark.parametrize("share", [1 - 1e-12, 0.999, 0.5, 1 / 3, 1e-3, 1e-15, 0])
def test_a_rate_falls_below_a_share_of_itself_at_the_exact_millisecond(half_life: int, share: float) -> None:
    """One millisecond before the moment announced the comparison is still the old one, whatever the scale."""
    rate = build(FeatureSpec("rate", half_life=half_life))
    state = rate.zero()
    for number in range(20):
        state = rate.add(state, START + number * half_life // 3, None, f"m{number}")
    at = START + 7 * half_life
    bound = float(rate.value(state, at) or 0) * share
    turn = rate.crosses(state, "<=", bound, at)
    assert float(rate.value(state, turn) or 0) <= bound < float(rate.value(state, turn - 1) or 0)


def test_a_summing_rate_may_change_its_sign_when_a_huge_old_amount_is_forgotten() -> None:
    """Until then the remainder of the old amount outweighs the small new one of the other sign."""
    balance = build(FeatureSpec("rate", half_life=DAY, has_of=True))
    first_day = START // DAY * DAY
    state = balance.add(balance.zero(), first_day, 1e15, "m1")
    state = balance.add(state, first_day + 64 * DAY, -0.00001, "m2")
    at = first_day + 64 * DAY
    for op in ("<", ">"):
        assert balance.crosses(state, op, 0.0, at) == first_day + 65 * DAY


@pytest.mark.parametrize("op", ["min", "max"])
@pytest.mark.parametrize(("told", "kept"), [((3, 3.0), "3"), ((0.0, -0.0), "0"), ((2.5, 2.5), "2.5")])
def test_of_equal_numbers_the_whole_one_is_kept(op: str, told: tuple[float, float], kept: str) -> None:
    """Three and 3.0 are the same number, so which of them is shown must not depend on which came first."""
    extreme = build(FeatureSpec(op, has_of=True))
    for order in (told, told[::-1]):
        state = extreme.zero()
        for value in order:
            state = extreme.add(state, START, value, "m1")
        assert repr(extreme.value(state, START)) == kept


@pytest.mark.parametrize("op", ["==", "!="])
def test_a_rate_cannot_be_asked_when_it_equals_a_constant(op: str) -> None:
    """It does so for no more than a moment."""
    rate = build(FeatureSpec("rate", half_life=DAY))
    with pytest.raises(ValueError, match="a moving value cannot be compared"):
        rate.crosses(rate.zero(), op, 1.0, START)


def test_of_two_messages_of_one_moment_the_greater_id_is_the_later() -> None:
    """Whichever of them arrives first."""
    country = build(FeatureSpec("last", has_of=True, kind=ValueKind.TEXT))
    told = [("NO", "m1"), ("SE", "m2")]
    for order in (told, told[::-1]):
        state = country.zero()
        for value, tie in order:
            state = country.add(state, START, value, tie)
        assert country.value(state, START) == "SE"


def test_a_trait_of_another_kind_is_ignored() -> None:
    """A trait declared a number keeps the last number told."""
    age = build(FeatureSpec("last", has_of=True, kind=ValueKind.NUMBER))
    state = age.add(age.zero(), START, 41, "m1")
    for value in ("42", True, None, float("nan")):
        assert age.add(state, START + 1, value, "m2") is state


def test_a_time_trait_is_read_from_text() -> None:
    """It becomes milliseconds; text that is no time is ignored."""
    joined = build(FeatureSpec("last", has_of=True, kind=ValueKind.TIME))
    state = joined.add(joined.zero(), START, "1997-06-11T00:00:00.001Z", "m1")
    assert joined.value(joined.add(state, START + 1, "soon", "m2"), START) == 865987200001


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (FeatureSpec("cuont"), "unknown op 'cuont'; did you mean 'count'?"),
        (FeatureSpec("sum"), "sum needs of"),
        (FeatureSpec("rate"), "rate needs half_life"),
        (FeatureSpec("first", has_of=True, window=DAY), "first takes no window; count, sum, mean"),
        (FeatureSpec("count", kind=ValueKind.TEXT), "count takes no kind; first, last do"),
        (FeatureSpec("count", resolution=HOUR), "resolution needs a window"),
        (FeatureSpec("count", window=HOUR, resolution=DAY), "resolution must not be longer than the window"),
        (FeatureSpec("count", window=365 * DAY, resolution=MINUTE), "resolution is too fine"),
        (FeatureSpec("count", window=0), "window must be longer than nought"),
        (FeatureSpec("last", has_of=True, kind=ValueKind.DURATION), "an event cannot tell a duration"),
    ],
)
def test_options_that_do_not_go_with_an_op_are_refused(spec: FeatureSpec, text: str) -> None:
    """The text says what is wrong to the person who wrote the definition."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is compared below
        build(spec)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("op", ["min", "max"])
def test_of_equal_numbers_in_a_window_the_latest_alone_is_kept(op: str) -> None:
    """The earlier one leaves unnoticed: no step is announced at which nothing changes."""
    furthest = build(FeatureSpec(op, window=30 * DAY, has_of=True))
    state = furthest.zero()
    for number, at in enumerate((START, START + 2 * DAY, START + DAY)):
        state = furthest.add(state, at, 7, f"m{number}")
    assert list(furthest.steps(state, START + 2 * DAY)) == [(START + 2 * DAY + HOUR + 30 * DAY, None)]
