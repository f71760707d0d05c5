"""Calls to simulated servers: each waits until the simulation decides what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from segstream.errors import SegstreamError, ServerError

if TYPE_CHECKING:
    from tests.simulation.loop import Loop

T = TypeVar("T")


class Crash(Exception):
    """The process is dead: whatever it still does has no effect."""


class Process(Protocol):
    """Who makes calls."""

    name: str
    loop: Loop
    frozen: bool
    dead: bool


class Server(Protocol):
    """Who answers."""

    name: str
    writing: bool

    def seal(self) -> int:
        """Note that something may have been written; return the place of that write."""
        ...

    def keep(self, place: int) -> None:
        """Let all that was written up to a place outlive the server."""
        ...


class Call:
    """One request on its way.

    Parameters
    ----------
    process : Process
    server : Server
    what : str
        The call, in words.
    number : int
        The partition number it is about.
    effect : callable
        What it does at the server; returns the reply, or raises the refusal.
    writes : bool
        Whether it changes what the server holds.
    durably : bool
        Whether the reply says that what was written outlives the server.
    repeatable : bool
        Whether a client may send it twice: Kafka drops repeats, Redis does not.

    Attributes
    ----------
    future : Future
        Where the reply goes.
    written : int or None
        The place of its write (0: there is none), once it has reached the server and the reply is under way.
    """

    __slots__ = (
        "durably", "effect", "future", "number", "process", "repeatable", "reply", "server", "what", "writes", "written",
    )  # fmt: skip

    def __init__(
        self,
        process: Process,
        server: Server,
        what: str,
        number: int,
        effect: Callable[[], Any],
        *,
        writes: bool,
        durably: bool,
        repeatable: bool,
    ) -> None:
        self.process, self.server, self.what, self.number = process, server, what, number
        self.effect, self.repeatable = effect, repeatable
        self.writes, self.durably = writes, durably
        self.future: asyncio.Future[Any] = asyncio.Future(loop=process.loop)
        self.written: int | None = None
        self.reply: Any = None

    def __str__(self) -> str:
        return f"{self.process.name}'s call to {self.server.name}: {self.what}, partition {self.number}"

    def reach(self) -> bool:
        """Take effect at the server; return whether it did not refuse."""
        self.server.writing = self.writes
        try:
            self.reply = self.effect()
        except SegstreamError as refusal:
            if not self.future.done():
                self.future.set_exception(refusal)
            return False
        self.written = self.server.seal() if self.writes else 0
        return True

    def answer(self) -> None:
        """Let the reply arrive, of a call that has reached the server."""
        assert self.written is not None
        if self.durably:
            self.server.keep(self.written)
        if not self.future.done():
            self.future.set_result(self.reply)

    def fail(self, how: str) -> None:
        """Let the caller have an error in place of a reply."""
        if not self.future.done():
            self.future.set_exception(ServerError(f"{self.server.name}: {how}"))


class Wire:
    """All calls on their way, in the order they were made.

    Attributes
    ----------
    calls : list of Call
        Not answered yet.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def send(
        self,
        process: Process,
        server: Server,
        what: str,
        number: int,
        effect: Callable[[], T],
        *,
        writes: bool = False,
        durably: bool = False,
        repeatable: bool = True,
    ) -> asyncio.Future[T]:
        """Begin a call, and return where its reply will be.

        Raises
        ------
        Crash
            The process is dead.
        """
        if process.dead:
            raise Crash
        call = Call(
            process, server, what, number, effect, writes=writes, durably=durably, repeatable=repeatable
        )
        self.calls.append(call)
        return call.future


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that waits for nothing, as those of the servers in memory.

    Examples
    --------
    >>> async def three() -> int:
    ...     return 3
    >>> at_once(three())
    3
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits for something")
