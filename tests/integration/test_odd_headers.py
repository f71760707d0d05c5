"""A header whose name is no text, as clients that take bytes can send it: the record is read like any other."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from tests.checker import check_everywhere, stories
from tests.deployments import Deployments
from tests.operations import segstream
from tests.workers import Worker, applied, read_all, track

DEFINITIONS = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  buyer: {when: orders >= 1}
  back:  {when: orders >= 2}
  loyal: {when: orders >= 3}
"""
LONG_AGO = "2020-01-01T00:00:00Z"
PLACEHOLDER, NAME = b"NAME", b"caf\xe9"


async def send_odd(producer: AIOKafkaProducer, topic: str, user: str, value: bytes) -> int:
    r"""Send a record with a header ``caf\xe9``, which this client would not, and return its offset."""
    batch: Any = producer.create_batch()
    headers = [(PLACEHOLDER.decode(), b"au lait")]
    batch.append(timestamp=None, key=user.encode(), value=value, headers=headers)
    build = batch._build

    def with_other_name() -> bytearray:
        raw = bytearray(build())
        place = raw.index(PLACEHOLDER)
        raw[place : place + len(NAME)] = NAME
        struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
        return raw

    batch._build = with_other_name
    sent = await (await producer.send_batch(batch, topic, partition=0))
    return int(sent.offset)


async def test_a_header_whose_name_is_no_text_stops_no_worker(deployments: Deployments) -> None:
    """The event in it counts, a record that is no event becomes a dead letter, and so do those around them.

    Also for a worker that starts with them, and for whoever reads the log again.
    """
    (events,) = await deployments.inputs("events", partitions=1)
    scene = await deployments.scene("shop", [events], 1)
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka)
    await producer.start()
    environment = scene.environment(deployments.file("shop.yaml", DEFINITIONS))
    with Worker(environment) as worker:
        await producer.send_and_wait(events, track("ada", LONG_AGO, "1"), key=b"ada", partition=0)
        await applied(scene, [worker], 60)
        await send_odd(producer, events, "ada", track("ada", LONG_AGO, "2"))
        bad = await send_odd(producer, events, "ada", b"no event")
        await producer.send_and_wait(events, track("ada", LONG_AGO, "3"), key=b"ada", partition=0)
        await applied(scene, [worker], 60)
        assert worker.stop() == 0
        assert "partition_failed" not in worker.log
    await producer.stop()
    told = await stories(scene)
    counted = [(change["segment"], change["cause"]["message_id"]) for change in told["ada"]]
    assert counted == [("buyer", "1"), ("back", "2"), ("loyal", "3")]
    await check_everywhere(scene, told)
    ((letter,),) = await read_all(scene, scene.topic("dead_letters"))
    content = orjson.loads(letter.value)
    assert (content["reason"], content["offset"]) == ("not_json", bad)
    assert content["headers"] == [["caf\\xe9", base64.b64encode(b"au lait").decode()]]
    verified = await segstream(environment, "verify")
    assert verified.code == 0, verified
    shown = await segstream(environment, "dead-letters", "show", f"0-{letter.offset}")
    assert (shown.code, "caf\\xe9: au lait" in shown.out) == (0, True), shown
