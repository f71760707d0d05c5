"""Running what a command waits for, and asking whether to go on, until that is done or somebody presses Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType
    from typing import Any

T = TypeVar("T")

LOOK_UP: Final = 0.2
"""Seconds until a question hears of Ctrl-C at the latest."""

CANCEL_AGAIN: Final = 0.5
"""Seconds until work that goes on after Ctrl-C is cancelled again; most ends at once."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` and return what it returns.

    `asyncio.run` cancels once at Ctrl-C. Before Python 3.12 `asyncio.wait_for`, which Kafka's and Redis' clients call,
    may forget that, and the command would go on; so it is cancelled until it has ended. A second Ctrl-C ends it wherever
    it is.

    Parameters
    ----------
    work : coroutine

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, once ``work`` has cleaned up.

    Examples
    --------
    >>> async def work() -> int:
    ...     return 42
    >>> run(work())
    42
    """
    import asyncio

    return asyncio.run(_watched(work))


def confirmed(question: str) -> bool:
    """Ask on the terminal, and return whether the answer was yes.

    May be called from work that `run` runs. There Ctrl-C is only noted and the terminal would be read on; so while this
    asks, it ends the command where it stands.

    Parameters
    ----------
    question : str
        To which "no" is the answer of who only presses Enter.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    typer.Abort
        The terminal was closed.
    """
    import signal

    import typer

    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while True:
            typer.echo(f"{question} [y/N]: ", nl=False, err=True)
            answer = _line().strip().lower()
            if answer in ("y", "yes", "n", "no", ""):
                return answer in ("y", "yes")
            typer.echo("write y or n", err=True)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo(err=True)  # behind the question
        raise
    finally:
        signal.signal(signal.SIGINT, former)


def _line() -> str:
    """Return what is entered; raise ``typer.Abort`` at the end of the input.

    Python would not hear of a signal that comes just before it begins to read: it looks up in between.
    """
    import select
    import sys

    import typer

    while not select.select([sys.stdin], [], [], LOOK_UP)[0]:
        pass
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    presses = 0

    def cancel() -> None:
        if not task.done():
            task.cancel()
            loop.call_later(CANCEL_AGAIN, cancel)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(cancel)

    former = signal.signal(signal.SIGINT, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if presses == 1:
            raise KeyboardInterrupt from None
        raise  # a second one has been raised already
    finally:
        signal.signal(signal.SIGINT, former)
