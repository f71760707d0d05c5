"""redis-py's exceptions become ours."""

from __future__ import annotations

import inspect

import pytest
import redis.exceptions
from redis.exceptions import RedisClusterException, RedisError

from segstream.adapters.redis.errors import ADVICE, PASSED_ON, redis_errors
from segstream.errors import ServerError

KINDS = [
    kind for _, kind in inspect.getmembers(redis.exceptions, inspect.isclass) if issubclass(kind, Exception)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_exception_of_redis_py_has_its_advice(kind: type[Exception]) -> None:
    """A class that a later redis-py adds must be thought about: say in ADVICE what to do about it."""
    if kind.__name__ in PASSED_ON:
        assert not issubclass(kind, RedisError | RedisClusterException | OSError)
    else:
        assert kind.__name__ in ADVICE
        assert issubclass(kind, RedisError | RedisClusterException | OSError)


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.ConnectionError("Error 111 connecting.\nRefused."),
        redis.exceptions.ReadOnlyError("READONLY"),
        redis.exceptions.SlotNotCoveredError(),
        TimeoutError(),
        ConnectionResetError("reset"),
    ],
    ids=repr,
)
def test_an_error_says_where_and_what_to_do_in_one_line(error: Exception) -> None:
    """Server errors carry the address, and keep the cause."""
    with (
        pytest.raises(ServerError, match=r"^Redis at somewhere:1/0: .+; .+$") as caught,
        redis_errors("somewhere:1/0"),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_mistakes_of_our_own_pass_through() -> None:
    """A KeyError is no server's fault."""
    with pytest.raises(KeyError), redis_errors("somewhere"):
        raise KeyError
