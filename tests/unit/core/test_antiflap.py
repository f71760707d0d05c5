"""What keeps users from flapping, row by row of the table in `segstream.core.antiflap`, and in groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import msgpack
import pytest

from segstream.core.antiflap import Phase
from segstream.core.basis import Basis
from segstream.core.clusters import Snapshot
from segstream.core.decider import Decider
from segstream.core.definitions import read_definitions
from segstream.core.engine import Engine, Outcome, Touched
from segstream.core.events import Event
from segstream.core.time import NEVER, format_time, parse_time
from segstream.core.user import User

HEAD = """
version: 1
features:
  level: {op: last, of: properties.level}
  other: {op: last, of: properties.other}
  seen:  {op: last_time}
segments:
"""


@dataclass
class Played:
    """One user, driven event by event; moments are small numbers, in ms.

    Parameters
    ----------
    text : str
        The definitions.
    """

    text: str
    told: list[tuple[int, str, str]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    suppressed: list[tuple[str, str]] = field(default_factory=list)
    idle: int = 0
    wake_ups: int = 0

    def __post_init__(self) -> None:
        """Begin with a user never seen."""
        self.deciders = [Decider(Basis(1, 0, 1, 1, {}), read_definitions(self.text), {})]
        self.user = Engine(self.deciders).newcomer("u", Outcome())
        self.count = 0

    def _note(self, outcome: Outcome) -> None:
        self.changes += outcome.changes
        for change in outcome.changes:
            self.told.append((parse_time(change["at"]), change["change"], change["segment"]))
        self.suppressed += outcome.suppressed
        self.idle += outcome.idle_wake_ups
        self.wake_ups += outcome.wake_ups

    def event(self, at: int, *, arrival: int | None = None, **properties: Any) -> None:
        """Let an event happen, after all timers due before it."""
        # What is kept between two events is kept in Redis.
        self.user = User.decode("u", self.user.encode())
        self.count += 1
        document = {"type": "track", "event": "E", "userId": "u", "properties": properties}
        engine, outcome = Engine(self.deciders), Outcome()
        message = f"m{self.count}"
        event = Event("u", at, message, "track", "E", document)
        record: Any = _Place()
        engine.apply(
            engine.touch(self.user, outcome),
            engine.bring(event, "events"),
            record,
            at if arrival is None else arrival,
            outcome,
        )
        self._note(outcome)

    def silence(self, until: int) -> None:
        """Let time pass up to and including a moment."""
        self.user, outcome = User.decode("u", self.user.encode()), Outcome()
        Engine(self.deciders).wake(self.user, until + 1, outcome)
        self._note(outcome)

    def apply(self, text: str, at: int, *, incarnation: int = 1) -> None:
        """Bring other definitions into force."""
        number = len(self.deciders) + 1
        basis = Basis(number, at, incarnation, number, {})
        self.deciders.append(Decider(basis, read_definitions(text), {}))
        outcome = Outcome()
        touched: Touched = Engine(self.deciders).touch(self.user, outcome)
        assert touched.user is self.user
        self._note(outcome)

    def phase(self, segment: str, at: int) -> Phase:
        """Return where the user stands in a segment."""
        standings = self.deciders[-1].standings(self.user, at)
        return next(each.phase for each in standings if each.segment == segment)


class _Place:
    topic, partition, offset = "events", 0, 0


def hot(settings: str) -> Played:
    """Return a user and the segment ``hot``: level at least 5."""
    return Played(f"{HEAD}  hot: {{when: level >= 5{settings}}}\n")


ALL = ", min_dwell: 10ms, cooldown: 20ms, confirm_for: 5ms"

# The rows of the table: phase before, settings, events that lead there, what happens, phase after (at its moment),
# what is told from then on, what is counted. Times in ms; level 9 is hot, level 1 is not.
ROWS: dict[str, tuple[str, str, list[tuple[int, int]], list[tuple[int, int]], int, str, list[Any], list[Any]]] = {
    "out, turns true, no confirm_for": (
        "out", ", min_dwell: 10ms", [(100, 1)], [(103, 9)], 103,
        "dwelling", [(103, "entered")], [],
    ),
    "out, turns true, no confirm_for, no min_dwell": (
        "out", ", cooldown: 10ms", [(100, 1)], [(103, 9)], 103,
        "in", [(103, "entered")], [],
    ),
    "out, turns true, with confirm_for": (
        "out", ALL, [(100, 1)], [(103, 9)], 103,
        "confirming", [], [],
    ),
    "confirming, is not true any more": (
        "confirming", ALL, [(100, 9)], [(104, 1)], 120,
        "out", [], ["confirm"],
    ),
    "confirming, is not true any more in the moment it would have counted": (
        "confirming", ALL, [(100, 9)], [(105, 1)], 120,
        "out", [], ["confirm"],
    ),
    "confirming, confirm_for has passed": (
        "confirming", ALL, [(100, 9)], [], 105,
        "dwelling", [(105, "entered")], [],
    ),
    "confirming, turns false and true again: counts anew": (
        "confirming", ALL, [(100, 9)], [(104, 1), (104, 9)], 109,
        "dwelling", [(109, "entered")], ["confirm"],
    ),
    "dwelling, leaves": (
        "dwelling", ALL, [(100, 9), (105, 9)], [(114, 1)], 114,
        "dwelling", [], [],
    ),
    "dwelling, leaves, and then does not": (
        "dwelling", ALL, [(100, 9), (105, 9)], [(107, 1), (109, 9)], 120,
        "in", [], ["dwell"],
    ),
    "dwelling, min_dwell has passed, leaves": (
        "dwelling", ALL, [(100, 9), (105, 9)], [(107, 1)], 115,
        "cooling", [(115, "exited")], [],
    ),
    "dwelling, min_dwell has passed, leaves, no cooldown": (
        "dwelling", ", min_dwell: 10ms", [(100, 9)], [(107, 1)], 110,
        "out", [(110, "exited")], [],
    ),
    "dwelling, min_dwell has passed, does not leave": (
        "dwelling", ALL, [(100, 9), (105, 9)], [], 115,
        "in", [], [],
    ),
    "in, leaves": (
        "in", ALL, [(100, 9), (115, 9)], [(118, 1)], 118,
        "cooling", [(118, "exited")], [],
    ),
    "in, leaves, no cooldown": (
        "in", ", confirm_for: 5ms", [(100, 9), (105, 9)], [(118, 1)], 118,
        "out", [(118, "exited")], [],
    ),
    "cooling, turns true": (
        "cooling", ", cooldown: 20ms", [(100, 9), (101, 1)], [(120, 9)], 120,
        "cooling", [], [],
    ),
    "cooling, turns true, and then is not": (
        "cooling", ", cooldown: 20ms", [(100, 9), (101, 1)], [(110, 9), (112, 1)], 130,
        "out", [], ["cooldown"],
    ),
    "cooling, turns true for confirm_for, and then is not": (
        "cooling", ", cooldown: 20ms, confirm_for: 5ms", [(100, 9), (105, 9), (106, 1)], [(110, 9), (116, 1)], 130,
        "out", [], ["cooldown"],
    ),
    "cooling, turns true for less than confirm_for, and then is not": (
        "cooling", ", cooldown: 20ms, confirm_for: 5ms", [(100, 9), (105, 9), (106, 1)], [(110, 9), (114, 1)], 130,
        "out", [], ["confirm"],
    ),
    "cooling, cooldown has passed, not true": (
        "cooling", ", cooldown: 20ms", [(100, 9), (101, 1)], [], 121,
        "out", [], [],
    ),
    "cooling, cooldown has passed, true": (
        "cooling", ", cooldown: 20ms", [(100, 9), (101, 1)], [(110, 9)], 121,
        "in", [(121, "entered")], [],
    ),
    "cooling, cooldown has passed, true for confirm_for": (
        "cooling", ALL, [(100, 9), (115, 9), (116, 1)], [(120, 9)], 136,
        "dwelling", [(136, "entered")], [],
    ),
    "cooling, cooldown has passed, true, but not yet for confirm_for": (
        "cooling", ALL, [(100, 9), (115, 9), (116, 1)], [(134, 9)], 136,
        "confirming", [], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table_is_so(row: str) -> None:
    """From one phase, by what happens, to the next: what is told, and what is counted."""
    before, settings, way, happens, until, after, told, counted = ROWS[row]
    played = hot(settings)
    for at, level in way:
        played.event(at, level=level)
    last = way[-1][0]
    assert played.phase("hot", last) is Phase(before)
    seen, counted_before = len(played.told), len(played.suppressed)
    for at, level in happens:
        played.event(at, level=level)
    played.silence(until)
    assert played.phase("hot", until) is Phase(after)
    assert played.told[seen:] == [(at, change, "hot") for at, change in told]
    assert played.suppressed[counted_before:] == [("hot", reason) for reason in counted]


def test_a_condition_confirmed_after_the_cooldown_began_enters_when_it_has_held_long_enough() -> None:
    """The later of the two: here it is ``confirm_for``."""
    played = hot(ALL)
    for at, level in [(100, 9), (115, 9), (116, 1), (134, 9)]:
        played.event(at, level=level)
    played.silence(200)
    assert played.told == [(105, "entered", "hot"), (116, "exited", "hot"), (139, "entered", "hot")]


def test_what_turns_true_by_itself_is_confirmed_from_that_very_moment() -> None:
    """Nothing happens but time: the clock starts when the condition turns, and ends so long after."""
    played = Played(f"{HEAD}  away: {{when: since(seen) > 30ms, confirm_for: 7ms}}\n")
    played.event(100, level=1)
    assert played.user.due == 131
    played.silence(1_000)
    assert played.told == [(138, "entered", "away")]
    [change] = played.changes
    assert change["cause"] == {"type": "timer", "due": format_time(138)}
    assert [reason["condition"] for reason in change["reasons"]] == ["confirm_for 7ms of away is over"]


def test_an_event_in_the_past_cannot_begin_a_confirmation_in_the_past() -> None:
    """It is decided at the last decision, which is when the condition turned."""
    played = Played(f"{HEAD}  away: {{when: since(seen) > 30ms or level >= 5, confirm_for: 7ms}}\n")
    played.event(100, level=1)
    played.event(90, arrival=135, level=9)
    played.silence(200)
    # The level is that of the later event, so only time has made it true, at 131.
    assert played.told == [(138, "entered", "away")]


def test_why_a_change_came_when_it_did_is_told() -> None:
    """Where no condition flips, the reason is what held the change back until then."""
    played = hot(ALL)
    for at, level in [(100, 9), (107, 1), (116, 9)]:
        played.event(at, level=level)
    played.silence(200)
    conditions = [[reason["condition"] for reason in change["reasons"]] for change in played.changes]
    assert conditions == [
        ["confirm_for 5ms of hot is over"],
        ["min_dwell 10ms of hot is over"],
        ["cooldown 20ms of hot is over"],
    ]
    assert played.told == [(105, "entered", "hot"), (115, "exited", "hot"), (135, "entered", "hot")]


def test_an_end_that_is_told_is_exact() -> None:
    """``expires_at`` minds what is being confirmed in the same group meanwhile."""
    played = Played(
        f"{HEAD}  away: {{when: since(seen) > 30ms, confirm_for: 7ms}}\n"
        "  any: {when: level > 0}\ngroups: {g: {first_of: [away, any]}}\n"
    )
    played.event(100, level=1)
    played.silence(500)
    assert played.changes[0]["expires_at"] == format_time(138)
    assert played.told == [(100, "entered", "any"), (138, "exited", "any"), (138, "entered", "away")]


GROUP = f"""{HEAD}
  first: {{when: level >= 5%s}}
  second: {{when: other >= 5%s}}
