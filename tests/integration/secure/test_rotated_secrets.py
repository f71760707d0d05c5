"""Passwords and certificates replaced under a worker at work: the old ones end, the worker goes on with the new ones."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer
from redis.exceptions import RedisError

from segstream.access import Certificates as Trust
from segstream.access import Password
from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.reach import explain
from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.errors import ServerError
from tests.checker import assert_same, check_everywhere, stories
from tests.deployments import orders
from tests.integration.secure.conftest import PARTITIONS, RIGHTS, History, make_scene
from tests.integration.secure.test_workers import SLOWLY, until_applied
from tests.leaks import secret
from tests.secure_servers import USER, Certificates, SecureKafka, SecureRedis, make_certificates
from tests.servers import choose_kafka, unavailable
from tests.workers import Worker, send

WAIT = 120
LISTENER: Final = "SASL_SSL"
MECHANISM: Final = "SCRAM-SHA-512"


class MutualKafka(SecureKafka):
    """Wants a certificate of the client and a login."""

    def _defaults(self, controller: int) -> dict[str, str]:
        return super()._defaults(controller) | {"listener.name.sasl_ssl.ssl.client.auth": "required"}


@pytest.fixture
def live(tmp_path: Path) -> Certificates:
    """Return certificates that servers and worker read from the same places; to be replaced there."""
    return make_certificates(folder(tmp_path, "live"))


@pytest.fixture
def kafka(live: Certificates) -> Iterator[MutualKafka]:
    """Return a Kafka of this test's own."""
    if not any(source.name.startswith("Apache Kafka") for source in choose_kafka().sources):
        unavailable("needs Apache Kafka's jars and Java 17: this test replaces its certificates")
    with MutualKafka(live) as broker:
        yield broker


def folder(parent: Path, name: str) -> Path:
    """Make a folder."""
    made = parent / name
    made.mkdir()
    return made


async def until(worker: Worker, true: Callable[[], object], what: str) -> None:
    """Look again and again until something is true; fail at the deadline, or when the worker ends."""
    deadline = time.monotonic() + WAIT
    while not true():
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, f"{what}\n{worker.log[-3000:]}"
        await asyncio.sleep(0.05)


@pytest.mark.faults
async def test_all_secrets_are_replaced_under_a_worker_and_nothing_is_lost(
    live: Certificates, kafka: MutualKafka, history: History, tmp_path: Path
) -> None:
    """Both passwords, the authority, and the certificates of both sides.

    1. A worker is at work, slowly.
    2. Both servers are told the new password in place of the old, the files are replaced, and the servers are killed
       and started anew: no connection outlives that, and none is made with what is old.
    3. The worker goes on and tells what one tells under whom nothing happened. Its trainer still hears samples.
    """
    first, second = secret("first"), secret("second")
    kafka.set_password(first)
    kafka.create({history.topic: PARTITIONS})
    with SecureRedis(certificates=live, mutual=True, users=[user_with(first)], durable=True) as redis:
        admin = f"{redis.url_for(':'.join(SecureRedis.ADMIN) + '@')}?ssl_ca_certs={live.ca}"
        admin += f"&ssl_certfile={live.client_cert}&ssl_keyfile={live.client_key}"
        scene = make_scene(kafka, admin, history.topic)
        await send(scene, orders(3_000, seed=5))
        password = tmp_path / "password"
        password.write_text(f"{first}\n")
        environment = scene.environment(
            history.definitions, **settings_of(kafka, redis, live, password), **SLOWLY
        )
        with Worker(environment) as worker:
            await until_applied(scene, RedisSettings(admin), worker, share=0.2)
            outdated = keep(live, folder(tmp_path, "old"))
            await asyncio.to_thread(change_passwords, kafka, redis, second)
            replace_files(live, password, second, folder(tmp_path, "new"))
            await asyncio.to_thread(restart, kafka, redis, live)
            await check_refused(kafka, redis, live, outdated, first)
            await until_applied(scene, RedisSettings(admin), worker)
            await send_nonsense(scene.kafka, scene.topic("samples"))
            await until(worker, lambda: "bad_sample" in worker.log, "the trainer gets no samples")
            assert worker.stop() == 0
        told = await stories(scene)
        assert_same(told, history.told)
        await check_everywhere(scene, told)


def user_with(password: str) -> str:
    """Return what makes the worker's user in Redis."""
    return f"{USER} on resetpass >{password} ~test-* {RIGHTS}"


def settings_of(
    kafka: MutualKafka, redis: SecureRedis, live: Certificates, password: Path
) -> dict[str, object]:
    """Return the worker's ways in."""
    parts = {"ca": live.ca, "cert": live.client_cert, "key": live.client_key}
    return {
        "kafka": kafka.at(LISTENER),
        "kafka_security": LISTENER,
        "kafka_sasl_mechanism": MECHANISM,
        "redis": redis.url_for(),
        **{f"{server}_{part}_file": path for server in ("kafka", "redis") for part, path in parts.items()},
        **{f"{server}_username": USER for server in ("kafka", "redis")},
        **{f"{server}_password_file": password for server in ("kafka", "redis")},
    }


def keep(live: Certificates, there: Path) -> Certificates:
    """Copy all files."""
    return Certificates(*(Path(shutil.copy(path, there)) for path in files_of(live)))


def files_of(live: Certificates) -> tuple[Path, ...]:
    """Return the files in their order."""
    return tuple(getattr(live, field.name) for field in fields(live))


def change_passwords(kafka: MutualKafka, redis: SecureRedis, password: str) -> None:
    """Let both servers know the user by another password only."""
    kafka.set_password(password)
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", *user_with(password).split())
        client.execute_command("ACL", "SAVE")


def replace_files(live: Certificates, password: Path, text: str, aside: Path) -> None:
    """Put other certificates, of another authority, in the places of the old, and another password, as mounts do it."""
    for new, place in zip(files_of(make_certificates(aside)), files_of(live), strict=True):
        new.replace(place)
    other = aside / "password"
    other.write_text(text)
    other.replace(password)


def restart(kafka: MutualKafka, redis: SecureRedis, live: Certificates) -> None:
    """Kill the servers, and start them with the certificates there are now."""
    kafka.kill()
    redis.kill()
    (kafka.directory / "keystore.pem").write_bytes(
        live.server_key.read_bytes() + live.server_cert.read_bytes()
    )
    redis.start()
    kafka.start()


async def check_refused(
    kafka: MutualKafka, redis: SecureRedis, live: Certificates, outdated: Certificates, password: str
) -> None:
    """Check that neither the old password nor the old certificates open anything."""
    for files, why in ((live, "it refuses the user worker"), (outdated, "certificate")):
        trust = Trust(files.ca, files.client_cert, files.client_key)
        settings = KafkaSettings(kafka.at(LISTENER), LISTENER, MECHANISM, USER, Password(password), trust)
        with pytest.raises(ServerError, match=why):
            await explain(settings)
        client: Any = connect(RedisSettings(redis.url_for(), USER, Password(password), certificates=trust))
        try:
            with pytest.raises(RedisError, match=r"(?i)WRONGPASS|invalid username-password|certificate"):
                await client.ping()
        finally:
            await client.aclose()


async def send_nonsense(address: str, topic: str) -> None:
    """Send the trainer something that it will log."""
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        await producer.send_and_wait(topic, b"no sample", partition=0)
