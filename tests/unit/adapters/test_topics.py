"""What is said of topics that are not as they must be."""

from __future__ import annotations

import pytest

from segstream.adapters.kafka.survey import Found, Survey, told_together
from segstream.adapters.kafka.topics import Topics, compare_topics

NAMES = Topics()
RIGHT = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "604800000"}


def layout(partitions: int = 4, **others: Found | None) -> Survey:
    """Return topics as they should be, except for some."""
    topics: dict[str, Found | None] = {}
    for name, wanted in NAMES.configuration().items():
        topics[name] = Found(1 if name == NAMES.samples else partitions, 1, RIGHT | wanted)
    return Survey(topics | {name.replace("_", "-"): found for name, found in others.items()}, {})


def test_topics_as_they_should_be_have_no_difference() -> None:
    """Whatever their number of partitions, unless one is asked for."""
    assert compare_topics(layout(7), NAMES) == []
    assert compare_topics(layout(7), NAMES, partitions=7, replicas=1) == []


def test_a_number_of_partitions_that_was_asked_for_is_compared_with_all() -> None:
    """All six co-partitioned topics are named in one line; the samples may have any."""
    found = compare_topics(layout(4), NAMES, partitions=8)
    assert [each.topic for each in found] == [*NAMES.co_partitioned]
    (line,) = told_together(found)
    assert line.startswith(f"{', '.join(NAMES.co_partitioned)}: partitions is 4, not 8; ")


def test_the_topic_that_differs_from_the_others_is_named() -> None:
    """Where no number is asked for, most of them are right."""
    (only,) = compare_topics(layout(4, segment_changes=Found(3, 1, RIGHT)), NAMES)
    assert (only.topic, only.what, only.found, only.wanted) == ("segment-changes", "partitions", "3", "4")


@pytest.mark.parametrize(
    ("topic", "settings", "told"),
    [
        (
            "events",
            {"message.timestamp.type": "CreateTime"},
            "message.timestamp.type is CreateTime, not LogAppendTime",
        ),
        ("segstream-published", {"cleanup.policy": "delete"}, "cleanup.policy is delete, not compact"),
        (
            "segment-memberships",
            {"cleanup.policy": "compact,delete"},
            "cleanup.policy is compact,delete, not compact",
        ),
    ],
)
def test_a_wrong_setting_is_told_with_the_command_that_corrects_it(
    topic: str, settings: dict[str, str], told: str
) -> None:
    """Also a topic of answers that forgets whoever has been silent for long."""
    found = layout()
    found.topics[topic] = Found(4, 1, RIGHT | settings)
    (only,) = compare_topics(found, NAMES)
    value = told.rpartition(" ")[2]
    assert str(only) == (
        f"{topic}: {told}; kafka-configs --alter --entity-type topics --entity-name {topic} --add-config {only.what}={value}"
    )


def test_compaction_that_deletes_nothing_by_age_is_right() -> None:
    """`compact,delete` with retention for ever is compaction."""
    found = layout()
    found.topics["segment-memberships"] = Found(
        4, 1, {"cleanup.policy": "compact,delete", "retention.ms": "-1"}
    )
    assert compare_topics(found, NAMES) == []


def test_missing_topics_come_last_and_settings_that_cannot_be_read_are_no_difference() -> None:
    """Nobody knows whether they are right: that is a warning."""
    found = layout(4, events=None, segment_changes=Found(4, 1, None))
    (only,) = compare_topics(found, NAMES)
    assert str(only) == (
        "events: missing, or not to be seen by this client; `segstream topics` creates it, or grant this client the right "
        "to describe it"
    )


def test_fewer_replicas_than_asked_for_are_told() -> None:
    """Creating with --replication 3 what exists once does not make it safe."""
    found = compare_topics(layout(), NAMES, replicas=3)
    assert len(found) == 7
    assert {(each.what, each.found, each.wanted) for each in found} == {("replicas", "1", "3")}
