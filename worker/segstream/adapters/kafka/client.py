"""How every Kafka client of segstream connects, in one place."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    username, password : str, optional
        For SASL.
    ca_file : Path, optional
        Certificates to trust instead of the system's.
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
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    client_id: str = "segstream"
    request_timeout_ms: int = REQUEST_TIMEOUT_MS
    check_crcs: bool = True

    def kwargs(self, role: str) -> dict[str, Any]:
        """Return the arguments that any aiokafka client takes.

        Parameters
        ----------
        role : str
            What this client does; the end of its client id.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.servers.split(",") if server.strip()],
            "client_id": f"{self.client_id}-{role}",
            "request_timeout_ms": self.request_timeout_ms,
            "security_protocol": self.security,
        }
        if self.security in ("SSL", "SASL_SSL"):
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.security.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password
        return arguments

    def consumer_kwargs(self, role: str) -> dict[str, Any]:
        """Return `kwargs` and what all our consumers do alike: read what is committed, and decide positions themselves."""
        return self.kwargs(role) | {
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "check_crcs": self.check_crcs,
        }
