"""A user's answer as the fields of a hash."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segstream.adapters.redis.answers import _wire_time
from segstream.core.time import format_time

LAST = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@given(st.integers(-2_000_000_000_000, LAST))
def test_a_time_is_written_as_everywhere_else(at: int) -> None:
    """The quick way gives the very text of the plain one."""
    assert _wire_time(at) == format_time(at)
