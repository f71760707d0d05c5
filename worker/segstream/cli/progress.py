"""Progress on stderr, where it is a terminal; elsewhere nothing, so that it stays out of logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def reading(doing: str = "reading changes") -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs.

    Parameters
    ----------
    doing : str
        What is going on.

    Yields
    ------
    callable
        ``tell(done, total)``.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(doing),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting(doing: str) -> Iterator[Callable[[str], None]]:
    """Show how far something is whose end is not known while the block runs.

    Parameters
    ----------
    doing : str
        What is going on.

    Yields
    ------
    callable
        ``tell(how_far)``.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(doing) as status:
        yield lambda how_far: status.update(f"{doing}: {how_far}")
