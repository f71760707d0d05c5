"""Everything in this folder needs a real Kafka or Redis, and is marked so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Topics
from tests.deployments import Deployments

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them: ``-m 'not integration'`` leaves them out."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("integration")


@pytest.fixture
async def deployments(topics: Topics, redis_url: str, tmp_path: Path) -> AsyncIterator[Deployments]:
    """Deployments of this test's own."""
    own = Deployments(topics, redis_url, tmp_path)
    yield own
    await own.tidy()
