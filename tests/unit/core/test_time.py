"""Times and durations as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.time import format_duration, format_time, parse_duration, parse_time
from segstream_schemas.times import EARLIEST, LATEST


@given(st.integers(EARLIEST, LATEST))
def test_a_time_is_written_as_the_standard_library_writes_it_and_read_back(at: int) -> None:
    """The quick way, from tables, gives the very text of the plain one, for every time that can be written."""
    plain = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    assert format_time(at) == plain.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    assert parse_time(format_time(at)) == at


@given(st.integers(0, 10**12))
def test_a_duration_is_read_back(length: int) -> None:
    """What is written for a person means the same when it is read."""
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize("text", ["", "60", "d", "60 d", "-1d", "1.5h", "5x"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """The error shows how durations are written."""
    with pytest.raises(ValueError, match="write for instance 90s"):
        parse_duration(text)
