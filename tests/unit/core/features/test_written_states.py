"""States that are in Redis already are read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest

from segstream.core.user import User
from tests.unit.core.features.recounts import CASES, Case, Event

WRITTEN: Final[dict[int, dict[str, Any]]] = {
    schema: json.loads(
        Path(__file__).with_name(f"written_by_schema_{schema}.json").read_text(encoding="utf-8")
    )
    for schema in (1, 2)
}
"""What earlier programs wrote after `EVENTS`, by schema: each accumulator's state, and a user with all of them."""

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

known = [
    (schema, case) for schema, written in WRITTEN.items() for case in CASES if case.name in written["states"]
]


def read(packed: str) -> Any:
    """Return a state from its bytes in hex."""
    return msgpack.unpackb(bytes.fromhex(packed), strict_map_key=False, use_list=False)


@pytest.mark.parametrize(("schema", "case"), known, ids=lambda one: getattr(one, "name", None))
def test_a_state_written_by_an_earlier_version_is_read_and_gone_on_with(schema: int, case: Case) -> None:
    """It has the value of its events, takes more, and is what this version would write."""
    accumulator, events = case.accumulator(), [(at * case.unit, value, tie) for at, value, tie in EVENTS]
    written, now = read(WRITTEN[schema]["states"][case.name]), accumulator.zero()
    for at, value, tie in events:
        now = accumulator.add(now, at, value, tie)
    end, more = 520 * case.unit, (530 * case.unit, 7, "m11")
    assert accumulator.value(written, end) == case.recount(events, end)
    assert repr(written) == repr(now)
    later = accumulator.add(written, *more)
    assert accumulator.value(later, more[0]) == case.recount([*events, more], more[0])


def test_every_state_of_earlier_versions_is_looked_at() -> None:
    """None of the operations they had is gone, and the last of them had all that there are now."""
    for schema, written in WRITTEN.items():
        assert {case.name for number, case in known if number == schema} == set(written["states"])
    assert {case.name for case in CASES} == set(WRITTEN[max(WRITTEN)]["states"])


@pytest.mark.parametrize("schema", WRITTEN)
def test_a_user_written_by_an_earlier_version_is_read(schema: int) -> None:
    """Its leading number says how: with the segments and all states as they were."""
    written = bytes.fromhex(WRITTEN[schema]["user"])
    assert msgpack.unpackb(written, strict_map_key=False)[0] == schema
    user = User.decode("00042", written)
    assert user.features == tuple(read(state) for state in WRITTEN[schema]["states"].values())
    assert (user.sequence, user.basis, user.decided_at, user.due) == (7, 3, 520, 1_000)
    assert user.segments() == ["active", "behaviour.c1"]
    clocks = ({"keen": 400}, {"lapsed": 300}, ("active",)) if schema > 1 else ({}, {}, ())
    assert (user.confirming, user.left, user.resisted) == clocks
    assert User.decode("00042", user.encode()).features == user.features
