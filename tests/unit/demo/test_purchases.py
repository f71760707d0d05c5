"""The events of the demo."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from segstream.core.definitions import read_definitions
from segstream.core.time import parse_time
from segstream.demo.purchases import END, Entry, load_events, load_purchases
from segstream.errors import UsageError


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return load_purchases()


def test_the_purchases_are_all_there_to_the_cent(entries: list[Entry]) -> None:
    """69,659 purchases of 23,570 people for 2,500,315.63 dollars, as the data set's authors tell."""
    documents = [orjson.loads(entry.value) for entry in entries]
    revenue = sum(Decimal(str(document["properties"]["revenue"])) for document in documents)
    assert len(documents) == 69_659
    assert len({document["userId"] for document in documents}) == 23_570
    assert revenue == Decimal("2500315.63")


def test_a_purchase_is_an_event_of_the_segment_spec(entries: list[Entry]) -> None:
    """The first line of the file becomes a track event with its line number as message id."""
    first = next(entry for entry in entries if entry.key == "00001")
    assert orjson.loads(first.value) == {
        "type": "track",
        "event": "Order Completed",
        "userId": "00001",
        "timestamp": "1997-01-01T00:00:00.000Z",
        "messageId": "1",
        "properties": {"revenue": 11.77, "quantity": 1},
    }


def test_purchases_come_in_the_order_of_time_and_those_of_a_day_in_the_files_order(
    entries: list[Entry],
) -> None:
    """A replay moves time by the events: they may not go back, and a day's order is fixed."""
    order = [(entry.at, int(orjson.loads(entry.value)["messageId"])) for entry in entries]
    assert order == sorted(order)
    assert order[-1][0] == END == parse_time("1998-06-30")


def test_each_line_is_a_purchase_even_if_it_looks_like_another(entries: list[Entry]) -> None:
    """255 lines repeat another exactly; their message ids tell them apart."""
    without_id = [
        orjson.dumps(
            {name: value for name, value in orjson.loads(entry.value).items() if name != "messageId"}
        )
        for entry in entries
    ]
    assert len(without_id) - len(set(without_id)) == 255
    assert len({orjson.loads(entry.value)["messageId"] for entry in entries}) == len(entries)


def test_events_of_a_file_keep_their_order_and_are_keyed_by_user(tmp_path: Path) -> None:
    """Also what is no event is sent: the worker is to say what is wrong with it."""
    file = tmp_path / "events.ndjson"
    file.write_text(
        '{"userId": "b", "timestamp": "1970-01-01T00:00:05Z"}\n\n{"anonymousId": "a"}\nnonsense\n[1]\n'
    )
    entries = load_events(file)
    assert [(entry.key, entry.at) for entry in entries] == [("b", 5_000), ("a", 0), ("", 0), ("", 0)]


def test_documents_of_sources_in_a_file_become_events_of_its_one_topic(tmp_path: Path) -> None:
    """So that the file's order is kept; what its source cannot use goes as it is, to be refused."""
    surveys = "{type: track, event: Answered, user: who, timestamp: at, properties: {score: nps}}"
    mappings = read_definitions(f"version: 1\nsources: {{surveys: {surveys}}}\n").mappings
    file = tmp_path / "events.ndjson"
    file.write_text(
        '{"topic": "surveys", "value": {"who": "ada", "at": "1970-01-01T00:00:05Z", "nps": 9}}\n'
        '{"topic": "surveys", "value": {"at": "1970-01-01T00:00:06Z"}}\n'
        '{"topic": "unknown", "value": {"userId": "bob"}}\n'
        '{"topic": "surveys", "value": 3}\n'
        '{"type": "page", "userId": "cleo", "topic": "surveys"}\n'
    )
    first, *others = load_events(file, mappings)
    assert (first.key, first.at) == ("ada", 5_000)
    assert orjson.loads(first.value) == {
        "type": "track",
        "event": "Answered",
        "userId": "ada",
        "timestamp": "1970-01-01T00:00:05Z",
        "messageId": "surveys-1",
        "properties": {"score": 9},
    }
    assert [(entry.key, entry.value[:20]) for entry in others] == [
        ("", b'{"at":"1970-01-01T00'),
        ("bob", b'{"userId":"bob"}'),
        ("", b"3"),
        ("cleo", b'{"type": "page", "us'),
    ]


def test_a_file_without_events_is_refused(tmp_path: Path) -> None:
    """There would be nothing to show."""
    file = tmp_path / "empty.ndjson"
    file.write_text("\n")
    with pytest.raises(UsageError, match="holds no events"):
        load_events(file)
