"""An event loop as one simulated process has it: it runs when it is told to, and time is what it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")


class Loop(asyncio.AbstractEventLoop):
    """Enough of an event loop for tasks, futures, events and timeouts; it never touches a socket or a clock.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.

    Attributes
    ----------
    defects : list of BaseException
        What was raised where nobody catches it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self.defects: list[BaseException] = []

    # --- what asyncio asks of a loop

    def time(self) -> float:
        """Return the time in seconds."""
        return self._clock()

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_closed(self) -> bool:
        """Return False: nothing is ever opened."""
        return False

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # later versions of Python pass more
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Begin a coroutine at the next run."""
        del name  # asyncio would count all tasks ever made
        return asyncio.Task(coro, loop=self, name="simulated", context=context)

    def call_soon(  # type: ignore[override]  # as above
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back at the next run."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a moment."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        heappush(self._timers, (when, self._made, handle))
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back after a while."""
        return self.call_at(self._clock() + delay, callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what a callback has raised. A reply that nobody waits for any more may be an error: that is no defect."""
        error = context.get("exception")
        if error is not None and "handle" in context:
            self.defects.append(error)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is passed over."""

    # --- what the simulation does with it

    def run_ready(self) -> bool:
        """Run until everything waits; return whether anything ran."""
        ready = self._ready
        if not ready:
            return False
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while ready:
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(outer)
        return True

    def next_timer(self) -> float | None:
        """Return the moment of the earliest timer, None without one."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        return timers[0][0] if timers else None

    def fire(self) -> None:
        """Let all timers that are due by now be run next."""
        timers, now = self._timers, self._clock()
        while timers and timers[0][0] <= now:
            handle = heappop(timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)
