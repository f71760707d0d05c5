"""The ready-made definitions: somebody walks into and out of every segment, as those who listen are told."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Final

import pytest

from segstream.adapters.memory.state import partition_of
from segstream.core.definitions import find_mistakes, read_definitions
from segstream.core.events import Event, LogRecord, decode
from segstream.core.origin import Origin
from segstream.core.partitioning import murmur2
from segstream.core.time import DAY, parse_time
from segstream.verify.against import until
from segstream.verify.partition import Events, Terms
from segstream.verify.rules import Rules
from segstream_schemas.times import LATEST
from tests.manifests import ROOT
from tests.unit.deploy.retail_walks import RETAIL
from tests.unit.deploy.saas_walks import SAAS
from tests.unit.deploy.walks import Document, Walk, at
from tests.unit.deploy.years import a_year
from tests.unit.flow.worlds import SKEW, START, World, play_at_once, play_singly, record

FOLDER: Final = ROOT / "deploy" / "definitions"
NAMES: Final = ("retail", "saas")
TEXTS: Final = {name: (FOLDER / f"{name}.yaml").read_text(encoding="utf-8") for name in NAMES}
DEFINED: Final = {name: read_definitions(text) for name, text in TEXTS.items()}

WALKS: Final = {"retail": RETAIL, "saas": SAAS}


@pytest.mark.parametrize(
    ("name", "walk"),
    [pytest.param(name, walk, id=f"{name}: {walk.name}") for name, walks in WALKS.items() for walk in walks],
)
async def test_who_walks_this_way_enters_and_leaves_then(name: str, walk: Walk) -> None:
    """Each change of these segments is told, with its moment and cause, and none besides."""
    world = World([(0, TEXTS[name])])
    records = [
        record(offset, parse_time(document["timestamp"]), document)
        for offset, document in enumerate(walk.does)
    ]
    await play_singly(world, records, at(walk.until))
    assert world.letters() == []
    of = set(walk.of) or {segment for segment, *_ in walk.told}
    assert [
        (change["segment"], change["change"], parse_time(change["at"]), change["cause"]["type"])
        for change in world.changes()
        if change["segment"] in of
    ] == walk.told


@pytest.mark.parametrize("name", NAMES)
def test_every_segment_is_entered_and_left_by_event_and_by_time(name: str) -> None:
    """In the walks above: none is forgotten, those of groups included."""
    walked: dict[str, set[str]] = {}
    for walk in WALKS[name]:
        for segment, change, _, cause in walk.told:
            walked.setdefault(segment, set()).update((change, cause))
    assert walked == {
        segment.name: {"entered", "exited", "event", "timer"} for segment in DEFINED[name].segments
    }


@pytest.mark.parametrize("name", NAMES)
def test_they_are_valid_and_everything_in_them_is_of_use(name: str) -> None:
    """Each segment has a label and an owner; each feature is read by a condition or exposed."""
    assert find_mistakes(TEXTS[name]) == []
    defined = DEFINED[name]
    for segment in defined.segments:
        assert segment.label != segment.name
        assert segment.owner
        assert segment.tags
    conditions = " ".join(f"{each.when} {each.leave_when}" for each in defined.document.segments.values())
    read = set(re.findall(r"[a-z_0-9]+", conditions))
    told = {feature for feature, told in defined.document.features.items() if told.expose}
    assert set(defined.document.features) - told - read == set()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_every_segment_event_and_trait(name: str) -> None:
    """As the definitions have them now: each segment in a row of its table, each event and trait by its name."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## [^\n]*`{name}[.]yaml`\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| `")]
    told: list[str] = []
    for row in rows:
        first, *others = re.findall(r"`(\w+)`", row)
        # Of `young_mobile_dach`, `_nordics` the second is young_mobile_nordics.
        told += [first, *(f"young_mobile{each}" if each.startswith("_") else each for each in others)]
    assert sorted(told) == sorted(segment.name for segment in DEFINED[name].segments)
    document = DEFINED[name].document
    named = {*document.traits, *(str(each.event) for each in document.features.values() if each.event)}
    assert {each for each in named if f"`{each}`" not in section} == set()


# --- sample events


def sample(name: str) -> list[LogRecord]:
    """Return the lines of a sample, each as it lies in its topic."""
    lines = (FOLDER / f"{name}.events.ndjson").read_text(encoding="utf-8").splitlines()
    found = []
    for offset, line in enumerate(lines):
        document: Document = json.loads(line)
        topic, value = (document["topic"], document["value"]) if "value" in document else ("events", document)
        found.append(LogRecord(topic, 0, offset, 0, None, json.dumps(value).encode()))
    return [each._replace(timestamp=event_of(name, each).at) for each in found]