groups: {{g: {{first_of: [first, second]}}}}
"""


def test_a_candidate_of_a_group_that_is_confirming_does_not_apply() -> None:
    """The next one is held meanwhile; the first follows when it is confirmed."""
    played = Played(GROUP % (", confirm_for: 5ms", ""))
    played.event(100, level=9, other=9)
    played.silence(200)
    assert played.told == [(100, "entered", "second"), (105, "exited", "second"), (105, "entered", "first")]


def test_a_candidate_of_a_group_that_is_cooling_does_not_apply() -> None:
    """The next one is held until the cooldown is over."""
    played = Played(GROUP % (", cooldown: 20ms", ""))
    played.event(100, level=9, other=9)
    played.event(101, level=1)
    played.event(103, level=9)
    played.silence(200)
    assert played.told == [
        (100, "entered", "first"),
        (101, "exited", "first"),
        (101, "entered", "second"),
        (121, "exited", "second"),
        (121, "entered", "first"),
    ]


def test_whoever_is_moved_within_a_group_has_left_and_cools_down() -> None:
    """The second is left for the first, and its condition is true all the while."""
    played = Played(GROUP % ("", ", cooldown: 20ms"))
    for at, level in [(100, 1), (110, 9), (112, 1)]:
        played.event(at, level=level, other=9)
    played.silence(200)
    assert played.told == [
        (100, "entered", "second"),
        (110, "exited", "second"),
        (110, "entered", "first"),
        (112, "exited", "first"),
        (130, "entered", "second"),
    ]


def test_whoever_is_moved_within_a_group_is_confirmed_anew() -> None:
    """The clock of the second starts when it is left, though its condition was true before."""
    played = Played(GROUP % ("", ", confirm_for: 5ms"))
    for at, level in [(100, 1), (110, 9), (112, 1)]:
        played.event(at, level=level, other=9)
    played.silence(200)
    assert played.told == [
        (105, "entered", "second"),
        (110, "exited", "second"),
        (110, "entered", "first"),
        (112, "exited", "first"),
        (115, "entered", "second"),
    ]


def test_the_dwell_of_the_one_held_comes_before_all() -> None:
    """What is first in the group and confirmed waits for it; its clock runs meanwhile."""
    played = Played(GROUP % (", confirm_for: 5ms", ", min_dwell: 30ms"))
    played.event(100, level=1, other=9)
    played.event(103, level=9)
    played.silence(300)
    assert played.told == [(100, "entered", "second"), (130, "exited", "second"), (130, "entered", "first")]
    assert played.suppressed == []


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_user_at_a_threshold_changes_once_per_dwell_at_most(seed: int) -> None:
    """Thousands of readings around the threshold: no two changes less than the dwell apart."""
    chance, played, bare = Random(seed), hot(", min_dwell: 500ms, cooldown: 500ms"), hot("")
    at = 1_000
    for _ in range(2_000):
        at += chance.randrange(1, 40)
        level = 5 + chance.gauss(0, 1)
        played.event(at, level=level)
        bare.event(at, level=level)
    moments = [moment for moment, _, _ in played.told]
    assert min(later - moment for moment, later in pairwise(moments)) >= 500
    assert 20 < len(moments) <= 1 + (at - moments[0]) / 500
    counts = Counter(reason for _, reason in played.suppressed)
    # Each flip taken back would have been two changes.
    assert len(bare.told) > 10 * len(moments)
    assert abs(len(bare.told) - len(moments) - 2 * sum(counts.values())) <= 2 * len(moments)
    assert set(counts) == {"dwell", "cooldown"}


def test_a_suppressed_flip_is_counted_once_however_often_it_is_looked_at() -> None:
    """Ten events while it is held back are one flip."""
    played = hot(", min_dwell: 100ms")
    played.event(100, level=9)
    for at in range(110, 120):
        played.event(at, level=1)
    assert played.suppressed == []
    for at in range(120, 130):
        played.event(at, level=9)
    assert played.suppressed == [("hot", "dwell")]


def test_what_is_held_back_can_be_asked() -> None:
    """Since when, until when, and what the conditions would have."""
    played = hot(ALL)
    for at, level in [(100, 9), (107, 1), (116, 9)]:
        played.event(at, level=level)
        [standing] = played.deciders[0].standings(played.user, at)
        assert (
            standing[1:]
            == {
                100: (Phase.CONFIRMING, 100, 105, "entering"),
                107: (Phase.DWELLING, 105, 115, "leaving"),
                116: (Phase.COOLING, 115, 135, "entering"),
            }[at]
        )


# ----------------------------------------------------------------------------------- other definitions


def test_a_confirmation_goes_on_under_definitions_that_mean_the_same() -> None:
    """Another label changes nothing; another length counts from when the condition turned."""
    played = hot(", confirm_for: 50ms")
    played.event(100, level=9)
    played.apply(f"{HEAD}  hot: {{when: level >= 5, confirm_for: 20ms, label: Hot}}\n", 110)
    played.silence(200)
    assert played.told == [(120, "entered", "hot")]


@pytest.mark.parametrize(
    "change", [("level >= 5", "level >= 4"), ("of: properties.level", "of: properties.level, event: E")]
)
def test_a_confirmation_begins_anew_under_another_condition(change: tuple[str, str]) -> None:
    """Also where only a feature means something else: here it has to be told again."""
    played = hot(", confirm_for: 50ms")
    played.event(100, level=9)
    played.apply(played.text.replace(*change), 110)
    played.event(111, level=9)
    played.silence(300)
    turned = 110 if change[1] == "level >= 4" else 111
    assert played.told == [(turned + 50, "entered", "hot")]


def test_a_cooldown_goes_on_by_its_new_length() -> None:
    """Shorter or longer, from when the segment was left; one that is over stays over."""
    for length, entered in [(30, 131), (70, 171), (5, 120)]:
        played = hot(", cooldown: 50ms")
        for at, level in [(100, 9), (101, 1), (110, 9)]:
            played.event(at, level=level)
        played.apply(played.text.replace("50ms", f"{length}ms"), 120)
        played.silence(300)
        assert played.told[-1] == (entered, "entered", "hot")
    played = hot(", cooldown: 50ms")
    for at, level in [(100, 9), (101, 1)]:
        played.event(at, level=level)
    played.apply(played.text.replace("50ms", "500ms"), 160)
    played.event(170, level=9)
    assert played.told[-1] == (170, "entered", "hot")


def test_what_was_kept_for_a_removed_segment_is_forgotten() -> None:
    """And a segment of the same name later begins anew."""
    played = hot(ALL)
    for at, level in [(100, 9), (115, 9), (116, 1), (117, 9)]:
        played.event(at, level=level)
    assert played.user.left
    assert played.user.confirming
    played.apply(f"{HEAD}  cold: {{when: level < 5}}\n", 120)
    assert (played.user.left, played.user.confirming, played.user.resisted) == ({}, {}, ())


def test_a_renamed_segment_keeps_its_clocks() -> None:
    """It is the same segment."""
    played = hot(ALL)
    for at, level in [(100, 9), (115, 9), (116, 1), (117, 9)]:
        played.event(at, level=level)
    played.apply(f"{HEAD}  warm: {{when: level >= 5, renamed_from: hot{ALL}}}\n", 120)
    assert (played.user.left, played.user.confirming) == ({"warm": 116}, {"warm": 117})
    played.silence(200)
    assert played.told[-1] == (136, "entered", "warm")


def test_a_new_incarnation_changes_no_clock() -> None:
    """The answer is restated; what is being confirmed goes on."""
    played = hot(ALL)
    played.event(100, level=9)
    played.deciders.append(Decider(Basis(2, 102, 2, 1, {}), read_definitions(played.text), {}))
    played.silence(200)
    assert [change["change"] for change in played.changes] == ["restated", "entered"]
    assert played.told[-1] == (105, "entered", "hot")


# ------------------------------------------------------------------------------------------------ states


def test_what_anti_flap_remembers_takes_no_byte_of_a_state_without_it() -> None:
    """And is read again as it was written."""
    user = User("u", (1,), 1, 1)
    plain = user.encode()
    user.confirming, user.left, user.resisted = {"a": 1}, {"b": 2}, ("c",)
    damped = user.encode()
    again = User.decode("u", damped)
    assert (again.confirming, again.left, again.resisted) == ({"a": 1}, {"b": 2}, ("c",))
    assert again.encode() == damped
    assert User.decode("u", plain).encode() == plain
    assert plain + msgpack.packb(({"a": 1}, {"b": 2}, ("c",))) == plain[:1] + damped[1:]


# -------------------------------------------------------------------------------------------- in_segment


def test_in_segment_reads_the_membership_after_the_same_decision() -> None:
    """Whoever enters one enters what builds on it, in the same moment and after it, whatever the file's order."""
    played = Played(
        f"{HEAD}  worth: {{when: in_segment('hot') and other > 1}}\n"
        "  hot: {when: level >= 5, min_dwell: 10ms}\n"
        "  calm: {when: not in_segment('hot')}\n"
    )
    played.event(100, level=1, other=2)
    played.event(105, level=9)
    played.event(107, level=1)
    played.silence(200)
    assert played.told == [
        (100, "entered", "calm"),
        (105, "entered", "hot"),
        (105, "entered", "worth"),
        (105, "exited", "calm"),
        (115, "exited", "hot"),
        (115, "exited", "worth"),
        (115, "entered", "calm"),
    ]
    worth = played.changes[2]
    assert worth["reasons"][0]["inputs"]["in_segment('hot')"] == {"before": False, "after": True}
    assert [change["expires_at"] for change in played.changes if change["segment"] != "hot"] == [None] * 5


