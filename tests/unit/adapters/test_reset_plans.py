"""Where partitions that are reset go on in the topic of forwarded records, and what is refused because of them."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from segstream.adapters.kafka.places import Log, Place
from segstream.adapters.reset_plans import Move, Part, Wish, place_of_forwarded, refuse_new_log
from segstream.core.origin import Origin
from segstream.errors import UsageError
from segstream.ports import Meta

THERE = TopicPartition("segstream-rerouted", 1)


def wish(to: str = "earliest", *, topic: str | None = None, partition: int | None = None) -> Wish:
    """Return a wish to begin anew."""
    return Wish(Place(to), topic, partition, keep_state=False)


def begun(offset: int) -> Meta:
    """Return what is known of a state that began to read forwarded records there."""
    return Meta(origin=Origin.load("").begin({THERE.topic: offset}).dump())


def test_all_partitions_go_on_behind_what_their_sources_forward_again() -> None:
    """Wherever they begin: of two with one source offset the first counts, and here it may lack its predecessors."""
    for place in (0, 4, 9):
        assert place_of_forwarded(wish(), begun(2), THERE, Log(0, 9, 7, place)) == 9


def test_one_partition_reads_again_what_the_others_do_not_forward_again() -> None:
    """From where its state began, or later if that was asked for; from the first left where nothing is known."""
    one = wish(partition=1)
    assert place_of_forwarded(one, begun(3), THERE, Log(0, 9, 7, 0)) == 3
    assert place_of_forwarded(one, begun(3), THERE, Log(5, 9, 7, 5)) == 5
    assert place_of_forwarded(wish("latest", partition=1), begun(3), THERE, Log(0, 9, 7, 9)) == 9
    assert place_of_forwarded(one, Meta(), THERE, Log(2, 9, 7, 2)) == 2
    assert place_of_forwarded(one, begun(12), THERE, Log(0, 9, 7, 0)) == 0, "the log was created anew"


def test_one_topic_alone_is_not_read_again_where_records_of_several_were_forwarded() -> None:
    """Nobody could tell which of them are to count; where nothing was forwarded there is nothing to tell."""
    only = wish(topic="visits")
    with pytest.raises(UsageError, match=r"segstream-rerouted-1 holds records.* leave --topic out"):
        place_of_forwarded(only, begun(0), THERE, Log(0, 9, 7, 0))
    assert place_of_forwarded(only, begun(0), THERE, Log(9, 9, 7, 9)) == 9


def test_a_log_that_was_made_anew_is_not_gone_on_with_where_its_old_offsets_are_remembered() -> None:
    """By states that stay: what it forwards would be dropped. Not where it only grew, nor of other logs."""
    anew = Part(0, 5, 1, unfinished=False, moves={"visits": Move(10, Log(0, 4, 10, 0))})
    grown = anew._replace(moves={"visits": Move(10, Log(0, 14, 10, 10))})
    remembering = Meta(forwarded={"visits-0": 9})
    with pytest.raises(
        UsageError, match=r"visits-0 ends at offset 4, before the position 10.* leave --partition"
    ):
        refuse_new_log([anew], [Meta(), remembering])
    refuse_new_log([anew], [])
    refuse_new_log([grown], [remembering])
    refuse_new_log([anew], [Meta(forwarded={"visits-1": 9, "orders-0": 9})])
