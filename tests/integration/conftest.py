"""Everything in this folder needs a real Kafka or Redis, and is marked so."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them: ``-m 'not integration'`` leaves them out."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("integration")
