"""Fills the metrics in when they are asked for, from what the worker knows at that moment.

On the way of an event nothing is counted for their sake but what a batch has counted anyway.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from segstream.adapters.health import STATES, program_version, state_of, trouble_of
from segstream.adapters.metrics.catalogue import METRICS
from segstream.core.time import NEVER
from segstream_schemas import RejectionReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric as Family

    from segstream.adapters.census_taker import CensusTaker
    from segstream.adapters.fetcher import Fetcher
    from segstream.adapters.health import Health
    from segstream.adapters.holdings import Holdings
    from segstream.adapters.metrics.lag import LagMeter
    from segstream.adapters.redis.census import Count
    from segstream.adapters.steps import Steps
    from segstream.adapters.vitals import Vitals
    from segstream.distribution import Distribution
    from segstream.librarian import Librarian
    from segstream.library import Library
    from segstream.partition import Partition
    from segstream.tally import Tally

PREFIX: Final = "segstream_"

INTERRUPTIONS: Final = {
    "Fenced": "fenced",
    "StateLost": "state_lost",
    "ServerError": "server",
    "PositionError": "position",
}
"""What the classes of errors are called as a reason; any other is ``other``."""


@dataclass(frozen=True)
class WorkerParts:
    """The parts of a worker that metrics are made of.

    Parameters
    ----------
    holdings, fetcher, tally, vitals, health, library, librarian, steps, lag, census
        See their classes.
    """

    holdings: Holdings
    fetcher: Fetcher
    tally: Tally
    vitals: Vitals
    health: Health
    library: Library
    librarian: Librarian
    steps: Steps
    lag: LagMeter
    census: CensusTaker


def make_registry(parts: WorkerParts) -> CollectorRegistry:
    """Return a registry of a worker's own: nothing is kept globally.

    Parameters
    ----------
    parts : WorkerParts
    """
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(WorkerCollector(parts))
    return registry


class _Sheet:
    """The families of one scrape, each described as the catalogue has it."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        for name, kind, labels, meaning in METRICS:
            family: Family
            if kind == "counter":
                family = CounterMetricFamily(name, meaning, labels=labels)
            elif kind == "gauge":
                family = GaugeMetricFamily(name, meaning, labels=labels)
            else:
                family = HistogramMetricFamily(name, meaning, labels=labels)
            self._families[name] = family

    def put(self, name: str, value: float, *labels: object) -> None:
        """Add a value."""
        family = self._families[PREFIX + name]
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)  # noqa: S101 - for the type checker
        family.add_metric([str(label) for label in labels], value)

    def spread(self, name: str, distribution: Distribution) -> None:
        """Add a histogram."""
        family = self._families[PREFIX + name]
        assert isinstance(family, HistogramMetricFamily)  # noqa: S101 - for the type checker
        reached, buckets = 0, []
        bounds = [*distribution.bounds, float("inf")]
        for bound, count in zip(bounds, distribution.counts, strict=True):
            reached += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), reached))
        family.add_metric([], buckets, distribution.total)

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families.values())


class WorkerCollector(Collector):
    """A worker's metrics.

    Parameters
    ----------
    parts : WorkerParts
    """

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    def describe(self) -> Iterable[Family]:
        """Return all families without values."""
        return _Sheet()

    def collect(self) -> Iterable[Family]:
        """Return all families as of now."""
        parts, sheet = self._parts, _Sheet()
        owned = {
            number: runner.flow.partition
            for number, runner in parts.holdings.runners.items()
            if runner.flow is not None
        }
        _counted(sheet, parts.tally, list(owned.values()))
        _lagging(sheet, parts.lag)
        _cached(sheet, list(owned.values()))
        _held(sheet, parts.holdings, parts.fetcher)
        for number, partition in sorted(owned.items()):
            _partition(sheet, number, partition, parts.tally.now())
            if number in parts.census.counts:
                _censused(sheet, number, parts.census.counts[number])
        _known(sheet, parts.library, parts.librarian, parts.tally.now())
        _alive(sheet, parts.vitals, parts.health, parts.steps)
        return sheet


