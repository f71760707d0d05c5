"""Tables on terminals that are narrow, and lines on those that know no colours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

ROWS = """
from segstream.cli.tables import coloured, print_table
print_table(("version", "published", "note"), [("3", "2026-11-23T03:28:27.378Z", "back to version 1: as before")], right=[0], fold=2)
print("coloured" if coloured() else "plain")
"""


def shown(columns: int, **variables: str) -> list[str]:
    """Return the lines that `ROWS` prints on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    }
    subprocess.run(
        [sys.executable, "-c", ROWS],
        stdout=theirs,
        stdin=theirs,
        env=kept | {"TERM": "xterm"} | variables,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # Linux says at the end that nobody is there any more
        while part := os.read(ours, 65_536):
            written += part
    os.close(ours)
    return written.decode().replace("\r\n", "\n").splitlines()


def test_on_a_wide_terminal_each_row_is_a_line() -> None:
    """As it is in a file."""
    assert shown(120)[1] == "      3  2026-11-23T03:28:27.378Z  back to version 1: as before"


def test_on_a_narrower_one_the_last_column_is_broken_at_its_blanks() -> None:
    """All others stay whole: they are ids and times, to be copied."""
    assert [line.rstrip() for line in shown(62)[1:3]] == [
        "      3  2026-11-23T03:28:27.378Z  back to version 1: as",
        "                                   before",
    ]


@pytest.mark.parametrize("columns", [1, 20, 40, 50])
def test_where_there_is_no_room_nothing_is_cut_off(columns: int) -> None:
    """The terminal breaks the line itself; a time without its end, or no reason at all, would be read as the whole."""
    assert shown(columns)[1] == "      3  2026-11-23T03:28:27.378Z  back to version 1: as before"


@pytest.mark.parametrize(
    ("variables", "told"), [({}, "coloured"), ({"NO_COLOR": "1"}, "plain"), ({"TERM": "dumb"}, "plain")]
)
def test_who_wants_no_colours_gets_none(variables: dict[str, str], told: str) -> None:
    """By NO_COLOR, or a terminal that knows none."""
    assert shown(120, **variables)[-1] == told
