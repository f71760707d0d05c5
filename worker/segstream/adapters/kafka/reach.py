"""Why Kafka cannot be reached: aiokafka only logs the reason, and then says that it could not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from segstream.adapters.kafka.client import KafkaSettings
from segstream.errors import ServerError

PATIENCE_MS: Final = 5_000
"""For each broker that is asked why."""

_TLS_ALERT: Final = 0x1503
"""How a TLS alert begins: 21 for an alert, 3 for the version. Read as the length of Kafka's answer, 350 MB."""

_SECURITY: Final = "SEGSTREAM_KAFKA_SECURITY"
_HOSTNAME_MISMATCH: Final = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


@asynccontextmanager
async def explained(settings: KafkaSettings) -> AsyncIterator[None]:
    """Say why, if within the block Kafka cannot be reached.

    Parameters
    ----------
    settings : KafkaSettings
        As the client in the block connects.

    Raises
    ------
    ServerError
        With the address, what happened there, and what to do. Other errors, and those that did not happen again,
        pass as they are.
    """
    began = monotonic()
    try:
        yield
    except (KafkaConnectionError, TimeoutError):
        await explain(settings, began)
        raise


async def explain(settings: KafkaSettings, began: float | None = None) -> None:
    """Connect to each address in turn; return if one answers.

    Parameters
    ----------
    settings : KafkaSettings
        How to connect.
    began : float, optional
        Since when there has been no answer, in seconds of ``time.monotonic``; since now if not given.

    Raises
    ------
    ServerError
        None does; says why, of each.
    """
    began = monotonic() if began is None else began
    failures: dict[str, BaseException] = {}
    arguments = replace(settings, request_timeout_ms=PATIENCE_MS).kwargs("explain")
    for address in arguments.pop("bootstrap_servers"):
        host, _, port = address.rpartition(":")
        try:
            connection = await create_conn(host.strip("[]"), int(port), **arguments)
            try:
                async with asyncio.timeout(PATIENCE_MS / 1000):
                    await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except (KafkaError, OSError, TimeoutError) as error:
            failures[address] = error
            await asyncio.sleep(0)  # aiokafka has asked its socket to close: let it
        else:
            return
    seconds, problems = monotonic() - began, dict[str, list[str]]()
    for address, failure in failures.items():
        problems.setdefault(reason(failure, settings, seconds), []).append(address)
    raise ServerError("; ".join(f"Kafka at {', '.join(where)}: {why}" for why, where in problems.items()))


def reason(error: BaseException, settings: KafkaSettings, seconds: float) -> str:
    """Return what an error on connecting means, and what to do.

    Parameters
    ----------
    error : BaseException
        As aiokafka or the system raised it.
    settings : KafkaSettings
        How the client that got it connects.
    seconds : float
        For how long an answer has been waited for.

    Examples
    --------
    >>> reason(ConnectionRefusedError(), KafkaSettings(), 0.1)
    'nobody listens there; start it, or correct SEGSTREAM_KAFKA'
    >>> reason(TimeoutError(), KafkaSettings(), 20.4)
    'no answer within 20 s; check the address, the network and the broker'
    """
    links = list(_chain(error))
    tls = next((link for link in links if isinstance(link, ssl.SSLError)), None)
    if tls is not None:
        return _tls_reason(tls, settings)
    short = next((link for link in links if isinstance(link, asyncio.IncompleteReadError)), None)
    said = (
        _login_reason(error, settings) or _network_reason(error, seconds) or _hung_up(error, short, settings)
    )
    return said or f"{' '.join(str(error).split()) or type(error).__name__}; check the broker and the network"


def _login_reason(error: BaseException, settings: KafkaSettings) -> str | None:
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"it refuses the user {settings.username} by {settings.sasl_mechanism}; check SEGSTREAM_KAFKA_USERNAME, "
            "SEGSTREAM_KAFKA_PASSWORD (or _FILE) and SEGSTREAM_KAFKA_SASL_MECHANISM"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"{' '.join(str(error).split())}; set SEGSTREAM_KAFKA_SASL_MECHANISM to one of these"
    if isinstance(error, IllegalSaslStateError):
        without = settings.security.removeprefix("SASL_")
        return f"it takes no login there; set {_SECURITY} to {without}, or use another port"
    return None


def _network_reason(error: BaseException, seconds: float) -> str | None:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there; start it, or correct SEGSTREAM_KAFKA"
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror}); correct SEGSTREAM_KAFKA"
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:.0f} s; check the address, the network and the broker"
    return None


def _hung_up(
    error: BaseException, short: asyncio.IncompleteReadError | None, settings: KafkaSettings
) -> str | None:
    """Return what it means that the connection ended in the middle."""
    encrypted, login = settings.security.endswith("SSL"), settings.security.startswith("SASL")
    if encrypted and isinstance(error, ConnectionResetError):
        return _no_tls(login=login)
    if short is None:
        return None
    if not encrypted and (short.expected or 0) >> 16 == _TLS_ALERT:
        return (
            f"it speaks TLS there; set {_SECURITY} to {'SASL_SSL' if login else 'SSL'}, or use another port"
        )
    if not login:
        return f"it hangs up, as one does that wants a login; set {_SECURITY} to SASL_{settings.security}"
    return None


def _tls_reason(error: ssl.SSLError, settings: KafkaSettings) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _HOSTNAME_MISMATCH:
            return f"its certificate is for another name ({error.verify_message.rstrip('.')}); use that one in SEGSTREAM_KAFKA"
        return f"its certificate is not trusted ({error.verify_message}); name the authority's in SEGSTREAM_KAFKA_CA_FILE"
    why = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in why:
        given = "another" if settings.certificates.cert_file else "this client's"
        return (
            f"it refuses the connection ({why}); set SEGSTREAM_KAFKA_CERT_FILE and SEGSTREAM_KAFKA_KEY_FILE to {given} "
            "certificate and key"
        )
    return _no_tls(login=settings.security.startswith("SASL"))


def _no_tls(*, login: bool) -> str:
    return f"it does not speak TLS there; set {_SECURITY} to {'SASL_PLAINTEXT' if login else 'PLAINTEXT'}, or use another port"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__
