"""The users of ``deploy/redis.acl`` on the Redis of the tests: workers and commands log in as the first of them.

Only the patterns of keys differ: what tests make begins with ``test-``.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from segstream.local.redis import LocalRedis, find_redis
from tests.leaks import secret

ACL: Final = Path(__file__).parents[1] / "deploy" / "redis.acl"
KEYS: Final = "~test-*"
"""In place of ``~segstream:* ~segments:*``: the keys of all tests."""

NEWER: Final = ("+client|setinfo", "+waitaof")
"""What came with Redis 7.2, and an older one refuses to read."""

_ENTRIES: Final = 128
"""As many refusals as Redis keeps (``acllog-max-len``)."""

_SECONDS: Final = 10
"""In which a server that is not frozen answers."""

_logins: dict[str, str] = {}
"""By the URL with all rights: the URL of the user with a worker's."""


def worker_url(url: str) -> str:
    """Return the URL by which a worker comes in: as the ACL file's user, if the server at ``url`` was given it."""
    return _logins.get(url, url)


def rules(user: str, version: tuple[int, ...], password: str) -> list[str]:
    """Return what ACL SETUSER takes for a user of the ACL file, with the keys of the tests.

    Parameters
    ----------
    user : str
        ``segstream`` or ``segments-reader``.
    version : tuple of int
        Redis' own, such as ``(7, 0)``.
    password : str
        Takes the place of ``resetpass``.
    """
    lines = (line.split() for line in ACL.read_text(encoding="utf-8").splitlines())
    (words,) = (words[2:] for words in lines if words[:2] == ["user", user])
    kept = [word for word in words if not word.startswith("~") and (version >= (7, 2) or word not in NEWER)]
    return [f">{password}" if word == "resetpass" else word for word in kept] + [KEYS]


def refused(url: str) -> list[dict[str, Any]]:
    """Return what the user with a worker's rights was refused since the server started, commands of connecting aside."""
    login = urlsplit(worker_url(url)).username
    with Redis.from_url(url, decode_responses=True, socket_timeout=_SECONDS) as client:
        entries: list[dict[str, Any]] = client.acl_log(_ENTRIES) if login else []
    # redis-py says its name and version on connecting, and minds no refusal.
    return [entry for entry in entries if entry["username"] == login and entry["object"] != "client|setinfo"]


def login_at(url: str, address: str) -> str:
    """Return the URL by which a worker comes into the server at ``url`` by another address (``host:port``) of it.

    >>> login_at("redis://one:6379/0", "proxy:7000")
    'redis://proxy:7000/0'
    """
    parts = urlsplit(worker_url(url))
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}{address}"))


@contextmanager
def given(url: str) -> Iterator[str]:
    """Make the user on a server that is somebody else's, under a name of its own, for as long as tests run.

    Where ``url`` may not make users, workers go in by it.
    """
    name, password = f"segstream-test-{uuid.uuid4().hex[:12]}", secret()
    with Redis.from_url(url, decode_responses=True) as client:
        version = _numbers(str(client.info("server")["redis_version"]))
        try:
            client.execute_command("ACL", "SETUSER", name, *rules("segstream", version, password))
        except NoPermissionError:
            yield url
            return
        _register(url, name, password)
        try:
            yield url
        finally:
            del _logins[url]
            client.execute_command("ACL", "DELUSER", name)


class RestrictedRedis(LocalRedis):
    """A Redis with the users of the ACL file; `worker_url` has the first one's login for its `url`.

    They outlast a restart. The default user may do everything. Before it is killed and at its end it must not have
    refused anything to the first one.

    Parameters
    ----------
    refuses : bool
        Whether a test has it refuse something, on purpose.
    **options
        As for `LocalRedis`.
    """

    def __init__(self, *, refuses: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.password = secret()
        self._refuses = refuses
        self._refused: list[dict[str, Any]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, and fail if it has refused anything; a test that has failed already fails by that."""
        if self.running:
            self._ask()
        super().__exit__(kind, error, trace)
        assert error is not None or self._refuses or self._refused == []

    def kill(self) -> None:
        """End it at once, as a crash would; what it has refused goes with it, so that is asked first."""
        self._ask()
        super().kill()

    def start(self) -> None:
        """Start it, and let workers know their login."""
        super().start()
        _register(self.url, "segstream", self.password)

    def _ask(self) -> None:
        with suppress(RedisError):  # frozen, or gone already
            self._refused += refused(self.url)

    def _prepare(self) -> None:
        super()._prepare()
        version = redis_version(self._binary or find_redis())
        lines = ["user default on nopass ~* &* +@all"]
        lines += [
            " ".join(["user", user, *rules(user, version, self.password)])
            for user in ("segstream", "segments-reader")
        ]
        self._users.write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [*super()._command(), "--aclfile", str(self._users)]

    @property
    def _users(self) -> Path:
        return self.directory / "users.acl"


def redis_version(binary: Path) -> tuple[int, ...]:
    """Return the version of a ``redis-server``, such as ``(7, 0, 15)``."""
    told = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    found = re.search(r"v=([\d.]+)", told)
    assert found is not None, told
    return _numbers(found[1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def bare(url: str) -> str:
    """Return the URL without a login.

    >>> bare("redis://admin:secret@one:6379/0")
    'redis://one:6379/0'
    """
    return _with_login(url, "")


def _register(url: str, user: str, password: str) -> None:
    _logins[url] = _with_login(url, f"{quote(user)}:{quote(password)}@")


def _with_login(url: str, login: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=login + parts.netloc.rpartition("@")[2]))
