"""Tables for people: with rich, in the width of the terminal or, elsewhere, as wide as they are."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH: Final = 200
"""Columns where stdout is no terminal: wider than any table here, so that nothing is cut off in a file."""


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int] = (), fold: int = -1
) -> None:
    """Print a table on stdout.

    Parameters
    ----------
    columns : sequence of str
        Headings; all empty for a table without.
    rows : iterable of sequence of str
        Plain text: no markup, and what could move a terminal's cursor is made visible.
    right : collection of int
        Numbers of the columns that are aligned to the right.
    fold : int
        Number of the column that may be broken into lines where the terminal is narrow.

    Examples
    --------
    >>> print_table(("segment", "size"), [("at_risk", "2,826"), ("[odd]", "7")], right=[1])
    segment  size
    at_risk 2,826
    [odd]       7
    """
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        collapse_padding=True,
        show_header=any(columns),
    )
    for number, heading in enumerate(columns):
        table.add_column(
            heading, justify="right" if number in right else "left", no_wrap=number != fold, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    with console.capture() as capture:
        console.print(table)
    # rich fills lines up with spaces, which only get in the way of whoever reads them from a file.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
    sys.stdout.flush()


def visible(text: str) -> str:
    r"""Return a text in which nothing can steer a terminal: ids and labels are whatever somebody sent.

    Examples
    --------
    >>> visible("Zoë\x1b[2J")
    'Zoë\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
