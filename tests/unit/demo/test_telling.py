"""A change in one line: the reason is that of the segment itself, also where nobody says which conditions are whose."""

from __future__ import annotations

from typing import Any

import pytest

from segstream.demo.telling import tell


def reason(condition: str, name: str, *, after: bool) -> dict[str, Any]:
    """Return a condition that has flipped because one value moved."""
    return {
        "condition": condition,
        "before": not after,
        "after": after,
        "inputs": {name: {"before": 1, "after": 2}},
    }


MOVE = [
    reason("orders >= 2 and since(last_order) <= 60d", "since(last_order)", after=False),
    reason("orders >= 2 and since(last_order) > 60d", "since(last_order)", after=True),
]
"""A move inside a group: the conditions of the segment that is left, then those of the one that is entered."""


@pytest.mark.parametrize(
    ("change", "reasons", "told"),
    [
        ("entered", MOVE, "7 entered at_risk: since(last_order) > 60d, by timer"),
        ("exited", MOVE, "7 exited at_risk: no longer since(last_order) <= 60d, by timer"),
        (
            "exited",
            [reason("spent < 400", "spent", after=True)],
            "7 exited at_risk: spent < 400, by timer",
        ),
        ("entered", [], "7 entered at_risk, by timer"),
    ],
)
def test_the_likely_reason_is_told_without_definitions(
    change: str, reasons: list[dict[str, Any]], told: str
) -> None:
    """One enters because something became true, and leaves by the first condition told."""
    record: dict[str, Any] = {
        "user_id": "7", "segment": "at_risk", "change": change, "cause": {"type": "timer"}, "reasons": reasons,
    }  # fmt: skip
    assert tell(record, {}) == told


def test_a_restated_answer_is_told_anew() -> None:
    """It is about no segment."""
    record: dict[str, Any] = {
        "user_id": "7", "segment": None, "change": "restated", "cause": {"type": "recovery"}, "reasons": [],
    }  # fmt: skip
    assert tell(record, {}) == "7 restated anew, by recovery"
