"""The checker can fail: without any one of the rules of delivery, it does."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import ready
from tests.simulation.rules import MOST, REMOVALS, schedules_until_caught


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", REMOVALS)
def test_the_removal_of_a_rule_is_noticed(name: str) -> None:
    """Workers that do without it break a promise, and the checker says which."""
    with ready():
        count, outcome = schedules_until_caught(name, MOST)
    assert outcome is not None, f"{MOST} schedules without {REMOVALS[name].rule}, and nothing was noticed"
    print(f"without {REMOVALS[name].rule}: noticed after {count} schedules: {outcome.broken}")  # noqa: T201 - the count
