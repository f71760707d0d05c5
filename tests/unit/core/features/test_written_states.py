"""States that are in Redis already are read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest

from segstream.core.user import User
from tests.unit.core.features.recounts import CASES, Event

WRITTEN: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("written_by_schema_1.json").read_text(encoding="utf-8")
)
"""What the first version of the program wrote after `EVENTS`: each accumulator's state, and a user with all of them."""

EVENTS: Final[list[Event]] = [
    (-250, 2, "m0"),
    (0, 0.1, "m1"),
    (130, "a", "m2"),
    (131, "1997-06-11", "m3"),
    (260, True, "m4"),
    (260, 0.2, "m5"),
    (420, -2.5, "m6"),
    (400, 3, "m7"),
    (401, None, "m8"),
    (500, 2**63 - 1, "m9"),
    (520, 2**63 - 1, "m10"),
]

known = [case for case in CASES if case.name in WRITTEN["states"]]


def read(packed: str) -> Any:
    """Return a state from its bytes in hex."""
    return msgpack.unpackb(bytes.fromhex(packed), strict_map_key=False, use_list=False)


@pytest.mark.parametrize("case", known, ids=lambda case: case.name)
def test_a_state_written_by_the_first_version_is_read_and_gone_on_with(case: Any) -> None:
    """It has the value of its events, takes more, and is what this version would write."""
    accumulator = case.accumulator()
    written, now = read(WRITTEN["states"][case.name]), accumulator.zero()
    for at, value, tie in EVENTS:
        now = accumulator.add(now, at, value, tie)
    assert accumulator.value(written, 520) == case.recount(EVENTS, 520)
    assert repr(written) == repr(now)
    later = accumulator.add(written, 530, 7, "m11")
    assert accumulator.value(later, 530) == case.recount([*EVENTS, (530, 7, "m11")], 530)


def test_every_state_of_the_first_version_is_looked_at() -> None:
    """None of the operations it had is gone."""
    assert {case.name for case in known} == set(WRITTEN["states"])


def test_a_user_written_by_the_first_version_is_read() -> None:
    """Its leading number says how: with the segments and all states as they were."""
    written = bytes.fromhex(WRITTEN["user"])
    assert msgpack.unpackb(written, strict_map_key=False)[0] == 1
    user = User.decode("00042", written)
    assert user.features == tuple(read(state) for state in WRITTEN["states"].values())
    assert (user.sequence, user.basis, user.decided_at, user.due) == (7, 3, 520, 1_000)
    assert user.segments() == ["active", "behaviour.c1"]
    assert User.decode("00042", user.encode()).features == user.features
