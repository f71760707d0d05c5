"""The metrics of a worker whose partitions are in memory: what is told of a backlog, a replay, an outage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from segstream.adapters.census_taker import EVERY, CensusTaker
from segstream.adapters.fetcher import Fetcher
from segstream.adapters.health import CHECK_REDIS, LIVE_LIMIT, SILENT_LIMIT, Health
from segstream.adapters.holdings import Holdings
from segstream.adapters.log_watch import LogWatch
from segstream.adapters.memory.definitions import MemoryDefinitions
from segstream.adapters.memory.models import MemoryModels
from segstream.adapters.metrics.catalogue import METRICS, table
from segstream.adapters.metrics.collector import WorkerParts, make_registry
from segstream.adapters.metrics.lag import Lag, LagMeter
from segstream.adapters.redis.census import Count, Question
from segstream.adapters.rivals import LOSSES, WITHIN, Rivals
from segstream.adapters.steps import Steps
from segstream.adapters.vitals import Vitals
from segstream.errors import Fenced, ServerError
from segstream.flow import Flow
from segstream.inbox import Inbox
from segstream.librarian import Librarian
from segstream.runner import Pace, Runner
from segstream.tally import Tally
from segstream.upkeep import drain
from tests.unit.flow.worlds import START, World, feed, record, track

LOG = TopicPartition("events", 0)
DEFINITIONS = """
version: 1
features:
  orders: {op: count, event: Order Completed}
  last:   {op: last_time, event: Order Completed}
segments: {buyer: {when: orders >= 1}, gone: {when: since(last) > 60s}}
"""


class Members:
    """A consumer that is assigned one log."""

    position_is = 0

    def assignment(self) -> set[TopicPartition]:
        """Return the log."""
        return {LOG}

    def paused(self) -> set[TopicPartition]:
        """Return nothing: there is room."""
        return set()

    async def position(self, there: TopicPartition) -> int:
        """Return how far the log was fetched."""
        assert there == LOG
        return self.position_is


class Ends:
    """Knows where logs end, unless Kafka is away."""

    end: int | None = 0
    silent: ClassVar[dict[int, ServerError]] = {}

    async def ask(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end."""
        if self.end is None:
            raise ServerError("Kafka is away")
        return dict.fromkeys(partitions, self.end)


class Counting:
    """A census that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    async def count(self, questions: Sequence[Question]) -> dict[int, Count]:
        """Return made-up counts."""
        self.asked += questions
        return {question.partition: Count(50, 20, 7, 3) for question in questions}


class Owner:
    """A group that nobody leaves."""

    async def still_owns(self, number: int) -> bool:
        """Say yes."""
        return number == 0

    async def ready(self, runner: Runner, flow: Flow) -> None:
        """Accept."""

    def lost(self, runner: Runner, error: Exception) -> None:
        """Accept."""


class Worker:
    """The parts of a worker with one partition in memory, and a time that a test moves by hand."""

    def __init__(self, **options: Any) -> None:
        self.world = World([(0, DEFINITIONS)], options)
        self.seconds = 0.0
        self.rivals = Rivals("segstream-0", lambda: self.seconds)
        self.tally, self.vitals, self.holdings = Tally(self.now), Vitals(lambda: self.seconds), Holdings()
        self.member, self.ends, self.census = Members(), Ends(), Counting()
        self.holdings.member = self.member
        self.fetcher = Fetcher(self.holdings, 100)
        self.log_watch = LogWatch(self.holdings, self.ends, self.vitals, (), replay=False, now=self.now)  # type: ignore[arg-type]  # as above
        self.census_taker = CensusTaker(self.holdings, self.census, self.now)
        self.steps = Steps({CHECK_REDIS: self._check})
        self.redis_error: ServerError | None = None
        library = self.world.library
        self.health = Health(self.holdings, self.fetcher, self.vitals, self.steps, library, self.rivals)
        librarian = Librarian(
            library,
            MemoryDefinitions(self.world.server),
            MemoryModels(self.world.server),
            self.world.read_model,
            kept=20,
            partitions=lambda: 1,
        )
        self.lag = LagMeter(self.holdings, self.fetcher, self.log_watch, self.now)
        parts = WorkerParts(
            holdings=self.holdings,
            fetcher=self.fetcher,
            tally=self.tally,
            vitals=self.vitals,
            health=self.health,
            library=library,
            librarian=librarian,
            steps=self.steps,
            lag=self.lag,
            census=self.census_taker,
        )
        self.registry: CollectorRegistry = make_registry(parts)

    def now(self) -> int:
        """Return the time in ms."""
        return self.world.now

    async def _check(self) -> None:
        if self.redis_error is not None:
            raise self.redis_error

    async def own(self) -> Runner:
        """Take the partition over."""
        runner = Runner(0, self.world.flow, Inbox(["events"]), Owner(), Pace(), self.tally)
        runner.flow = await self.world.owner()
        runner.trouble = ""
        self.holdings.runners[0], self.vitals.joined = runner, True
        self.holdings.fetching.add(LOG)
        return runner

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series."""
        return self.registry.get_sample_value(f"segstream_{name}", labels)


