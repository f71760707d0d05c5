"""How every Kafka client of segstream connects, in one place."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka.client import AIOKafkaClient

from segstream.access import Certificates, Password
from segstream.adapters.kafka.records import read_any_record
from segstream.errors import SettingsError

REQUEST_TIMEOUT_MS = 15_000
"""How long one request may take. Long enough for a broker's election (a few seconds), short enough to be noticed."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where Kafka is and how to get in. Blind to the environment: `segstream.settings` fills it.

    Parameters
    ----------
    servers : str
        Addresses as ``host:port``, separated by commas.
    security : str
        ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
    sasl_mechanism : str
        ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``; used with the SASL kinds of security.
    username : str, optional
        For SASL.
    password : Password
        For SASL; its file, if it has one, is read for each client that is made, and by `renewing` ones for each
        connection.
    certificates : Certificates
        For the kinds with SSL; read anew for each connection.
    client_id : str
        What brokers' logs and quotas call this client.
    request_timeout_ms : int
        How long one request may take.
    check_crcs : bool
        Whether to check records' checksums on reading; off for the embedded broker, whose commit markers have none.

    Examples
    --------
    >>> KafkaSettings("one:9092, two:9092").kwargs("worker")["bootstrap_servers"]
    ['one:9092', 'two:9092']
    """

    servers: str = "localhost:9092"
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: Password = field(default_factory=Password)
    certificates: Certificates = field(default_factory=Certificates)
    client_id: str = "segstream"
    request_timeout_ms: int = REQUEST_TIMEOUT_MS
    check_crcs: bool = True

    def kwargs(self, role: str) -> dict[str, Any]:
        """Return the arguments that any aiokafka client takes.

        Parameters
        ----------
        role : str
            What this client does; the end of its client id.

        Raises
        ------
        SettingsError
            A file with a password or a certificate cannot be read (any more).
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.servers.split(",") if server.strip()],
            "client_id": f"{self.client_id}-{role}",
            "request_timeout_ms": self.request_timeout_ms,
            "security_protocol": self.security,
        }
        if self.security in ("SSL", "SASL_SSL"):
            arguments["ssl_context"] = self.certificates.renewing_context()
        if self.security.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password.read()
        return arguments

    def consumer_kwargs(self, role: str) -> dict[str, Any]:
        """Return `kwargs` and what all our consumers do alike.

        They read what is committed, decide positions themselves, and read any record (see `segstream.adapters.kafka.records`).
        """
        read_any_record()
        return self.kwargs(role) | {
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "check_crcs": self.check_crcs,
        }

    def renewing(self, owner: Any) -> Any:
        """Let a consumer, producer or admin client that lives long read the password for each of its connections.

        Parameters
        ----------
        owner : AIOKafkaConsumer, AIOKafkaProducer or AIOKafkaAdminClient
            Made with `kwargs`, not started.

        Returns
        -------
        The same one.
        """
        # A broker keeps a connection whose password has changed, and refuses the next: aiokafka would show it the first
        # password for ever. It has no way to give it another, nor to be given a client of ours.
        if self.security.startswith("SASL") and self.password.file is not None:
            client = owner.client if hasattr(owner, "client") else owner._client  # noqa: SLF001
            client.__class__ = _RenewingClient
            client.source = self.password
        return owner


class _RenewingClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """A client that reads its password whenever it connects."""

    source: Password

    @property
    def _sasl_plain_password(self) -> str | None:
        # A file that cannot be read just now is no reason to end: the last one may still do.
        with contextlib.suppress(SettingsError):
            self.__dict__["_sasl_plain_password"] = self.source.read()
        last: str | None = self.__dict__["_sasl_plain_password"]
        return last
