"""Running what a command waits for, until it is done or somebody presses Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType
    from typing import Any

T = TypeVar("T")

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


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    interrupted = False

    def cancel() -> None:
        if not task.done():
            task.cancel()
            loop.call_later(CANCEL_AGAIN, cancel)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        loop.call_soon_threadsafe(cancel)

    former = signal.signal(signal.SIGINT, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, former)
