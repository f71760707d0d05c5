"""What the recount says of a user beside what Redis holds, and where it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from segstream.core.definitions import read_definitions
from segstream.core.expressions.tree import Constant
from segstream.core.origin import Adoption, Origin
from segstream.core.partitioning import murmur2
from segstream.core.time import NEVER
from segstream.core.types import ValueKind
from segstream.core.user import User
from segstream.errors import PositionError
from segstream.verify.against import compare, differs_in_public
from segstream.verify.conditions import UnknownConstruct, evaluate
from segstream.verify.file import FileLog
from segstream.verify.partition import Events, Terms
from segstream.verify.person import Person
from segstream.verify.rules import Rules
from segstream.verify.walk import refuse
from tests.unit.flow.worlds import record, track

TEXT = """
version: 1
features:
  orders: {op: count, event: Order}
segments:
  buyer: {when: orders >= 1}
  kind:  {when: in_segment("behaviour.c1") and orders >= 1}
  after: {when: in_segment("kind")}
discovered:
  behaviour: {model: kmeans, clusters: 2, features: [orders]}
"""
TERMS = Terms(0, 1, murmur2, replay=True, timer_grace=0, max_clock_skew=0)


def a_buyer(text: str = TEXT) -> tuple[Person, Rules]:
    """Return the recount of somebody who has ordered at 1000 ms, and the rules."""
    rules = Rules(1, 0, read_definitions(text))
    events = Events(TERMS, [Adoption(1, 0, {})])
    events.add(record(0, 10_000, track("ada", "Order", 1_000)))
    person = events.person("ada", [rules], 0, 5_000)
    assert person is not None
    return person, rules


def test_segments_too_many_too_few_and_since_another_moment_are_told() -> None:
    """Each in words, with the segment."""
    person, rules = a_buyer(TEXT[: TEXT.index("  kind:")])
    assert compare(person, {"buyer": 1_000}, rules) == ""
    assert compare(person, {}, rules) == "should be in buyer, and is not"
    assert compare(person, {"buyer": 1_000, "big": 5}, rules) == "is in big, and should not be"
    assert compare(person, {"buyer": 1_001}, rules) == (
        "is in buyer since 1970-01-01T00:00:01.001Z, and should be since 1970-01-01T00:00:01.000Z"
    )
    assert compare(None, {"buyer": 1}, None) == "is in buyer, and should not be"


def test_what_depends_on_a_model_is_left_aside() -> None:
    """The log does not tell what a model found: neither who asks for it is checked, nor who asks for those."""
    person, rules = a_buyer()
    assert rules.unchecked == {"kind", "after"}
    assert compare(person, {"buyer": 1_000, "kind": 7, "after": 7}, rules) == ""
    assert compare(person, {"buyer": 999}, rules) == ""  # a snapshot may have come then
    assert compare(person, {"kind": 7}, rules) == "should be in buyer, and is not"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"buyer": 5, "behaviour.c1": 6}, ""),
        ({"buyer": 5}, "others do not see behaviour.c1"),
        ({"buyer": 5, "behaviour.c1": 6, "big": 7}, "others see big, which the state does not have"),
    ],
)
def test_the_public_answer_is_held_against_the_state(answer: Mapping[str, int], told: str) -> None:
    """Discovered segments included."""
    user = User("ada", (), 1, 1)
    user.held, user.assigned = {"buyer": (5, NEVER)}, {"behaviour": ("c1", 6)}
    assert differs_in_public(user, answer) == told


def test_a_construct_that_is_not_known_is_named() -> None:
    """Nothing is guessed."""

    class Novelty(Constant):
        """A node from the future."""

    node: Any = Novelty(1, ValueKind.NUMBER, 0)
    with pytest.raises(UnknownConstruct, match="the recount does not know Novelty in a condition"):
        evaluate(node, lambda _: None, 0)


def test_a_state_that_does_not_tell_its_beginning_is_refused() -> None:
    """As earlier versions left it, or for a topic that it says nothing of."""
    origin = Adoption(1, 0, {})
    with pytest.raises(PositionError, match="partition 3: its state does not tell from where in crm"):
        refuse(3, Origin({"events": 0}, (origin,), ""), ["events", "crm"])
    refuse(3, Origin({"events": 0}, (origin,), ""), ["events"])


async def test_a_file_is_read_up_to_the_position_and_then_on(tmp_path: Path) -> None:
    """Only the lines of the partition, numbered as they were sent; what the file lacks is told."""
    path = tmp_path / "events.ndjson"
    path.write_text('{"userId": "a"}\n\n{"userId": 7}\nnonsense\n{"anonymousId": "b"}\n')
    async with FileLog(path, TERMS, "events", 10, {}) as log:
        first = [each.offset async for part in log.read({"events": 11}) for each in part]
        assert (first, log.lacking) == ([10, 11], 0)
        then = [(each.offset, each.key) async for part in log.read({"events": 14}) for each in part]
    assert then == [(12, b""), (13, b"b")]
    assert log.lacking == 1


def test_only_so_many_bytes_of_events_are_kept() -> None:
    """Half of the users at a time go to another pass, each to exactly one."""
    rows = [
        record(number, 10_000, track(f"u{number % 40}", "Order", 1_000 + number)) for number in range(400)
    ]
    events = Events(TERMS, [Adoption(1, 0, {})], most_bytes=60_000)
    groups, kept = [events.group], []
    while groups:
        events = Events(TERMS, [Adoption(1, 0, {})], most_bytes=60_000, group=groups.pop())
        for row in rows:
            events.add(row)
        assert events.applied == 400
        kept += events.users()
        groups += events.left_out
    assert sorted(kept) == sorted(f"u{number}" for number in range(40))