def event_of(name: str, each: LogRecord) -> Event:
    """Return what a line of a sample is as an event."""
    event = decode(each, max_clock_skew=LATEST, mapping=DEFINED[name].mappings.get(each.topic))
    assert isinstance(event, Event), event
    return event


@pytest.mark.parametrize("name", NAMES)
async def test_the_sample_takes_somebody_into_every_segment(name: str) -> None:
    """Replayed in its order, without a dead letter, and three months of silence after it."""
    records = sample(name)
    moments = [each.timestamp for each in records]
    assert moments == sorted(moments)
    events = [event_of(name, each) for each in records]
    assert len({event.message_id for event in events}) == len(events)
    assert len({event.document.get("channel") for event in events}) >= 2
    assert {each.topic for each in records} == {"events", *DEFINED[name].mappings}
    world = World([(0, TEXTS[name])])
    flow = await play_at_once(world, records, moments[-1] + 90 * DAY)
    assert world.letters() == []
    assert flow.partition.counts.repeats == 0
    told = Counter(change["segment"] for change in world.changes() if change["change"] == "entered")
    assert set(told) == {segment.name for segment in DEFINED[name].segments}
    assert {change["change"] for change in world.changes()} == {"entered", "exited"}


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_the_sample_is_counted_by_some_feature(name: str) -> None:
    """So it shows what the definitions need, and nothing else."""
    for each in sample(name):
        event = event_of(name, each)
        reached = DEFINED[name].routes(event.type, event.name, each.topic)
        assert reached, event
        # Of a source nothing is taken that no feature looks at.
        within = {"identify": "traits"}.get(event.type, "properties")
        used = {feature.path[1] for feature in reached if feature.path and len(feature.path) > 1}
        used |= {"survey"} if event.name == "Survey Answered" else set()
        assert each.topic == "events" or set(event.document.get(within, {})) <= used, event


@pytest.mark.parametrize("name", NAMES)
async def test_wake_ups_in_vain_are_fewer_than_two_for_each_real_change(name: str) -> None:
    """Over a year of forty people with all kinds of habits, some of whom fall silent."""
    world = World([(0, TEXTS[name])])
    records = [
        record(offset, parse_time(document["timestamp"]), document)
        for offset, document in enumerate(a_year(name, 40))
    ]
    counts = (await play_at_once(world, records, START + 365 * DAY)).partition.counts
    assert counts.dead_letters == 0
    assert counts.changes == len(world.changes()) > 200
    # Enough of them happen by time for the measure to mean something.
    assert counts.wake_ups - counts.idle_wake_ups > 50
    assert counts.idle_wake_ups < 2 * counts.changes
    # Stricter: against what timers alone changed.
    assert counts.idle_wake_ups < 2 * (counts.wake_ups - counts.idle_wake_ups)


@pytest.mark.parametrize("name", NAMES)
async def test_the_plain_recount_finds_the_same_over_a_year(name: str) -> None:
    """Every turn of ten people, worked out a second time by what `segstream verify` counts with."""
    world = World([(0, TEXTS[name])])
    records = [
        record(offset, parse_time(document["timestamp"]), document)
        for offset, document in enumerate(a_year(name, 10))
    ]
    await play_at_once(world, records, START + 365 * DAY)
    meta = partition_of(world.server, "segstream", 0).meta
    adoptions = Origin.load(meta.origin).adoptions
    rules = [Rules(each.version, each.at, read_definitions(TEXTS[name])) for each in adoptions]
    events = Events(Terms(0, 1, murmur2, replay=False, timer_grace=0, max_clock_skew=SKEW), adoptions)
    for each in records:
        events.add(each)
    told: dict[str, list[tuple[int, str, str]]] = {}
    for change in world.changes():
        turn = (parse_time(change["at"]), change["change"], change["segment"])
        told.setdefault(change["user_id"], []).append(turn)
    users = world.users()
    assert len(users) == 10
    for user, state in users.items():
        end = until(state, meta, adoptions, 0)
        assert end is not None
        person = events.person(user, rules, end.step, end.before)
        assert person is not None
        assert sorted((turn.at, turn.change, turn.segment) for turn in person.story) == sorted(
            told.get(user, [])
        )
