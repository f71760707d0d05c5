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


def bad_records(here: str, elsewhere: str) -> list[Bad]:
    """Return one record for each reason, to be sent where user ``here`` belongs and user ``elsewhere`` does not."""
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
        Bad(why.MISPLACED, track(elsewhere, LONG_AGO, "elsewhere")),
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
    bad = bad_records(here, elsewhere)
    assert [each.reason for each in bad] == list(RejectionReason)
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
    await producer.stop()
    with Worker(scene.environment(deployments.file("shop.yaml", DEFINITIONS))) as worker:
        await applied(scene, [worker], 60)
        assert worker.stop() == 0
    letters, others = await read_all(scene, scene.topic("dead_letters"))
    assert not others
    for (each, offset), record in zip(sent, letters, strict=True):
        letter = orjson.loads(record.value)
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
    assert counted == {"buyer": "0", "loyal": "14"}
    await check_everywhere(scene, told)


def place(user: str) -> int:
    """Return which of two partitions a user belongs to."""
    return murmur2(user.encode(), 2)
