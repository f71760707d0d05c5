"""Every way into Kafka and Redis that the settings know, tried with the program's own clients."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from redis.asyncio import Redis

from segstream.access import Certificates as Trust
from segstream.access import Password
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.kafka.reach import explain
from segstream.adapters.redis import nodes
from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.adapters.redis.state import RedisStateStore
from segstream.errors import ServerError
from segstream.ports import NOTHING_TOLD, Commit
from tests.secure_servers import PASSWORD, USER, Certificates, SecureKafka, SecureRedis, SentinelTrio


@pytest.mark.parametrize("security", ["SASL_SSL", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_each_mechanism_lets_the_user_in(
    broker: SecureKafka, certificates: Certificates, security: Any, mechanism: Any
) -> None:
    """With and without TLS around it; a wrong password lets nobody in."""
    trust = Trust(certificates.ca if security == "SASL_SSL" else None)
    for password, right in ((PASSWORD, True), ("wrong", False)):
        settings = KafkaSettings(broker.at(security), security, mechanism, USER, Password(password), trust)
        if right:
            await explain(settings)
        else:
            with pytest.raises(ServerError, match=f"it refuses the user worker by {mechanism}"):
                await explain(settings)


async def test_a_kafka_password_that_is_changed_is_read_by_the_next_client(
    broker: SecureKafka, certificates: Certificates, tmp_path: Path
) -> None:
    """A secret that is rotated while the program runs: no restart."""
    file = tmp_path / "password"
    settings = KafkaSettings(
        broker.at("SASL_SSL"),
        "SASL_SSL",
        "SCRAM-SHA-256",
        "rotating",
        Password(file=file),
        Trust(certificates.ca),
    )
    there = TopicPartition("test-rotating", 0)
    broker.create({there.topic: 1})
    broker.allow("TOPIC", there.topic, "READ", user="rotating")
    for password in ("first", "second"):
        broker.set_password(password, user="rotating")
        await _until_valid(replace(settings, password=Password(password)))
        with pytest.raises(ServerError):
            await explain(settings if file.exists() else replace(settings, password=Password("wrong")))
        file.write_text(password)
        ends = LogEnds(settings)
        assert await ends.ask([there]) == {there: 0}
        await ends.close()


async def _until_valid(settings: KafkaSettings) -> None:
    """Wait until brokers know a password: they are told after it has been set."""
    deadline = time.monotonic() + 30
    while True:
        try:
            await explain(settings)
        except ServerError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_redis_password_that_is_changed_is_read_by_the_next_connection(tmp_path: Path) -> None:
    """A secret that is rotated while the program runs: no restart."""
    file = tmp_path / "password"
    file.write_text("first\n")
    with SecureRedis({"requirepass": "first"}) as server:
        client = connect(RedisSettings(server.url, password=Password(file=file)))
        assert isinstance(client, Redis)
        try:
            store = RedisStateStore(client, 0)
            await store.take_over(NOTHING_TOLD)
            admin = server.client()
            admin.config_set("requirepass", "second")
            admin.client_kill_filter(skipme=True)
            admin.close()
            with pytest.raises(ServerError):
                await store.load(["a"])
            with pytest.raises(ServerError, match="check user and password"):
                await store.load(["a"])
            file.write_text("second\n")
            assert await store.load(["a"]) == [None]
        finally:
            await client.aclose()


@pytest.mark.faults
async def test_with_sentinels_a_commit_waits_for_whatever_replicas_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two before the failover, one after it, two again when the old primary has come back as a replica."""
    monkeypatch.setattr(nodes, "LOOK", 0.0)
    with SentinelTrio() as trio:
        settings = RedisSettings(
            f"redis://:{trio.password}@ignored",
            sentinels=tuple(trio.addresses.split(",")),
            service=trio.SERVICE,
            sentinel_password=Password(f"{trio.password}-sentinel"),
        )
        client = connect(settings)
        store = RedisStateStore(client, 0)
        try:
            await _until_replicas(store, 2)
            first = trio.primary()
            first.kill()
            await _until_replicas(store, 1)
            assert trio.primary() is not first
            first.start()
            await _until_replicas(store, 2)
        finally:
            await store.close()
            await client.aclose()


async def _until_replicas(store: RedisStateStore, count: int) -> None:
    """Commit until a commit counts once so many replicas have it."""
    wanted, deadline = f"{count} replica", time.monotonic() + 60
    said = ""
    while True:
        try:
            meta = (await store.take_over(NOTHING_TOLD)).meta
            meta.revision += 1
            await store.commit(Commit(meta, {"a": b"1"}))
            said = store.durability
        except ServerError as error:
            said = str(error)
        else:
            if wanted in said:
                return
        assert time.monotonic() < deadline, said
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"service": "other"}, r"knows only segments.*check SEGSTREAM_REDIS_SENTINELS and"),
        ({"sentinel_password": Password("wrong")}, r"check SEGSTREAM_REDIS_SENTINEL_USERNAME and"),
        ({"sentinels": ("127.0.0.1:1",)}, r"127\.0\.0\.1:1: Error 111.*check SEGSTREAM_REDIS_SENTINELS and"),
        ({"password": Password("wrong")}, r"check user and password in SEGSTREAM_REDIS"),
    ],
    ids=["service", "Sentinels' password", "nobody there", "password"],
)
async def test_what_sentinels_say_is_told(trio: SentinelTrio, settings: dict[str, Any], said: str) -> None:
    """In one line, with what each of them said."""
    right: dict[str, Any] = {
        "url": "redis://ignored",
        "password": Password(trio.password),
        "sentinels": tuple(trio.addresses.split(",")),
        "service": trio.SERVICE,
        "sentinel_password": Password(f"{trio.password}-sentinel"),
    }
    client = connect(RedisSettings(**right | settings))
    try:
        with pytest.raises(ServerError, match=said) as caught:
            await RedisStateStore(client, 0).load(["a"])
        assert "\n" not in str(caught.value)
    finally:
        await client.aclose()
