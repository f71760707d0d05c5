"""What ``segstream reset`` says before it asks, in plain words with numbers."""

from __future__ import annotations

from segstream.adapters.kafka.places import Log, Place
from segstream.adapters.reset_plans import Move, Part, Plan, Wish
from segstream.adapters.resets import Done
from segstream.cli.reset import consequences, document
from segstream.settings import Settings

SETTINGS = Settings()
"""The defaults."""


def part(number: int, before: int | None, log: Log, users: int = 1_200, **parts: int) -> Part:
    """Return a partition of a plan with one topic."""
    incarnation = parts.get("incarnation", 3)
    unfinished = bool(parts.get("unfinished"))
    return Part(number, users, incarnation, unfinished, {"events": Move(before, log)})


def test_a_reset_that_drops_says_who_is_forgotten_and_what_is_read_again() -> None:
    """Users, partitions, offsets from and to, what the log holds, the new incarnation, what consumers see."""
    wish = Wish(Place("earliest"), None, None, keep_state=False)
    plan = Plan(
        2, 2, [part(0, 9_000, Log(4_000, 10_000, 9_000, 4_000)), part(1, None, Log(0, 5, None, 0), 1)]
    )
    assert consequences(SETTINGS, wish, plan) == [
        "partition 0: 1,200 users, incarnation 3",
        "  events: from offset 9,000 to offset 4,000; the log holds 6,000 offsets, 4,000 to 10,000",
        "partition 1: 1 user, incarnation 3",
        "  events: from no position to offset 0; the log holds 5 offsets, 0 to 5",
        "What follows:",
        (
            "- forgotten: 1,201 users of 2 partitions, with features, segments and timers; and users that only the compacted "
            "topic still knows"
        ),
        (
            "- each of them is told to be in no segment: a record `restated` in segment-changes, a tombstone in "
            "segment-memberships, out of the answers and member lists in Redis"
        ),
        "- 6,005 offsets are read from there on; what the logs do not hold any more stays forgotten",
        "- users in these events enter their segments again, with the times of the events",
        "- a new incarnation begins, 5 or later; consumers replace what they hold of a user at its first record of it",
    ]
    done = [Done(0, 1_200, 5, {"events": 4_000}), Done(1, 1, 5, {"events": 0})]
    assert document(wish, plan, done)["partitions"][0] == {
        "partition": 0,
        "users_dropped": 1_200,
        "incarnation": 5,
        "offsets": {"events": {"from": 9_000, "to": 4_000, "log_begins": 4_000, "log_ends": 10_000}},
    }


def test_a_move_says_how_many_records_are_left_out() -> None:
    """And how many of them nobody could read any more."""
    wish = Wish(Place("latest"), None, None, keep_state=True)
    plan = Plan(1, 1, [part(0, 100, Log(150, 400, 100, 400))])
    assert consequences(SETTINGS, wish, plan)[3:] == [
        "- 300 offsets of events-0 are left out for good, 50 of which the log does not hold any more",
        "- all 1,200 users keep features and segments, and each answer is restated",
        "- a new incarnation begins, 4 or later; consumers replace what they hold of a user at its first record of it",
    ]


def test_a_log_that_was_cut_off_or_created_anew_is_spoken_of() -> None:
    """Which of the two it is nobody here can know."""
    wish = Wish(Place("earliest"), None, None, keep_state=True)
    plan = Plan(1, 1, [part(0, 500, Log(0, 20, 500, 0))])
    assert consequences(SETTINGS, wish, plan)[3] == (
        "- events-0 ends at offset 20, before the position 500: if it was created anew, its events count from offset 0 "
        "on; if it was only cut off, those up to its end count twice unless you go to the latest"
    )


def test_another_number_of_partitions_and_an_unfinished_reset_are_spoken_of() -> None:
    """Both lead to more than was asked for."""
    wish = Wish(Place("latest"), None, None, keep_state=False)
    plan = Plan(4, 2, [part(0, 1, Log(0, 9, 1, 9), unfinished=1)])
    told = consequences(SETTINGS, wish, plan)
    assert told[3:5] == [
        "- a reset of 1 partition was begun and not finished; this finishes it",
        (
            "- the state was made with 2 partitions, the topics have 4: all partitions begin anew, since users move between "
            "them"
        ),
    ]


def test_a_wish_can_be_written_down_as_the_command_it_was() -> None:
    """For those who have to finish it."""
    assert Wish(Place("2026-01-31"), "crm", 3, keep_state=True).command == (
        "segstream reset --partition 3 --topic crm --keep-state --to 2026-01-31"
    )