def test_in_segment_reads_a_group_as_a_whole() -> None:
    """A segment that asks for a member of a group is decided after the group."""
    played = Played(
        "  ask: {when: in_segment('second')}\n".join([HEAD, (GROUP % ("", "")).split("segments:")[1]])
    )
    for at, level in [(100, 1), (110, 9)]:
        played.event(at, level=level, other=9)
    assert played.told == [
        (100, "entered", "second"),
        (100, "entered", "ask"),
        (110, "exited", "second"),
        (110, "entered", "first"),
        (110, "exited", "ask"),
    ]


def snapshot(number: int, ids: tuple[str, str]) -> Snapshot:
    """Return a model of two clusters by level, around 1 and around 9."""
    return Snapshot("found", number, ("level * 1",), ("linear",), (5.0,), (1.0,), ((-4.0,), (4.0,)), ids)


def test_in_segment_reads_a_discovered_segment_after_the_same_decision() -> None:
    """At events, and when a new version of the model assigns the user to another."""
    text = (
        f"{HEAD.replace('op: last, of: properties.level', 'op: max, of: properties.level')}"
        "  like: {when: in_segment('found.c1')}\n"
        "discovered: {found: {model: kmeans, clusters: 2, features: [level * 1]}}\n"
    )
    played = Played(text)
    definitions = read_definitions(text)
    first = snapshot(1, ("c0", "c1"))
    played.deciders = [Decider(Basis(1, 0, 1, 1, {"found": 1}), definitions, {"found": first})]
    played.event(100, level=1)
    played.event(110, level=9)
    told = [(100, "entered", "found.c0"), (110, "exited", "found.c0"), (110, "entered", "found.c1")]
    assert played.told == [*told, (110, "entered", "like")]
    second = snapshot(2, ("c2", "c3"))
    played.deciders.append(Decider(Basis(2, 120, 1, 1, {"found": 2}), definitions, {"found": second}))
    played.silence(130)
    assert played.told[4:] == [
        (120, "exited", "found.c1"),
        (120, "entered", "found.c3"),
        (120, "exited", "like"),
    ]
    assert played.changes[-1]["cause"] == {"type": "model", "version": 2}


def test_a_long_chain_of_segments_is_decided_in_one_go() -> None:
    """A thousand, each asking for the next, in the file's order the wrong way round."""
    links = "".join(f"  s{n}: {{when: in_segment('s{n + 1}')}}\n" for n in range(999))
    played = Played(f"{HEAD}{links}  s999: {{when: level >= 5}}\n")
    played.event(100, level=9)
    assert [segment for _, _, segment in played.told] == [f"s{n}" for n in range(999, -1, -1)]
    assert played.user.due == NEVER