def _counted(sheet: _Sheet, tally: Tally, owned: list[Partition]) -> None:
    counts = tally.counts(owned)
    sheet.put("events_total", counts.events)
    sheet.put("repeats_total", counts.repeats)
    sheet.put("wake_ups_total", counts.wake_ups)
    sheet.put("idle_wake_ups_total", counts.idle_wake_ups)
    sheet.put("late_wake_ups_total", counts.late_wake_ups)
    sheet.put("swept_users_total", counts.swept)
    sheet.put("cache_hits_total", counts.cache_hits)
    sheet.put("cache_misses_total", counts.cache_misses)
    sheet.put("cache_evictions_total", tally.evicted(owned))
    rejected = tally.rejected(owned)
    for code in RejectionReason:
        sheet.put("dead_letters_total", rejected.get(code.value, 0), code.value)
    for topic, count in sorted(tally.rerouted(owned).items()):
        sheet.put("rerouted_total", count, topic)
    for (segment, change), count in sorted(tally.changed(owned).items()):
        sheet.put("changes_total", count, segment, change)
    for (segment, reason), count in sorted(tally.suppressed(owned).items()):
        sheet.put("suppressed_flips_total", count, segment, reason)
    sheet.put("take_overs_total", tally.take_overs)
    sheet.put("incarnations_total", tally.incarnations)
    reasons = dict.fromkeys((*INTERRUPTIONS.values(), "other"), 0)
    for name, count in tally.interruptions.items():
        reasons[INTERRUPTIONS.get(name, "other")] += count
    for reason, count in reasons.items():
        sheet.put("interruptions_total", count, reason)
    sheet.put("commit_retries_total", reasons["state_lost"] + reasons["server"])
    sheet.put("fencings_total", reasons["fenced"])
    sheet.spread("batch_records", tally.batches)
    sheet.spread("latency_seconds", tally.latency)
    sheet.spread("commit_seconds", tally.commits)
    sheet.spread("transaction_seconds", tally.transactions)


def _lagging(sheet: _Sheet, lag: LagMeter) -> None:
    for there, (records, seconds) in lag.measure().items():
        sheet.put("lag_records", records, there.topic, there.partition)
        if seconds is not None:
            sheet.put("lag_seconds", seconds, there.topic, there.partition)


def _cached(sheet: _Sheet, owned: list[Partition]) -> None:
    caches = [partition.cache for partition in owned]
    sheet.put("cache_users", sum(len(cache.states) for cache in caches))
    sheet.put("cache_bytes", sum(cache.bytes for cache in caches))
    sheet.put("cache_capacity_bytes", sum(cache.capacity for cache in caches))


def _held(sheet: _Sheet, holdings: Holdings, fetcher: Fetcher) -> None:
    sheet.put("partitions_owned", len(holdings.runners))
    sheet.put("fetch_pauses_total", fetcher.pauses)
    paused = fetcher.paused
    for number, runner in sorted(holdings.runners.items()):
        now = state_of(trouble_of(runner, fetcher))
        for state in STATES:
            sheet.put("partition_state", state == now, number, state)
        sheet.put("inbox_records", len(runner.inbox), number)
        sheet.put("inbox_bytes", runner.inbox.bytes, number)
        sheet.put("fetch_paused", number in paused, number)
        sheet.put("untold_seconds", runner.untold_for(), number)


def _partition(sheet: _Sheet, number: int, partition: Partition, now: int) -> None:
    sheet.put("outbox_parcels", len(partition.parcels), number)
    if not partition.bases:
        return
    meta, basis = partition.meta, partition.bases[-1]
    if meta.clock:
        sheet.put("partition_clock_timestamp_seconds", meta.clock / 1000, number)
    sheet.put("partition_incarnation", meta.incarnation, number)
    sheet.put("partition_definitions_version", basis.definitions, number)
    for model, version in sorted(basis.models.items()):
        sheet.put("partition_model_version", version, number, model)
    # A replay's clock is not that of the day.
    passed = partition.settled() if partition.options.replay else now - partition.options.timer_grace
    due = partition.next_due
    sheet.put("timer_delay_seconds", max(passed - due, 0) / 1000 if due < NEVER else 0, number)


def _censused(sheet: _Sheet, number: int, count: Count) -> None:
    sheet.put("partition_users", count.users, number)
    sheet.put("timers", count.timers, number)
    sheet.put("timers_due", count.due, number)
    sheet.put("sweep_remaining_users", count.unswept, number)


def _known(sheet: _Sheet, library: Library, librarian: Librarian, now: int) -> None:
    sheet.put("definitions_version", library.latest)
    newest = library.newest_models(library.readable, {}) if library.readable else {}
    for model, version in sorted(newest.items()):
        sheet.put("model_version", version, model)
        if model in librarian.learned_at:
            sheet.put("model_age_seconds", max(now - librarian.learned_at[model], 0) / 1000, model)


def _alive(sheet: _Sheet, vitals: Vitals, health: Health, steps: Steps) -> None:
    sheet.put("build_info", 1, program_version(), platform.python_version())
    sheet.put("ready", health.ready().well)
    sheet.put("poll_age_seconds", vitals.since_poll())
    sheet.put("kafka_answer_age_seconds", vitals.since_answer())
    for step, count in sorted(steps.failures.items()):
        sheet.put("step_failures_total", count, step)
