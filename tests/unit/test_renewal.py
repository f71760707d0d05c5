"""Certificates and passwords that are replaced while clients live."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest
import trustme
from aiokafka import AIOKafkaConsumer

from segstream.access import Certificates, Password
from segstream.adapters.kafka.client import KafkaSettings
from tests.leaks import secret

NAME = "broker.test"


def server_of(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server with a certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    return context


def accepts(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Shake hands in memory; tell whether the client trusts the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=NAME),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    try:
        for _ in range(4):
            for side in sides:
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError:
        return False
    return sides[0].version() is not None


def test_each_connection_looks_at_the_files_anew(tmp_path: Path) -> None:
    """The new authority is trusted, and the old one is not any more."""
    old, new = trustme.CA(), trustme.CA()
    file = tmp_path / "ca.pem"
    old.cert_pem.write_to_path(file)
    context = Certificates(ca_file=file).renewing_context()
    assert [accepts(context, server_of(each)) for each in (old, new)] == [True, False]
    new.cert_pem.write_to_path(file)
    assert [accepts(context, server_of(each)) for each in (old, new)] == [False, True]


@pytest.mark.parametrize("broken", [None, "", "no certificate"])
def test_files_that_cannot_be_used_change_nothing(tmp_path: Path, broken: str | None) -> None:
    """What they held before goes on until they can, and is tried again each time."""
    old, new = trustme.CA(), trustme.CA()
    file = tmp_path / "ca.pem"
    old.cert_pem.write_to_path(file)
    context = Certificates(ca_file=file).renewing_context()
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    assert accepts(context, server_of(old))
    new.cert_pem.write_to_path(file)
    assert accepts(context, server_of(new))


async def test_a_client_that_lives_long_asks_for_the_password_when_it_connects(tmp_path: Path) -> None:
    """Aiokafka reads it from its client for each connection; a file that is gone leaves the last one."""
    first, second = secret("first"), secret("second")
    file = tmp_path / "password"
    file.write_text(f"{first}\n")
    settings = KafkaSettings(security="SASL_PLAINTEXT", username="worker", password=Password(file=file))
    consumer = settings.renewing(AIOKafkaConsumer(**settings.consumer_kwargs("test"), group_id=None))
    try:
        assert consumer._client._sasl_plain_password == first
        file.write_text(f"{second}\n")
        assert consumer._client._sasl_plain_password == second
        file.unlink()
        assert consumer._client._sasl_plain_password == second
    finally:
        await consumer.stop()
