"""A Redis binary to start, or a loud skip."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstream.errors import LocalServerError
from segstream.local.redis import find_redis
from tests.servers import unavailable


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    """Return the redis-server to start."""
    try:
        return find_redis()
    except LocalServerError as error:
        unavailable(str(error))
