"""Tables for people: with rich, in the width of the terminal or, elsewhere, as wide as they are."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH: Final = 200
"""Columns where stdout is no terminal: wider than any table here, so that nothing is cut off in a file."""

FOLDED: Final = 24
"""Columns that a cell which may be broken has at least: some words of a reason."""


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
        Number of the column that may be broken into lines where the terminal is narrow. Where the others leave no room
        for it, each row is one line, and the terminal breaks that: nothing is cut off.

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
    cells = [[visible(cell) for cell in row] for row in rows]
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    least, whole = _widths([columns, *cells], fold)
    if console.width < least:
        console.width = whole
    with console.capture() as capture:
        console.print(table)
    # rich fills lines up with spaces, which only get in the way of whoever reads them from a file.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
    sys.stdout.flush()


def _widths(rows: Sequence[Sequence[str]], fold: int) -> tuple[int, int]:
    """Return how many columns of a terminal a table needs: with `FOLDED` for what may be broken, and unbroken."""
    widths = [max(map(cell_len, column)) + 2 for column in zip(*rows, strict=True)]
    whole = sum(widths)
    return whole - max(0, widths[fold] - FOLDED if fold >= 0 else 0), whole


def coloured() -> bool:
    """Return whether lines may have colours: stdout is a terminal that knows them, and NO_COLOR is not set."""
    console = Console()
    return console.color_system is not None and not console.no_color


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
