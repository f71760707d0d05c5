"""An event loop as one simulated process has it: it runs when it is told to, and time is what it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, ClassVar, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Has the time in seconds."""

    time: float


class Timer:
    """As much of asyncio's handle as anybody uses, made in a fraction of the time.

    Parameters
    ----------
    call : callable
    args : tuple
    context : Context
        Where to call it.
    """

    __slots__ = ("_args", "_call", "context", "gone")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self._call, self._args, self.context = call, args, context
        self.gone = False

    def __call__(self) -> None:
        """Call it, unless it was cancelled."""
        if not self.gone:
            self._call(*self._args)

    def cancel(self) -> None:
        """Let it be passed over."""
        self.gone, self._args = True, ()


class Loop(asyncio.AbstractEventLoop):
    """Enough of an event loop for tasks, futures, events and timeouts; it never touches a socket or a clock.

    Parameters
    ----------
    clock : Clock

    Attributes
    ----------
    ready : deque of (callable, tuple, Context)
        What to call at the next run, with what, and where.
    defects : list of BaseException
        What was raised where nobody catches it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ready: deque[tuple[Callable[..., object], tuple[Any, ...], Context]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._made = 0
        self.defects: list[BaseException] = []

    running: ClassVar[Loop | None] = None
    """The one that counts as running."""

    # --- what asyncio asks of a loop

    def time(self) -> float:
        """Return the time in seconds."""
        return self._clock.time

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
    ) -> None:
        """Call back at the next run. There is no handle: of asyncio's parts none that is in use asks for it."""
        self.ready.append((callback, args, copy_context() if context is None else context))

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        """Call back at a moment."""
        timer = Timer(callback, args, copy_context() if context is None else context)
        self._made += 1
        heappush(self._timers, (when, self._made, timer))
        return timer

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        """Call back after a while."""
        return self.call_at(self._clock.time + delay, callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Do nothing: it is told of errors in replies that nobody waits for any more, and these are no defects."""

    # --- what the simulation does with it

    def run_ready(self) -> None:
        """Run until everything waits; `leave` when nothing is to run for a while."""
        ready = self.ready
        if Loop.running is not self:
            Loop.running = self
            asyncio._set_running_loop(self)
        while ready:
            call, args, context = ready.popleft()
            try:
                context.run(call, *args)
            except Exception as error:  # noqa: BLE001 - whatever it is
                self.defects.append(error)

    @staticmethod
    def leave() -> None:
        """Let no loop count as running any more."""
        Loop.running = None
        asyncio._set_running_loop(None)

    def next_timer(self) -> float | None:
        """Return the moment of the earliest timer, None without one."""
        timers = self._timers
        while timers and timers[0][2].gone:
            heappop(timers)
        return timers[0][0] if timers else None

    def fire(self) -> None:
        """Let all timers that are due by now be run next."""
        timers, now = self._timers, self._clock.time
        while timers and timers[0][0] <= now:
            timer = heappop(timers)[2]
            if not timer.gone:
                self.ready.append((timer, (), timer.context))
