"""redis-py's exceptions as ours, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import RedisClusterException, RedisError

from segstream.errors import ServerError

_REACH: Final = "check that it runs and can be reached"
_WAIT: Final = "it is tried again"
_BUG: Final = "please report this: the program used Redis wrongly"
_ACCESS: Final = "check the user and password in the Redis URL"
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
    "NoPermissionError": "allow the user in the Redis URL all commands on segstream's keys",
    "BusyLoadingError": "it is loading its data; " + _WAIT,
    "MaxConnectionsError": "allow more connections",
    "OutOfMemoryError": "raise its maxmemory (with maxmemory-policy noeviction)",
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
}
"""What to do about each of redis-py's exceptions, by name: which of them exist depends on its version."""

PASSED_ON: Final = frozenset({"ChildDeadlockedError", "IncorrectPolicyType"})
"""Neither the server's fault nor the network's, and no ``RedisError``: mistakes in this process, not mapped."""


def advice(error: BaseException) -> str:
    """Return what to do about one of redis-py's exceptions; its nearest base decides.

    Examples
    --------
    >>> from redis.exceptions import ReadOnlyError
    >>> advice(ReadOnlyError("READONLY You can't write against a read only replica."))
    'this is a replica; give the address of the primary'
    """
    return next((ADVICE[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in ADVICE), _REACH)


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
