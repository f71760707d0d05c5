"""redis-py's exceptions as ours, with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import RedisClusterException, RedisError

from segstream.errors import ServerError

_REACH: Final = "check SEGSTREAM_REDIS, and that it runs and can be reached"
_WAIT: Final = "it is tried again"
_BUG: Final = "please report this: the program used Redis wrongly"
_ACCESS: Final = "check user and password in SEGSTREAM_REDIS, or SEGSTREAM_REDIS_USERNAME and SEGSTREAM_REDIS_PASSWORD (or _FILE)"
_RIGHTS: Final = "grant its user what deploy/access.md lists under *Rights in Redis* (ACL SETUSER)"
_MEMORY: Final = "raise its maxmemory (with maxmemory-policy noeviction)"
_CLIENT_CERTIFICATE: Final = (
    "it asks for a client's certificate: set SEGSTREAM_REDIS_CERT_FILE and SEGSTREAM_REDIS_KEY_FILE"
)
_CLUSTER: Final = "check the cluster with CLUSTER INFO"

ADVICE: Final = {
    "RedisError": _REACH,
    "ConnectionError": _REACH,
    "TimeoutError": "it did not answer in time; check its load (SLOWLOG GET) and the network",
    "OSError": _REACH,
    "AuthenticationError": _ACCESS,
    "AuthenticationWrongNumberOfArgsError": _ACCESS,
    "AuthorizationError": _ACCESS,
    "ExternalAuthProviderError": _ACCESS,
    "NoPermissionError": _RIGHTS,
    "BusyLoadingError": "it is loading its data; " + _WAIT,
    "MaxConnectionsError": "allow more connections",
    "OutOfMemoryError": _MEMORY,
    "ReadOnlyError": "this is a replica; give the address of the primary",
    "MasterDownError": "this replica has lost its primary; give the address of the primary",
    "InvalidResponse": "check that the address is a Redis server's",
    "ResponseError": "it refused; check that it is Redis 6.2 or later and the keys are segstream's alone",
    "NoScriptError": _WAIT,
    "ModuleError": _BUG,
    "NoSuchFieldsetError": _BUG,
    "DataError": _BUG,
    "PubSubError": _BUG,
    "WatchError": _BUG,
    "ExecAbortError": _BUG,
    "LockError": _BUG,
    "LockNotOwnedError": _BUG,
    "RedisClusterException": _CLUSTER,
    "ClusterError": _CLUSTER,
    "ClusterDownError": _CLUSTER,
    "SlotNotCoveredError": _CLUSTER,
    "AskError": "a slot is moving; " + _WAIT,
    "MovedError": "a slot has moved; " + _WAIT,
    "TryAgainError": "a slot is moving; " + _WAIT,
    "ClusterCrossSlotError": _BUG,
    "CrossSlotTransactionError": _BUG,
    "InvalidPipelineStack": _BUG,
    # Of ours and of redis-py's Sentinel.
    "SentinelLoginError": "check SEGSTREAM_REDIS_SENTINEL_USERNAME and SEGSTREAM_REDIS_SENTINEL_PASSWORD (or _FILE)",
    "MasterNotFoundError": "check SEGSTREAM_REDIS_SENTINELS and SEGSTREAM_REDIS_SENTINEL_SERVICE (SENTINEL MASTERS lists them)",
}
"""What to do about each of redis-py's exceptions, by name: which of them exist depends on its version."""

TELLING: Final = (
    # What TLS and the system say, in whatever redis-py wraps it.
    (
        r"CERTIFICATE_VERIFY_FAILED.*mismatch",
        "its certificate is for another name: use that one in SEGSTREAM_REDIS",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "its certificate is not trusted: name the authority's in SEGSTREAM_REDIS_CA_FILE",
    ),
    (r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|HANDSHAKE_FAILURE|UNKNOWN_CA)", _CLIENT_CERTIFICATE),
    (r"\[SSL", "it does not speak TLS there: write redis:// in SEGSTREAM_REDIS, or use its TLS port"),
    (
        r"Timeout connecting",
        "check SEGSTREAM_REDIS and the network; a server that speaks no TLS does not answer rediss:// either",
    ),
    (
        r"Connection (reset|closed)|reset by peer",
        f"{_REACH}; one that speaks TLS hangs up on redis://: write rediss:// then",
    ),
    (r"Cluster mode is not enabled", "it is no node of a cluster: set SEGSTREAM_REDIS_CLUSTER to false"),
    (r"max number of clients", "raise its maxclients, or run fewer workers"),
    # What a server says within a script, where versions before 7 hide the code.
    (r"NOPERM|has no permissions|ACL failure|user executing the script", _RIGHTS),
    (r"\bOOM\b", _MEMORY),
    (r"\bREADONLY\b", "this is a replica; give the address of the primary"),
    (r"\bMISCONF\b", "it cannot write to its disk: its log says why"),
    (
        r"appendonly is disabled",
        "its append-only file was turned off; it is tried again, without waiting for that",
    ),
    (r"\bNOREPLICAS\b", "fewer replicas than its min-replicas-to-write are there: bring them back"),
    (r"\bBUSY\b", "another program's script keeps it busy (SCRIPT KILL ends it); " + _WAIT),
    (
        r"unknown command",
        "segstream needs Redis 6.2 or later (Valkey will do), with EVALSHA, WAIT and INFO allowed",
    ),
)
"""What to do by what an error says, looked for before its class."""

PASSED_ON: Final = frozenset({"ChildDeadlockedError", "IncorrectPolicyType"})
"""Neither the server's fault nor the network's, and no ``RedisError``: mistakes in this process, not mapped."""


def advice(error: BaseException) -> str:
    """Return what to do about one of redis-py's exceptions; its text decides, else its nearest base.

    Examples
    --------
    >>> from redis.exceptions import ReadOnlyError
    >>> advice(ReadOnlyError("READONLY You can't write against a read only replica."))
    'this is a replica; give the address of the primary'
    """
    text = str(error)
    found = next((what for pattern, what in TELLING if re.search(pattern, text)), None)
    return found or next(
        (ADVICE[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in ADVICE), _REACH
    )


def server_error(error: BaseException, address: str) -> ServerError:
    """Return ours for one of redis-py's exceptions.

    Parameters
    ----------
    error : BaseException
        An exception raised, or found among replies.
    address : str
        Host and port, without user and password.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return ServerError(f"Redis at {address}: {text.rstrip('.')}; {advice(error)}")


@contextmanager
def redis_errors(address: str) -> Iterator[None]:
    """Raise ``ServerError`` for whatever redis-py raises in the block.

    Parameters
    ----------
    address : str
        Host and port, without user and password.

    Raises
    ------
    ServerError
        Naming the address and what to do.
    """
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise server_error(error, address) from error
