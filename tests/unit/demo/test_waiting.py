"""When the demo loses patience."""

from __future__ import annotations

import pytest

from segstream.demo.waiting import Patience
from segstream.errors import ServerError


def test_patience_ends_when_nothing_changes_and_says_what_was_waited_for() -> None:
    """Every wait has an end with a reason."""
    patience = Patience(-1.0)
    patience.check(1, "the worker does not apply events")
    patience.check(2, "the worker does not apply events")
    with pytest.raises(ServerError, match="the worker does not apply events: no progress for -1 s"):
        patience.check(2, "the worker does not apply events")
