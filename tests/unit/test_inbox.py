"""The inbox of a partition number."""

from __future__ import annotations

from segstream.core.events import LogRecord
from segstream.inbox import LEAST_BYTES, MOST_BATCH_BYTES, MOST_BYTES, RECORD_BYTES, Inbox, share_of


def record(topic: str, offset: int, arrival: int) -> LogRecord:
    return LogRecord(topic, 0, offset, arrival, None, None)


def test_records_of_two_topics_come_out_by_arrival() -> None:
    """While records wait they are merged by arrival, each topic in log order."""
    inbox = Inbox(["orders", "crm"])
    inbox.add("orders", [record("orders", 0, 10), record("orders", 1, 30)], fetched_all=True)
    inbox.add("crm", [record("crm", 0, 20), record("crm", 1, 40)], fetched_all=True)
    assert [(r.topic, r.offset) for r in inbox.take(3)] == [("orders", 0), ("crm", 0), ("orders", 1)]
    assert [(r.topic, r.offset) for r in inbox.take(3)] == [("crm", 1)]


def test_a_topic_with_more_to_fetch_holds_the_others_back() -> None:
    """Nothing overtakes a record that has arrived and is not fetched yet."""
    inbox = Inbox(["orders", "crm"])
    inbox.add("orders", [record("orders", 0, 10)], fetched_all=True)
    inbox.add("crm", [record("crm", 0, 5)], fetched_all=False)
    assert [r.topic for r in inbox.take(10)] == ["crm"], "crm may have another from before 10"
    inbox.add("crm", [], fetched_all=True)
    assert [r.topic for r in inbox.take(10)] == ["orders"]


def test_what_is_put_back_comes_first_again() -> None:
    """A batch that was cut short goes on where it stopped."""
    inbox = Inbox(["orders"])
    inbox.add("orders", [record("orders", offset, offset) for offset in range(5)], fetched_all=True)
    taken = inbox.take(3)
    inbox.put_back(taken[1:])
    assert [r.offset for r in inbox.take(10)] == [1, 2, 3, 4]
    assert len(inbox) == 0


def test_after_clearing_nothing_counts_as_fetched() -> None:
    """A partition that starts over waits for what is fetched anew."""
    inbox = Inbox(["orders", "crm"])
    inbox.add("orders", [record("orders", 0, 10)], fetched_all=True)
    inbox.clear()
    inbox.add("crm", [record("crm", 0, 5)], fetched_all=True)
    assert inbox.take(10) == []


def test_large_records_fill_the_inbox_before_many_do() -> None:
    """Memory is bounded in bytes: fetching stops, and a batch ends, long before the number of records says so."""
    large = LogRecord("orders", 0, 0, 0, None, bytes(1 << 20))
    inbox = Inbox(["orders"])
    inbox.add("orders", [large._replace(offset=offset) for offset in range(20)], fetched_all=True)
    assert inbox.full("orders")
    taken = inbox.take(1_000)
    assert len(taken) == MOST_BATCH_BYTES >> 20
    assert not inbox.full("orders")
    inbox.put_back(taken)
    assert inbox.full("orders")
    inbox.clear()
    assert not inbox.full("orders")


def test_a_log_of_which_something_is_fetched_and_not_all_is_looked_at_again() -> None:
    """Not one of which nothing was fetched since the partition started over: what is known of its end is old."""
    inbox = Inbox(["orders", "crm"])
    assert not inbox.unsure("orders")
    inbox.add("orders", [record("orders", 0, 10)], fetched_all=False)
    assert inbox.unsure("orders")
    inbox.add("orders", (), fetched_all=True)
    assert not inbox.unsure("orders")
    inbox.add("orders", [record("orders", 1, 11)], fetched_all=False)
    inbox.clear()
    assert not inbox.unsure("orders")


def test_records_of_one_topic_do_not_wait_for_topics_that_are_read_to_their_end() -> None:
    """And come to an end where the other topics would be next."""
    inbox = Inbox(["orders", "crm", "rerouted"])
    inbox.add("crm", (), fetched_all=True)
    inbox.add("orders", [record("orders", offset, offset) for offset in range(3)], fetched_all=False)
    assert inbox.take(10) == []
    inbox.add("rerouted", (), fetched_all=True)
    assert [r.offset for r in inbox.take(10)] == [0, 1, 2]
    inbox.add("crm", [record("crm", 7, 1)], fetched_all=True)
    assert inbox.take(10) == [], "what comes of orders may have arrived before"


def test_forwarded_records_hold_no_other_topic_back() -> None:
    """Their log may be stuck behind the transaction of a worker that was killed; those at hand are merged all the same."""
    inbox = Inbox(["orders", "rerouted"], rerouted="rerouted")
    inbox.add("orders", [record("orders", 0, 20)], fetched_all=True)
    inbox.add("rerouted", [record("rerouted", 0, 10)], fetched_all=False)
    assert not inbox.unsure("rerouted"), "nobody waits to know"
    assert [r.topic for r in inbox.take(10)] == ["rerouted", "orders"]
    inbox.clear()
    inbox.add("rerouted", [record("rerouted", 1, 10)], fetched_all=False)
    assert inbox.take(10) == [], "they wait for the others, as all topics do"
    inbox.add("orders", [record("orders", 1, 20)], fetched_all=False)
    assert [r.topic for r in inbox.take(10)] == ["rerouted", "orders"]


def test_many_logs_share_a_workers_memory_for_records() -> None:
    """So that it does not grow with the number of partitions; one fetch of each always has room."""
    assert share_of(256 << 20, 4) == MOST_BYTES
    assert share_of(256 << 20, 128) == 2 << 20
    assert share_of(256 << 20, 10_000) == LEAST_BYTES
    small = Inbox(["orders"], 2_000)
    small.add("orders", [record("orders", offset, offset) for offset in range(5)], fetched_all=True)
    assert small.full("orders"), "what a record takes besides its value counts, too"
    assert small.bytes == 5 * RECORD_BYTES
