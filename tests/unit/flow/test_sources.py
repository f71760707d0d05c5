"""Documents of sources through the whole flow: read by the version of their time, refused with their place."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from segstream.adapters.memory.state import partition_of
from segstream.core.origin import Origin
from segstream.core.partitioning import murmur2
from segstream.core.records import LogRecord
from segstream.core.time import parse_time
from segstream.verify.partition import Events, Terms
from segstream.verify.rules import Rules
from tests.unit.flow.worlds import SKEW, START, World, compiled, play_at_once, play_singly

BEFORE: Final = """
version: 1
sources:
  surveys: {type: track, event: Answered, user: who, properties: {score: nps}}
features:
  score:   {op: last, of: properties.score, event: Answered}
  answers: {op: count, event: Answered, topic: surveys}
segments:
  detractor: {when: score <= 6}
  talker:    {when: answers >= 3}
"""
AFTER: Final = BEFORE.replace("user: who,", "user: person.id,").replace("score: nps", "score: answers.nps")
MOMENT: Final = START + 10


def row(offset: int, document: dict[str, Any], topic: str = "surveys") -> LogRecord:
    """Return a document that arrives so many ms after the start."""
    return LogRecord(topic, 0, offset, START + offset, None, orjson.dumps(document))


ROWS: Final = [
    row(0, {"who": "ada", "nps": 3}),
    row(1, {"who": "bob", "nps": 9}),
    row(2, {"person": {"id": "cleo"}, "nps": 3}),  # too early for this shape
    row(9, {"who": "ada", "nps": 7}),
    row(10, {"person": {"id": "ada"}, "answers": {"nps": 2}}),
    row(11, {"who": "bob", "nps": 1}),  # too late for this one
    row(12, {"person": {"id": "bob"}, "answers": {"nps": 5}}),
]


@pytest.mark.parametrize("play", [play_at_once, play_singly])
async def test_a_changed_source_reads_what_arrives_from_then_on(play: Any) -> None:
    """However records fall into batches; what is counted goes on, and what no version can read is a dead letter."""
    world = World([(0, BEFORE), (MOMENT, AFTER)])
    await play(world, ROWS, START + 20)
    told = [
        (change["user_id"], change["change"], change["segment"], parse_time(change["at"]) - START)
        for change in world.changes()
    ]
    assert sorted(told) == [
        ("ada", "entered", "detractor", 0),
        ("ada", "entered", "detractor", 10),
        ("ada", "entered", "talker", 10),
        ("ada", "exited", "detractor", 9),
        ("bob", "entered", "detractor", 12),
    ]
    letters = [(each["offset"], each["reason"], each["where"]) for each in world.letters()]
    assert letters == [(2, "no_user", "who"), (11, "no_user", "person.id")]
    meta = partition_of(world.server, "segstream", 0).meta
    adoptions = Origin.load(meta.origin).adoptions
    rules = [Rules(each.version, each.at, compiled((BEFORE, AFTER)[each.version - 1])) for each in adoptions]
    events = Events(Terms(0, 1, murmur2, replay=False, timer_grace=0, max_clock_skew=SKEW), adoptions)
    events.mappings = [each.mappings for each in rules]
    for each in ROWS:
        events.add(each)
    assert (events.applied, events.unusable) == (5, 2)
    for name, user in world.users().items():
        person = events.person(name, rules, len(rules) - 1, START + 20)
        assert person is not None
        assert person.held == {segment: since for segment, (since, _) in user.held.items()}


async def test_a_topic_without_a_source_is_read_as_ever_beside_one_with() -> None:
    """The same document is a row here and an event there."""
    world = World([(0, BEFORE)])
    event = {"type": "track", "event": "Answered", "userId": "ada", "properties": {"score": 3}, "who": "bob"}
    await play_at_once(world, [row(0, event, "events"), row(1, event)], START + 20)
    assert {change["user_id"]: change["cause"]["topic"] for change in world.changes()} == {"ada": "events"}
    assert {name: user.features[0] for name, user in world.users().items()} == {"ada": 0, "bob": 1}


async def test_what_no_source_can_use_leaves_the_original_and_a_reason() -> None:
    """Whole, to be sent again once the path is right; the position goes on."""
    world = World([(0, BEFORE)])
    flow = await play_at_once(world, [row(0, {"person": "ada"})], START + 20)
    (letter,) = world.letters()
    assert (letter["topic"], letter["offset"], letter["where"]) == ("surveys", 0, "who")
    assert letter["message"] == (
        "The source surveys finds no user at who; correct the path, or what is sent."
    )
    assert flow.partition.meta.offsets == {"surveys": 0}
