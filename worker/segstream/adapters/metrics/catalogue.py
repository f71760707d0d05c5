"""Every metric: the only place that says which there are, what they are called, and what they mean.

No label holds anything of a user, and each has a bounded number of values: see `Metric.labels`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric.

    Parameters
    ----------
    name : str
        As Prometheus stores it; a histogram has ``_bucket``, ``_sum`` and ``_count`` after it.
    kind : {"counter", "gauge", "histogram"}
    labels : tuple of str
        ``partition``: those owned. ``topic``: the input's. ``segment``: those of the definitions, up to 200 discovered
        ones, and ``other`` and ``none``. All others have few values, known beforehand.
    meaning : str
        One sentence, with the unit.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


PARTITION: Final = ("partition",)
LOG: Final = ("topic", "partition")

_ROWS: Final[tuple[tuple[str, Kind, tuple[str, ...], str], ...]] = (
    # --- events in
    ("events_total", "counter", (), "Events applied."),
    ("repeats_total", "counter", (), "Events dropped because their message had been applied before."),
    ("dead_letters_total", "counter", ("reason",), "Records that could not be applied, by reason code."),
    (
        "rerouted_total",
        "counter",
        ("topic",),
        "Records forwarded to the partition of their user; many from a topic that is keyed mean a wrong partitioner.",
    ),
    ("lag_records", "gauge", LOG, "Records in the log that are not applied yet."),
    (
        "lag_seconds",
        "gauge",
        LOG,
        "For about how long the oldest record that is not applied yet has been there; 0 when all are applied.",
    ),
    ("inbox_records", "gauge", PARTITION, "Records fetched and not applied yet."),
    ("inbox_bytes", "gauge", PARTITION, "Memory that they take (setting inbox_mb)."),
    ("fetch_paused", "gauge", PARTITION, "1 while no more is fetched until some of them are applied."),
    ("fetch_pauses_total", "counter", (), "How often fetching from a log has paused for that."),
    ("batch_records", "histogram", (), "Records applied in one commit."),
    # --- changes out
    (
        "changes_total",
        "counter",
        ("segment", "change"),
        "Changes committed, by segment and direction (entered, exited, renamed, restated).",
    ),
    (
        "suppressed_flips_total",
        "counter",
        ("segment", "reason"),
        "Changes that conditions made and took back while dwell, cooldown or confirm held them back; nobody was told.",
    ),
    (
        "latency_seconds",
        "histogram",
        (),
        "From a record's arrival in Kafka until all that its batch led to was published and readable in Redis.",
    ),
    ("commit_seconds", "histogram", (), "A commit to Redis, until it is durable; failed ones too."),
    ("transaction_seconds", "histogram", (), "A transaction in Kafka; failed ones too."),
    ("outbox_parcels", "gauge", PARTITION, "Parcels (up to 256 KiB) committed and not published yet."),
    ("untold_seconds", "gauge", PARTITION, "For how long parcels have waited without one being published."),
    # --- partitions
    ("partitions_owned", "gauge", (), "Partition numbers that the consumer group gives to this worker."),
    (
        "partition_state",
        "gauge",
        ("partition", "state"),
        "1 for the state a partition is in: taking_over, ready or troubled (/health/ready says why).",
    ),
    (
        "partition_clock_timestamp_seconds",
        "gauge",
        PARTITION,
        "The partition's clock, in seconds since 1970; live, it follows the time of day once all records are applied.",
    ),
    (
        "partition_incarnation",
        "gauge",
        PARTITION,
        "Raised by one whenever Redis has forgotten what had been told.",
    ),
    ("partition_users", "gauge", PARTITION, "Users known."),
    (
        "take_overs_total",
        "counter",
        (),
        "Partitions taken over, after rebalances and after interruptions.",
    ),
    ("incarnations_total", "counter", (), "Take-overs that found that Redis had forgotten something."),
    (
        "interruptions_total",
        "counter",
        ("reason",),
        "Partitions given up: fenced by another owner, state_lost, server (failed), position (off the log), other.",
    ),
    ("commit_retries_total", "counter", (), "Commits and publications begun anew after a failure."),
    ("fencings_total", "counter", (), "Partitions lost to another owner outside of a rebalance."),
    # --- timers
    ("wake_ups_total", "counter", (), "Timers fired."),
    ("idle_wake_ups_total", "counter", (), "Timers fired that changed nothing."),
    ("late_wake_ups_total", "counter", (), "Timers fired more than 5 s after they were due."),
    ("timers", "gauge", PARTITION, "Timers set."),
    ("timers_due", "gauge", PARTITION, "Timers due and not fired yet."),
    (
        "timer_delay_seconds",
        "gauge",
        PARTITION,
        "How far the clock has passed the earliest timer that is not fired yet.",
    ),
    # --- cache
    ("cache_users", "gauge", (), "Users in memory."),
    ("cache_bytes", "gauge", (), "Memory that they take."),
    ("cache_capacity_bytes", "gauge", (), "Memory that they may take (setting cache_mb)."),
    ("cache_hits_total", "counter", (), "Users found in memory."),
    ("cache_misses_total", "counter", (), "Users asked of Redis, those never seen before included."),
    ("cache_evictions_total", "counter", (), "Users that had to make room."),
    # --- versions
    ("definitions_version", "gauge", (), "The newest version of the definitions that this worker knows."),
    ("partition_definitions_version", "gauge", PARTITION, "The version in force."),
    ("model_version", "gauge", ("model",), "The newest snapshot that this worker knows."),
    ("model_age_seconds", "gauge", ("model",), "Since that snapshot was offered."),
    ("partition_model_version", "gauge", ("partition", "model"), "The snapshot in force."),
    ("swept_users_total", "counter", (), "Users that sweeps have looked at."),
    (
        "sweep_remaining_users",
        "gauge",
        PARTITION,
        "Users that the sweep under way has not looked at yet; 0 when there is none.",
    ),
    # --- the worker
    ("build_info", "gauge", ("version", "python"), "Always 1."),
    ("ready", "gauge", (), "1 when /health/ready says so."),
    ("poll_age_seconds", "gauge", (), "Since the loop that asks Kafka for records came round."),
    ("kafka_answer_age_seconds", "gauge", (), "Since Kafka last said where the logs end."),
    (
        "step_failures_total",
        "counter",
        ("step",),
        "Failures of what is done once a second, by what it is; each is tried again.",
    ),
)

METRICS: Final = tuple(
    Metric(f"segstream_{name}", kind, labels, meaning) for name, kind, labels, meaning in _ROWS
)
"""Besides them there are ``process_…`` and ``python_info``, as ``prometheus_client`` has them."""


def table() -> str:
    """Return all metrics as a table in Markdown."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, meaning in METRICS:
        rows.append(f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |")
    return "\n".join(rows)
