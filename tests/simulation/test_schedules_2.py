"""The second half of the seeds, in a file of its own so that both run at once."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import FIRST, SCHEDULES, TIMEOUT, campaign, complaint


@pytest.mark.timeout(TIMEOUT)
def test_no_schedule_breaks_a_promise() -> None:
    """Whatever goes wrong, and whenever: see `tests.simulation.verdict.judge` for what is promised."""
    half = SCHEDULES // 2
    report = campaign(FIRST + half, SCHEDULES - half)
    if report.seed is not None:
        pytest.fail(complaint(report))
    assert report.schedules == SCHEDULES - half
