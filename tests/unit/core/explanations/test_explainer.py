"""Why a user is or is not in a segment: groups, anti-flap, discovered segments, moments to come."""

from __future__ import annotations

import json

import pytest

from segstream.core.basis import Basis
from segstream.core.clusters import Snapshot
from segstream.core.decider import Decider
from segstream.core.definitions import read_definitions
from segstream.core.explanations import Explainer, Rule, TooEarlyError
from segstream.core.explanations.clusters import distances
from segstream.core.time import DAY, format_time, parse_time
from segstream.core.user import User

MONDAY = parse_time("1997-06-02T00:00:00Z")

SHOP = """\
version: 1
features:
  orders: {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
segments:
  big:     {when: orders >= 3, leave_when: since(last_order) > 90d, label: Big buyer}
  waiting: {when: since(last_order) > 5d, confirm_for: 3d, cooldown: 10d}
  fresh:   {when: orders == 1 and since(last_order) <= 20d}
  active:  {when: since(last_order) <= 20d}
  silent:  {when: since(last_order) > 20d, min_dwell: 30d}
  asking:  {when: in_segment('big') and since(last_order) > 1d}
groups:
  lifecycle: {first_of: [fresh, active, silent]}
discovered:
  behaviour: {model: kmeans, clusters: 2, features: [orders]}
"""
TWO = Snapshot("behaviour", 4, ("orders",), ("linear",), (2.0,), (1.0,), ((-1.0,), (3.0,)), ("c0", "c1"))


def decider(text: str = SHOP, *, trained: bool = True) -> Decider:
    """Return what decides in the shop."""
    models = {"behaviour": 4} if trained else {}
    return Decider(Basis(1, 0, 1, 1, models), read_definitions(text), {"behaviour": TWO} if trained else {})


def ordered(*days: int, by: Decider | None = None) -> User:
    """Return a user who ordered so many days after Monday, as decided after each order."""
    own = by or decider()
    user = User("00042", own.zero, basis=1, incarnation=1)
    for number, day in enumerate(days):
        at = MONDAY + day * DAY
        if number:
            user = Explainer(user, [own], at).user
        user.features = tuple(
            feature.accumulator.add(state, at, None, f"m{number}")
            for feature, state in zip(own.definitions.features, user.features, strict=True)
        )
        own.decide(user, None, at, {"type": "event"}, [], [])
    return user


def explained(segment: str, *days: int, at: float) -> Rule:
    """Explain a segment so many days after Monday to a user who ordered on some days."""
    return Explainer(ordered(*days), [decider()], MONDAY + int(at * DAY)).rule(segment)


def test_a_member_is_told_since_when_until_when_and_what_follows() -> None:
    """The end is that of the membership, with the segment that the group holds next."""
    rule = explained("active", 0, 1, at=3)
    assert (rule.member, rule.since) == (True, MONDAY + DAY)
    assert (rule.because.code, rule.because.text) == ("when", "when is true")
    assert rule.turn is not None
    assert (rule.turn.at, rule.turn.then) == (MONDAY + 21 * DAY + 1, "silent")


def test_who_is_not_in_it_is_told_which_part_decides() -> None:
    """And when the user enters it if nothing happens."""
    rule = explained("fresh", 0, 1, at=3)
    assert (rule.member, rule.since, rule.turn) == (False, None, None)
    assert rule.because.text == "when is false: orders == 1 is false"
    silent = explained("silent", 0, 1, at=3)
    assert silent.because.text == "when is false"
    assert silent.turn is not None
    assert (silent.turn.at, silent.turn.then) == (MONDAY + 21 * DAY + 1, None)


def test_of_a_group_the_earlier_segment_takes_precedence() -> None:
    """Both apply; the one that comes first is held, and the other says so."""
    rule = explained("active", 0, at=3)
    assert (rule.because.code, rule.because.text) == (
        "group",
        "it applies, but so does fresh, which comes before it in lifecycle",
    )
    assert [(each.name, each.held, each.applies) for each in rule.before] == [("fresh", True, True)]
    assert [(each.name, each.held, each.applies) for each in rule.after] == [("silent", False, False)]
    order = rule.document()["group_order"]
    assert [(each["segment"], each["member"]) for each in order] == [
        ("fresh", True),
        ("active", False),
        ("silent", False),
    ]


def test_min_dwell_keeps_a_member_and_others_of_its_group_out() -> None:
    """Who ordered again while dwelling stays, until the dwell is over."""
    days, kept = (0, 0, 30), format_time(MONDAY + 50 * DAY + 1)
    silent, active = (explained(name, *days, at=31) for name in ("silent", "active"))
    assert (silent.member, silent.because.code) == (True, "min_dwell")
    assert silent.because.text == f"it would be left, but its min_dwell keeps it until {kept}"
    assert (active.member, active.because.code) == (False, "min_dwell")
    assert active.because.text == f"it applies, but the min_dwell of silent keeps that until {kept}"
    assert silent.turn is None, "by the end of the dwell it applies again"
    told = silent.document()["anti_flap"]
    assert (told["min_dwell"], told["phase"], told["phase_until"], told["held_back"]) == (
        "30d",
        "dwelling",
        kept,
        "leaving",
    )


