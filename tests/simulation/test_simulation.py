"""A seed is a schedule: it replays exactly, and one that fails is cut down."""

from __future__ import annotations

import re

import pytest

from tests.simulation.campaign import Report, campaign, complaint, cut_down, ready, told
from tests.simulation.choices import Choices, Weights
from tests.simulation.rules import REMOVALS, schedules_until_caught
from tests.simulation.shrinking import shrink
from tests.simulation.simulation import Simulation, Turn, run


def test_a_seed_replays_exactly() -> None:
    """The same steps in the same words, and the same decisions when these are given in place of the seed."""
    for seed in range(20):
        outcome, trace = told(seed)
        assert told(seed) == (outcome, trace)
        again: list[str] = []
        with ready():
            assert run(given=outcome.choices, trace=again) == outcome
        assert again == trace


def test_schedules_meet_all_that_can_go_wrong() -> None:
    """What is never drawn is never tested: every kind of fault, and every fate of a call, comes up."""
    seen = "\n".join(line for seed in range(150) for line in told(seed)[1])
    for words in (
        "freezes", "wakes", "is killed", "starts", "fails over and loses its last 0", "fails over and loses its last 2",
        "puts", "gives up the open transaction", "arrives twice", "lands late", "timed out, still on its way",
        "done, reply lost", "done, reply delayed", "durable, reply arrives", "hears", "refused", "Fenced", "StateLost",
        "take over", "commit the transaction", "InitProducerId", "show answers", "show lists", "due", "listed", "page",
    ):  # fmt: skip
        assert words in seen, words


def test_incarnations_are_begun_only_where_redis_forgets() -> None:
    """Some schedules lose what was published, or the checker's clause on incarnations would be idle."""
    report = campaign(0, 300)
    assert report == Report(300, report.turns, report.incarnations)
    assert report.incarnations > 0


def test_a_failing_schedule_is_cut_down_and_still_fails() -> None:
    """Without a rule, so that there is one: fewer decisions, the same kind of workers, a promise broken."""
    parts = REMOVALS["outbox"].parts
    with ready():
        count, outcome = schedules_until_caught("outbox", 500)
    assert outcome is not None
    small, trace = cut_down(count - 1, parts)
    assert small.broken
    assert sum(map(bool, small.choices)) < sum(map(bool, outcome.choices)) / 2
    assert any("calm" in line for line in trace)


def test_a_failure_is_told_with_its_seed_and_the_shortest_way_there() -> None:
    """What `make test` prints: the promise, the command that tells it again, and the schedule cut down, which fails too."""
    report = campaign(0, 500, REMOVALS["outbox"].parts)
    assert report.seed is not None
    lines = complaint(report, "outbox").splitlines()
    assert lines[0] == f"seed {report.seed} of the simulation: {report.broken}"
    assert lines[1].endswith(f"python -m tests.simulation {report.seed} --without outbox")
    assert re.fullmatch(r"cut down to \d+ decisions: partition \d: .+", lines[2])
    assert any("calm" in line for line in lines[3:])


def test_shrinking_ends_when_nothing_helps() -> None:
    """A list of which every decision counts stays as it is."""
    assert shrink([1, 1, 1], lambda given: given == [1, 1, 1]) == [1, 1, 1]
    assert shrink([5, 0, 7], lambda given: len(given) >= 3 and given[2] >= 4) == [0, 0, 4]


def test_given_decisions_that_do_not_fit_are_the_nearest_that_do() -> None:
    """So that any list of numbers is a schedule."""
    given = Choices(given=[99, 3])
    assert (given.pick(4), given.weigh(Weights([1, 1])), given.pick(7)) == (3, 1, 0)


def test_weights_never_choose_what_has_none() -> None:
    """A fault left out of a schedule does not happen in it."""
    weights = Weights([1, 0, 1])
    assert {weights.at(place / 100) for place in range(100)} == {0, 2}


def test_a_defect_in_a_worker_fails_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody expects is not taken for an outage."""

    def defective(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("segstream.partition.Partition.adopt_state", defective)
    with ready():
        assert "ZeroDivisionError: a defect" in run(0).broken


def test_every_turn_has_a_way_to_be_taken() -> None:
    """`Turn` names them, the simulation has them."""
    assert all(hasattr(Simulation, f"_{turn.name.lower()}") for turn in Turn)