@pytest.fixture
def worker() -> Worker:
    """Return a worker that owns nothing yet."""
    return Worker()


def order(offset: int, arrival: int) -> Any:
    """Return an order of one of three users."""
    return record(offset, arrival, track(f"user-{offset % 3}", "Order Completed", arrival))


def families(worker: Worker) -> dict[str, Any]:
    """Return what a scrape gives, read as Prometheus does."""
    text = generate_latest(worker.registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


async def test_a_worker_without_partitions_has_every_metric_already(worker: Worker) -> None:
    """So that alerts and dashboards find them; what cannot be known has no value."""
    found = families(worker)
    assert {name for name in found if name.startswith("segstream_")} == {
        metric.name.removesuffix("_total") for metric in METRICS
    }
    assert worker.value("events_total") == 0
    assert worker.value("interruptions_total", reason="fenced") == 0
    assert worker.value("ready") == 0
    assert found["segstream_lag_records"].samples == []


def test_two_workers_in_one_process_share_nothing(worker: Worker) -> None:
    """Each has a registry of its own."""
    worker.tally.taken_over(forgotten=False)
    assert (worker.value("take_overs_total"), Worker().value("take_overs_total")) == (1, 0)


def test_the_table_has_a_row_for_each_metric() -> None:
    """In the order of the catalogue, with its type and labels."""
    rows = table().splitlines()[2:]
    assert len(rows) == len(METRICS) == len({metric.name for metric in METRICS})
    assert rows[2] == (
        "| `segstream_dead_letters_total` | counter | `reason` | Records that could not be applied, by reason code. |"
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_the_kind_and_unit(metric: Any) -> None:
    """Counters end in ``_total``, nothing else does; no label can hold anything of a user."""
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert set(metric.labels) <= {
        "partition", "topic", "segment", "change", "reason", "state", "model", "version", "python", "step"
    }  # fmt: skip
    assert metric.meaning.endswith(".")


async def test_no_user_is_named(worker: Worker) -> None:
    """Neither in the metrics nor on the other pages, also while a sweep has reached somebody."""
    runner = await worker.own()
    assert runner.flow is not None
    await feed(runner.flow, [order(offset, START) for offset in range(3)])
    runner.flow.partition.meta.sweep = "1 user-1"
    await worker.census_taker.count()
    assert worker.census.asked == [Question(0, "user-1", START)]
    assert worker.value("events_total") == 3
    for text in (
        generate_latest(worker.registry).decode(),
        str(worker.health.info()),
        str(worker.health.ready()),
    ):
        assert "user-" not in text


async def test_lag_is_what_waits_in_the_log_and_how_long_its_first_record_has(worker: Worker) -> None:
    """Fetched or not; 0 once all is applied, whatever markers a transaction has left at the end of the log."""
    runner = await worker.own()
    assert runner.flow is not None
    assert worker.lag.measure() == {}, "the end of the log has not been asked for"
    await feed(runner.flow, [order(offset, START) for offset in range(10)])
    worker.ends.end, worker.member.position_is = 30, 20
    runner.inbox.add("events", [order(offset, START + 1_000) for offset in range(10, 20)], fetched_all=False)
    worker.fetcher.reached[LOG] = 19
    worker.world.now = START + 5_000
    await worker.log_watch.look()
    assert worker.lag.measure() == {LOG: Lag(20, 4.0)}
    await feed(runner.flow, runner.inbox.take(100))
    runner.arrived = START + 1_000
    assert worker.lag.measure() == {LOG: Lag(10, 4.0)}, "none of what is left has been fetched"
    worker.ends.end = worker.member.position_is = 21
    await worker.log_watch.look()
    assert worker.lag.measure() == {LOG: Lag(0, 0.0)}, "the last offset is a marker"
    assert worker.value("lag_records", topic="events", partition="0") == 0


async def test_lag_goes_on_growing_while_a_partition_is_in_trouble(worker: Worker) -> None:
    """Nothing is fetched for it then, but the log's end is still asked for."""
    runner = await worker.own()
    assert runner.flow is not None
    await feed(runner.flow, [order(0, START)])
    worker.fetcher.reached[LOG], worker.ends.end, worker.member.position_is = 0, 1, 1
    await worker.log_watch.look()
    assert worker.lag.measure() == {LOG: Lag(0, 0.0)}
    await runner._close(runner.flow)
    runner._report(ServerError("Redis is away"))
    worker.holdings.fetching.clear()
    for seconds, end in ((10, 5), (60, 12)):
        worker.world.now, worker.ends.end = START + seconds * 1_000, end
        await worker.log_watch.look()
        assert worker.lag.measure() == {LOG: Lag(end - 1, seconds)}
    assert worker.value("partition_state", partition="0", state="troubled") == 1
    assert worker.value("events_total") == 1, "what it has done before is not forgotten"
    assert worker.value("commit_retries_total") == 1


async def test_a_timer_that_waits_is_seen_and_one_that_fired_late_is_counted(worker: Worker) -> None:
    """By the time of day, not by the partition's clock, which stands still in an outage."""
    runner = await worker.own()
    assert runner.flow is not None
    await feed(runner.flow, [order(0, START)])
    due = runner.flow.partition.next_due
    worker.world.now = due + 8_000
    assert worker.value("timer_delay_seconds", partition="0") == 8
    runner.flow.partition.advance_clock(due + 1)
    await drain(runner.flow.partition)
    assert worker.value("timer_delay_seconds", partition="0") == 0
    assert (worker.value("wake_ups_total"), worker.value("late_wake_ups_total")) == (1, 1)
    assert worker.value("changes_total", segment="gone", change="entered") == 1


async def test_suppressed_flips_are_told_by_segment_and_reason(worker: Worker) -> None:
    """As the partition counts them."""
    runner = await worker.own()
    assert runner.flow is not None
    runner.flow.partition.suppressed["gone", "cooldown"] += 2
    assert worker.value("suppressed_flips_total", segment="gone", reason="cooldown") == 2


async def test_a_replay_has_no_late_timers_as_long_as_its_own_clock_has_not_passed_them() -> None:
    """Its time is that of the events, long ago."""
    worker = Worker(replay=True)
    runner = await worker.own()
    assert runner.flow is not None
    await feed(runner.flow, [order(0, START)])
    worker.world.now = START + 10**9
    assert worker.value("timer_delay_seconds", partition="0") == 0


async def test_redis_is_counted_through_every_ten_seconds_only(worker: Worker) -> None:
    """However often the step is done; without a sweep nobody remains to be swept."""
    runner = await worker.own()
    assert runner.flow is not None
    runner.flow.partition.meta.sweep = ""
    for _ in range(5):
        await worker.census_taker.count()
    worker.world.now += EVERY
    await worker.census_taker.count()
    assert [question.swept for question in worker.census.asked] == [None, None]
    assert (worker.value("partition_users", partition="0"), worker.value("timers_due", partition="0")) == (
        50,
        3,
    )
    del worker.holdings.runners[0]
    assert worker.value("partition_users", partition="0") is None


async def test_ready_says_why_the_group_is_not_joined_or_kept(worker: Worker) -> None:
    """Refused by Kafka, or put out again and again by another worker under the same instance id, until that is over."""
    worker.vitals.refused = "join the consumer group: another program is a member of SEGSTREAM_GROUP"
    assert worker.health.ready().body["troubles"] == {"group": worker.vitals.refused}
    worker.vitals.refused = ""
    await worker.own()
    for number in range(LOSSES + 1):
        assert worker.health.ready().well
        worker.rivals.joined_as(f"member-{number}")
    assert worker.health.ready().body["troubles"] == {
        "group": f"lost membership {LOSSES} times within 60 s; is SEGSTREAM_INSTANCE_ID=segstream-0 set for another "
        "worker, too?"
    }
    worker.seconds += WITHIN + 1
    worker.vitals.answered()
    assert worker.health.ready().well


async def test_ready_says_in_words_what_is_missing(worker: Worker) -> None:
    """Group, Kafka, Redis and each partition; and is well again without help."""
    assert worker.health.ready().body["troubles"] == {"group": "has not been given partitions yet"}
    runner = await worker.own()
    worker.vitals.answered()
    assert worker.health.ready() == (True, {"ready": True, "partitions": [0], "troubles": {}})
    worker.redis_error = ServerError("Redis at one:6379: no memory; raise its maxmemory")
    await worker.steps.do(CHECK_REDIS)
    worker.seconds += SILENT_LIMIT + 1
    runner._report(Fenced("somebody else has it"))
    assert worker.health.ready().body["troubles"] == {
        "kafka": "no answer for 21 s; check the brokers",
        "redis": "Redis at one:6379: no memory; raise its maxmemory",
        "0": "somebody else has it",
    }
    assert worker.value("ready") == 0
    worker.redis_error, runner.trouble = None, ""
    await worker.steps.do(CHECK_REDIS)
    worker.vitals.answered()
    assert worker.health.ready().well


def test_a_worker_lives_as_long_as_its_loop_comes_round_whatever_the_servers_do(worker: Worker) -> None:
    """Neither Kafka's silence nor Redis' makes a restart useful."""
    for _ in range(3):
        worker.seconds += LIVE_LIMIT - 1
        assert worker.health.live().well
        worker.vitals.polled()
    assert worker.vitals.since_answer() > SILENT_LIMIT
    worker.seconds += LIVE_LIMIT
    assert worker.health.live() == (False, {"live": False, "polled_seconds_ago": 30.0})


async def test_info_tells_versions_and_where_each_partition_stands(worker: Worker) -> None:
    """The clock as a time, the versions in force, and the offsets applied."""
    runner = await worker.own()
    assert runner.flow is not None
    await feed(runner.flow, [order(0, START)])
    info = worker.health.info()
    assert info["definitions"]["version"] == 1
    assert info["partitions"]["0"] == {
        "state": "ready",
        "clock": "2020-09-13T12:26:40.000Z",
        "epoch": 1,
        "incarnation": 1,
        "definitions_version": 1,
        "model_version": {},
        "sweeping": True,
        "offsets": {"events": 0},
    }
