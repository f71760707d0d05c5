"""Many schedules: run, and when one fails, cut down and told in words."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from tests.simulation.rules import REMOVALS
from tests.simulation.shrinking import shrink
from tests.simulation.simulation import Outcome, run, small_slices
from tests.simulation.worker import Parts

SCHEDULES: Final = int(os.environ.get("SEGSTREAM_SIMULATION_SCHEDULES", "20000"))
"""How many `make test` runs; `make faults` sets more."""

FIRST: Final = int(os.environ.get("SEGSTREAM_SIMULATION_FIRST", "0"))
"""The first seed: another one, other schedules."""

TIMEOUT: Final = 600 + SCHEDULES // 10
"""Seconds after which half of them hang: one takes a hundredth of one, several times that on a busy machine."""


@contextmanager
def ready() -> Iterator[None]:
    """Let sweeps and batches be small, and collect garbage between schedules only, of what these have made."""
    enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        with small_slices():
            yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


class Report(NamedTuple):
    """What became of many schedules.

    Parameters
    ----------
    schedules : int
        How many were run.
    turns : int
        Steps they took.
    incarnations : int
        How often Redis had forgotten something published.
    seed : int or None
        The one that failed, which ended the run.
    broken : str
        The promise it broke.
    """

    schedules: int
    turns: int = 0
    incarnations: int = 0
    seed: int | None = None
    broken: str = ""


def campaign(first: int, count: int, parts: Parts | None = None) -> Report:
    """Run the schedules of ``count`` seeds from ``first`` on, up to the first that fails."""
    turns = incarnations = 0
    with ready():
        for done, seed in enumerate(range(first, first + count), 1):
            outcome = run(seed, parts=parts)
            turns += outcome.turns
            incarnations += outcome.incarnations
            if outcome.broken:
                return Report(done, turns, incarnations, seed, outcome.broken)
            gc.collect(0)
    return Report(count, turns, incarnations)


def told(seed: int, parts: Parts | None = None) -> tuple[Outcome, list[str]]:
    """Run one schedule; return what became of it, and what happened in words."""
    trace: list[str] = []
    with ready():
        return run(seed, parts=parts, trace=trace), trace


def cut_down(seed: int, parts: Parts | None = None) -> tuple[Outcome, list[str]]:
    """Return the smallest schedule found that fails, of a seed that does, and what happens in words."""
    trace: list[str] = []
    with ready():
        choices = shrink(
            run(seed, parts=parts).choices, lambda given: bool(run(given=given, parts=parts).broken)
        )
        return run(given=choices, parts=parts, trace=trace), trace


def complaint(report: Report, without: str | None = None) -> str:
    """Return what to tell of a run that failed: the promise, the seed, and the shortest way there in words.

    Parameters
    ----------
    report : Report
        Of a run that failed.
    without : str, optional
        The rule that its workers did without.
    """
    assert report.seed is not None
    small, trace = cut_down(report.seed, None if without is None else REMOVALS[without].parts)
    option = "" if without is None else f" --without {without}"
    return "\n".join(
        [
            f"seed {report.seed} of the simulation: {report.broken}",
            f"again, in words: python -m tests.simulation {report.seed}{option}",
            f"cut down to {len(small.choices)} decisions: {small.broken}",
            *trace,
        ]
    )