def test_what_has_to_be_confirmed_says_until_when() -> None:
    """True since the sixth day, entered on the ninth."""
    rule = explained("waiting", 0, at=6)
    assert (rule.member, rule.because.code, rule.standing.phase.value) == (False, "confirm_for", "confirming")
    assert rule.turn is not None
    assert rule.turn.at == rule.standing.until == MONDAY + 8 * DAY + 1


def test_what_cools_down_says_until_when() -> None:
    """Left by an order on the tenth day, true again on the sixteenth, and cooling until the twentieth."""
    rule = explained("waiting", 0, 10, at=16)
    assert (rule.member, rule.because.code, rule.standing.phase.value) == (False, "cooldown", "cooling")
    assert rule.standing.until == MONDAY + 20 * DAY
    assert format_time(MONDAY + 20 * DAY) in rule.because.text


def test_leave_when_alone_decides_about_staying() -> None:
    """Its truth is what keeps a member in, and what keeps others from entering."""
    rule = explained("big", 0, 1, 2, at=10)
    assert (rule.member, rule.because.code, rule.because.text) == (True, "leave_when", "leave_when is false")
    assert rule.turn is not None
    assert rule.turn.at == MONDAY + 92 * DAY + 1
    out = explained("big", 0, 1, 2, at=100)
    assert (out.member, out.because.code) == (False, "leave_when")
    assert out.because.text == "when is true, but so is leave_when, and then nobody enters"


def test_a_segment_that_asks_for_another_ends_with_it() -> None:
    """The end of what is asked for is found, although the condition itself cannot know it."""
    rule = explained("asking", 0, 1, 2, at=10)
    assert rule.member
    assert rule.when.until > MONDAY + 1000 * DAY
    assert rule.turn is not None
    assert rule.turn.at == MONDAY + 92 * DAY + 1


def test_it_looks_ahead_and_never_back() -> None:
    """As of a later moment, timers due until then have fired; before the last decision nothing is kept."""
    assert explained("silent", 0, 1, at=40).since == MONDAY + 21 * DAY + 1
    with pytest.raises(TooEarlyError, match=f"before the last decision, at {format_time(MONDAY + DAY)}"):
        explained("silent", 0, 1, at=0.5)


def test_the_state_given_stays_as_it_is() -> None:
    """Looking ahead decides on a copy."""
    user = ordered(0, 1)
    before = user.encode()
    Explainer(user, [decider()], MONDAY + 50 * DAY).rule("silent")
    assert user.encode() == before


def test_versions_that_came_since_the_last_decision_are_caught_up_with() -> None:
    """As the engine does at the user's next touch; a moment before the newest one cannot be told."""
    stricter = read_definitions(SHOP.replace("orders >= 3", "orders >= 2"))
    second = Decider(Basis(2, MONDAY + 5 * DAY, 1, 2, {}), stricter, {})
    user = ordered(0, 1)
    assert "big" not in user.held
    rule = Explainer(user, [decider(), second], MONDAY + 6 * DAY).rule("big")
    assert (rule.member, rule.since) == (True, MONDAY + 5 * DAY)
    with pytest.raises(TooEarlyError):
        Explainer(user, [decider(), second], MONDAY + 4 * DAY)


def test_a_discovered_segment_tells_the_distance_of_each_centre() -> None:
    """Nearest first, by the same rule that assigns, with labels and centres in the features' own units."""
    found = Explainer(ordered(0, 1), [decider()], MONDAY + 3 * DAY).model("behaviour")
    assert (found.held, found.version, found.values) == ("behaviour.c0", 4, {"orders": 2.0})
    assert [(each.segment, each.distance, each.values) for each in found.centres] == [
        ("behaviour.c0", 1.0, {"orders": 1.0}),
        ("behaviour.c1", 3.0, {"orders": 5.0}),
    ]
    assert found.because() == "its centre is the nearest"
    document = found.document()
    assert json.loads(json.dumps(document)) == document
    assert document["centres"][0]["label"] == TWO.describe("c0")


@pytest.mark.parametrize("orders", [None, 0, 1, 3, 2.999, 3.001, 1e18, float("nan")])
def test_the_nearest_centre_is_the_one_assigned(orders: float | None) -> None:
    """Unknown and absurd values included."""
    found = distances(TWO, [orders])
    assert min(found, key=lambda name: found[name]) == TWO.assign([orders])


def test_a_model_that_does_not_serve_yet_says_so() -> None:
    """There is nothing to measure by."""
    own = decider(trained=False)
    found = Explainer(ordered(0, by=own), [own], MONDAY + DAY).model("behaviour")
    assert (found.held, found.centres, found.because()) == (
        None,
        (),
        "no version of behaviour serves yet",
    )
    assert found.document()["because"]["code"] == "untrained"


def test_what_a_snapshot_found_that_is_not_kept_any_more_stays() -> None:
    """A partition that was away for long: nothing to measure by, and no reason to leave."""
    forgetful = Decider(Basis(1, 0, 1, 1, {"behaviour": 4}), read_definitions(SHOP), {})
    found = Explainer(ordered(0), [forgetful], MONDAY + DAY).model("behaviour")
    assert (found.held, found.centres, found.because()) == (
        "behaviour.c0",
        (),
        "the version of behaviour that found it is not kept any more; it stays until the next one",
    )
    assert found.document()["because"]["code"] == "not_kept"
