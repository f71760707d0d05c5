"""Records that cannot be applied go out with their reason, and the partition goes on."""

from __future__ import annotations

import base64
import time
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaProducer

from segstream.core.partitioning import murmur2
from segstream.core.time import DAY, format_time
from segstream_schemas import RejectionReason
from tests.checker import check_everywhere, stories
from tests.deployments import Deployments
from tests.workers import Worker, applied, read_all, track

DEFINITIONS = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  buyer: {when: orders >= 1}
  loyal: {when: orders >= 15}
"""
LONG_AGO = "2020-01-01T00:00:00Z"


class Bad(NamedTuple):
    """A record that cannot be applied, and why."""

    reason: RejectionReason
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def badly_forwarded(elsewhere: str) -> list[Bad]:
    """Return one record for each reason that only forwarded records have; user ``elsewhere`` does not belong there."""
    place = {"topic": b"visits", "partition": b"7", "offset": b"41", "timestamp": b"1577836800000"}
    headers = tuple((f"segstream-source-{name}", value) for name, value in place.items())
    event = track(elsewhere, LONG_AGO, "elsewhere")
    return [
        Bad(RejectionReason.MISPLACED, event, headers),
        Bad(RejectionReason.NOT_FORWARDED, event, headers[1:]),
    ]


def bad_records(here: str) -> list[Bad]:
    """Return one record for each other reason, to be sent where user ``here`` belongs."""
    why = RejectionReason
    tomorrow = format_time(time.time_ns() // 1_000_000 + DAY)
    deep = {"type": "page", "userId": here, "properties": {}}
    inner = deep["properties"]
    for _ in range(40):
        inner["in"] = {}  # type: ignore[index]  # as deep as it goes
        inner = inner["in"]  # type: ignore[index]
    return [
        Bad(why.NULL_VALUE, None),
        Bad(why.TOO_LARGE, track(here, LONG_AGO, "large", text="x" * 300_000)),
        Bad(why.NOT_UTF8, b'{"type": "page", "userId": "\xff"}'),
        Bad(why.NOT_JSON, b'{"type": "page", '),
        Bad(why.NOT_AN_OBJECT, b"[1, 2]"),
        Bad(why.TOO_DEEP, orjson.dumps(deep)),
        Bad(why.MISSING_FIELD, orjson.dumps({"type": "track", "userId": here})),
        Bad(why.WRONG_TYPE, orjson.dumps({"type": "page", "userId": here, "properties": 7})),
        Bad(why.UNKNOWN_TYPE, orjson.dumps({"type": "purchase", "userId": here})),
        Bad(why.NO_USER, orjson.dumps({"type": "page", "userId": ""})),
        Bad(why.BAD_ID, orjson.dumps({"type": "page", "userId": "anon:x"})),
        Bad(why.BAD_TIMESTAMP, track(here, "yesterday", "when")),
        Bad(why.FUTURE_TIMESTAMP, track(here, tomorrow, "soon")),
        Bad(why.UNEXPECTED_CONTROL, b"", (("segstream-clock", b"1000"),)),
    ]


async def test_every_bad_record_goes_out_with_its_reason_and_good_ones_before_and_after_count(
    deployments: Deployments,
) -> None:
    """One record for each reason there is, between good ones: told as they were, where they were, in order."""
    (events,) = await deployments.inputs("events", partitions=2)
    scene = await deployments.scene("shop", [events], 2)
    here, elsewhere = (
        next(f"a{n}" for n in range(99) if not place(f"a{n}")),
        next(f"b{n}" for n in range(99) if place(f"b{n}")),
    )
    bad, astray = bad_records(here), badly_forwarded(elsewhere)
    assert sorted(each.reason for each in (*bad, *astray)) == sorted(RejectionReason)
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    sent = []
    for number, each in enumerate(bad):
        good = track(here, LONG_AGO, number, revenue=10)
        await producer.send_and_wait(events, good, key=here.encode(), partition=0)
        record = await producer.send_and_wait(
            events, each.value, key=b"some key", partition=0, headers=list(each.headers)
        )
        sent.append((each, record.offset))
    await producer.send_and_wait(
        events, track(here, LONG_AGO, "last", revenue=1), key=here.encode(), partition=0
    )
    for each in astray:
        await producer.send_and_wait(
            scene.topic("rerouted"), each.value, key=b"some key", partition=0, headers=list(each.headers)
        )
    await producer.stop()
    everything = scene._replace(events=(events, scene.topic("rerouted")))
    with Worker(scene.environment(deployments.file("shop.yaml", DEFINITIONS))) as worker:
        await applied(everything, [worker], 60)
        assert worker.stop() == 0
    letters, others = await read_all(scene, scene.topic("dead_letters"))
    assert not others
    told_of = [(record, orjson.loads(record.value)) for record in letters]
    # A forwarded record's letter tells where it lay at first.
    assert {
        (letter["reason"], letter["topic"], letter["partition"], letter["offset"])
        for _, letter in told_of
        if letter["topic"] != events
    } == {("misplaced", "visits", 7, 41), ("not_forwarded", scene.topic("rerouted"), 0, 1)}
    there = [(record, letter) for record, letter in told_of if letter["topic"] == events]
    for (each, offset), (record, letter) in zip(sent, there, strict=True):
        assert record.key == b"some key"
        assert (letter["reason"], letter["topic"], letter["partition"], letter["offset"]) == (
            each.reason,
            events,
            0,
            offset,
        )
        assert letter["value"] == (None if each.value is None else base64.b64encode(each.value).decode())
        assert base64.b64decode(letter["key"]) == b"some key"
        assert [(name, base64.b64decode(value)) for name, value in letter["headers"]] == list(each.headers)
    told = await stories(scene)
    assert set(told) == {here}
    counted = {change["segment"]: change["cause"]["message_id"] for change in told[here]}
    assert counted == {"buyer": "0", "loyal": "last"}
    await check_everywhere(scene, told)


def place(user: str) -> int:
    """Return which of two partitions a user belongs to."""
    return murmur2(user.encode(), 2)
