"""What a worker tells of itself: numbers that add up, health with reasons, and no word about any user."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from segstream.adapters.metrics.catalogue import METRICS
from segstream.core.partitioning import murmur2
from segstream.core.time import DAY, format_time
from segstream.errors import LocalServerError
from segstream.local.ports import free_port
from segstream.local.redis import find_redis
from tests.checker import stories
from tests.conftest import Topics
from tests.deployments import Deployments
from tests.redis_users import RestrictedRedis
from tests.servers import unavailable
from tests.workers import Scene, Worker, applied, ends, send, track

PATIENCE = 60
PARTITIONS = 2
DEFINITIONS = """
version: 1
features:
  orders:     {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
  basket:     {op: mean, of: properties.revenue, event: Order Completed}
segments:
  buyer:  {when: orders >= 1}
  fresh:  {when: since(last_order) <= 2s}
  loyal:  {when: orders >= 3}
discovered:
  behaviour: {model: kmeans, clusters: 2, features: [orders, basket]}
"""
PEOPLE = [f"somebody-{number:03d}" for number in range(40)]


class Answer(NamedTuple):
    """What the web server says."""

    status: int
    type: str
    text: str


def ask(port: int, path: str, method: str = "GET") -> Answer:
    """Ask a worker's web server."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.get("Content-Type", ""), answer.read().decode())


class Metrics:
    """One look at ``/metrics``."""

    def __init__(self, port: int) -> None:
        answer = ask(port, "/metrics")
        assert answer.status == 200
        assert answer.type.startswith("text/plain; version=0.0.4")
        self.families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: object) -> float:
        """Return the value of one series, 0 if it is not there."""
        wanted = frozenset((label, str(value)) for label, value in labels.items())
        return self._samples.get((f"segstream_{name}", wanted), 0.0)

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return all series of a metric by these labels."""
        return {
            tuple(dict(found)[label] for label in labels): value
            for (sample, found), value in self._samples.items()
            if sample == f"segstream_{name}"
        }


async def until(worker: Worker, condition: Callable[[], object]) -> None:
    """Wait until something is so; fails at the deadline, or when the worker ends."""
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(condition):
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, "it does not become so"
        await asyncio.sleep(0.1)


def reachable(port: int, path: str) -> Answer | None:
    """Ask a web server that may not listen yet."""
    try:
        return ask(port, path)
    except OSError:
        return None


def is_ready(port: int) -> bool:
    """Tell whether a worker says that it is ready."""
    answer = reachable(port, "/health/ready")
    return answer is not None and answer.status == 200


def settled(port: int, records: int) -> bool:
    """Tell whether a worker has published all records sent, made its segments of them, and knows where its logs end."""
    seen = Metrics(port)
    lags = seen.by("lag_records", "topic", "partition")
    return (
        seen.value("latency_seconds_count") == records
        and len(lags) == 2 * PARTITIONS  # of the events, and of what is forwarded
        and not any(lags.values())
        and seen.value("model_version", model="behaviour") >= 1
        and sum(seen.by("partition_users", "partition").values()) == len(PEOPLE)
        and not any(seen.by("sweep_remaining_users", "partition").values())
        and not any(seen.by("outbox_parcels", "partition").values())
    )


async def send_bad(scene: Scene) -> Counter[str]:
    """Send records that cannot be applied and return how many for each reason."""
    bad = {
        "not_json": [b"{", b"["],
        "no_user": [orjson.dumps({"type": "page", "userId": ""})],
        "future_timestamp": [
            track(PEOPLE[0], format_time(time.time_ns() // 1_000_000 + DAY), f"soon-{number}")
            for number in range(3)
        ],
    }
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    try:
        for values in bad.values():
            for value in values:
                await producer.send_and_wait(
                    scene.events[0],
                    value,
                    key=PEOPLE[0].encode(),
                    partition=murmur2(PEOPLE[0].encode(), PARTITIONS),
                )
    finally:
        await producer.stop()
    return Counter({reason: len(values) for reason, values in bad.items()})


def check_against_what_was_told(seen: Metrics, told: Mapping[str, list[dict[str, Any]]]) -> None:
    """Compare the changes that were counted with those on the topic: all, by segment and direction."""
    changes = [change for story in told.values() for change in story]
    counted = Counter((change["segment"], change["change"]) for change in changes)
    assert seen.by("changes_total", "segment", "change") == dict(counted)
    assert {name for name, _ in counted} >= {"buyer", "fresh", "loyal"}
    assert any(name.startswith("behaviour.") for name, _ in counted)
    fired = sum(change["cause"]["type"] == "timer" and change["segment"] == "fresh" for change in changes)
    assert fired == len(PEOPLE)
    wake_ups = seen.value("wake_ups_total")
    assert wake_ups - seen.value("idle_wake_ups_total") >= fired
    assert wake_ups >= seen.value("late_wake_ups_total")


async def test_the_numbers_add_up_with_what_was_sent_and_told(deployments: Deployments) -> None:
    """Events, repeats, dead letters by reason, changes by segment, lag, latency, cache, timers, models, partitions."""
    (events,) = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("shop", [events], PARTITIONS)
    port = free_port()
    environment = scene.environment(
        deployments.file("shop.yaml", DEFINITIONS),
        web_port=port,
        sample_every=1,
        model_samples=20,
        model_interval="1s",
    )
    now = format_time(time.time_ns() // 1_000_000)
    orders = [
        (user, track(user, now, f"{user}-{turn}", revenue=10 + turn))
        for number, user in enumerate(PEOPLE)
        for turn in range(number % 4 + 1)
    ]
    repeats = orders[:7]
    with Worker(environment) as worker:
        await until(worker, lambda: is_ready(port))
        await send(scene, orders)
        await send(scene, repeats)
        bad = await send_bad(scene)
        records = len(orders) + len(repeats) + bad.total()
        await applied(scene, [worker], PATIENCE)
        # Whoever has been fresh is so no more when the last of them was told.
        await until(
            worker,
            lambda: Metrics(port).value("changes_total", segment="fresh", change="exited") == len(PEOPLE),
        )
        await until(worker, lambda: settled(port, records))
        seen, told = Metrics(port), await stories(scene)
        pages = {path: ask(port, path) for path in ("/metrics", "/info", "/health/live", "/health/ready")}
        others = [
            ask(port, path).status
            for path in (
                "/",
                "/stats/",
                "/router/",
                "/table/",
                "/graph/",
                "/assignment/",
                f"/users/{PEOPLE[0]}",
            )
        ]
        assert ask(port, "/metrics", "POST").status == 405
        wanted = await ends(scene, scene.events)
        assert worker.stop() == 0
    assert sum(wanted.values()) == records
    assert seen.value("events_total") == len(orders)
    assert seen.value("repeats_total") == len(repeats)
    letters = seen.by("dead_letters_total", "reason")
    assert {reason: count for (reason,), count in letters.items() if count} == dict(bad)
    check_against_what_was_told(seen, told)
    assert seen.value("batch_records_sum") == seen.value("latency_seconds_count") == records
    assert 0 < seen.value("latency_seconds_sum") < records * PATIENCE
    assert seen.value("transaction_seconds_count") >= 1
    assert seen.value("commit_seconds_count") >= seen.value("batch_records_count") >= 1
    logs = [
        (topic, str(number)) for topic in (events, scene.topic("rerouted")) for number in range(PARTITIONS)
    ]
    assert seen.by("lag_records", "topic", "partition") == dict.fromkeys(logs, 0)
    assert seen.by("lag_seconds", "topic", "partition") == dict.fromkeys(logs, 0)
    assert seen.value("cache_users") == len(PEOPLE) == seen.value("cache_misses_total")
    assert 0 < seen.value("cache_bytes") < seen.value("cache_capacity_bytes") == 512 * 1024 * 1024
    check_partitions(seen)
    assert not any(seen.by("interruptions_total", "reason").values())
    assert seen.value("ready") == 1
    check_names(seen)
    check_pages(pages, wanted)
    assert others == [404] * len(others)


def check_partitions(seen: Metrics) -> None:
    """Check that both partitions are at work, under the versions there are."""
    assert seen.value("partitions_owned") == PARTITIONS <= seen.value("take_overs_total")
    for number in range(PARTITIONS):
        assert seen.value("partition_state", partition=number, state="ready") == 1
        assert seen.value("partition_incarnation", partition=number) == 1
        assert seen.value("partition_definitions_version", partition=number) == 1
        assert seen.value("partition_model_version", partition=number, model="behaviour") >= 1
        assert abs(seen.value("partition_clock_timestamp_seconds", partition=number) - time.time()) < PATIENCE
    assert seen.value("swept_users_total") >= len(PEOPLE)
    ages = seen.by("model_age_seconds", "model")
    assert set(ages) == {("behaviour",)}
    assert 0 <= ages["behaviour",] < PATIENCE


def check_names(seen: Metrics) -> None:
    """Compare the metrics there are with the table of them."""
    ours = {name for name in seen.families if name.startswith("segstream_")}
    assert ours == {metric.name.removesuffix("_total") for metric in METRICS}
    assert {name.split("_")[0] for name in set(seen.families) - ours} == {"process", "python"}
    for metric in METRICS:
        family = seen.families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def check_pages(pages: Mapping[str, Answer], wanted: Mapping[Any, int]) -> None:
    """Check what the other pages say, and that none tells anything of a user."""
    for path, answer in pages.items():
        assert answer.status == 200, path
        assert "somebody" not in answer.text
    info = json.loads(pages["/info"].text)
    assert (info["definitions"]["version"], sorted(info["partitions"])) == (1, ["0", "1"])
    assert info["models"]["behaviour"] >= 1
    for there, end in wanted.items():
        partition = info["partitions"][str(there.partition)]
        assert partition["state"] == "ready"
        assert partition["clock"].endswith("Z")
        assert (partition["incarnation"], partition["definitions_version"]) == (1, 1)
        assert partition["offsets"][there.topic] == end - 1
    assert json.loads(pages["/health/live"].text)["live"] is True
    assert json.loads(pages["/health/ready"].text) == {"ready": True, "partitions": [0, 1], "troubles": {}}


@pytest.mark.faults
async def test_a_worker_whose_redis_takes_no_writes_is_alive_but_not_ready_and_says_so_once(
    topics: Topics, tmp_path: Path
) -> None:
    """It says why as long as it lasts, logs it once, and is ready again by itself when it is over."""
    try:
        binary = find_redis()
    except LocalServerError as error:
        unavailable(str(error))
    with RestrictedRedis(binary=binary) as redis:
        own = Deployments(topics, redis.url, tmp_path)
        (events,) = await own.inputs("events", partitions=PARTITIONS)
        scene = await own.scene("shop", [events], PARTITIONS)
        port = free_port()
        environment = scene.environment(own.file("shop.yaml", DEFINITIONS), web_port=port)
        with Worker(environment) as worker, Redis.from_url(redis.url) as client:
            await until(worker, lambda: is_ready(port))
            client.config_set("min-replicas-to-write", 1)
            await until(worker, lambda: not is_ready(port))
            # No user's event is needed to find out, and it goes on being so.
            await until(worker, lambda: Metrics(port).value("step_failures_total", step="check_redis") >= 3)
            ready, live = ask(port, "/health/ready"), ask(port, "/health/live")
            assert Metrics(port).value("ready") == 0
            client.config_set("min-replicas-to-write", 0)
            await until(worker, lambda: is_ready(port))
            await send(scene, [(PEOPLE[0], track(PEOPLE[0], "2020-01-01T00:00:00Z", "1"))])
            await applied(scene, [worker], PATIENCE)
            assert not client.exists(f"{scene.prefix}state:writable")
            assert worker.stop() == 0
            lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    assert (live.status, ready.status) == (200, 503)
    trouble = json.loads(ready.text)["troubles"]["redis"]
    assert "NOREPLICAS" in trouble or "enough good replicas" in trouble
    said = Counter((line["event"], line.get("step")) for line in lines)
    assert said["step_failed", "check_redis"] == said["recovered", "check_redis"] == 1
    assert not [line for line in lines if line["event"] in {"fetch_failed", "cannot_join"}]
