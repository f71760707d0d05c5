"""A TCP proxy that makes the network bad: slow, silent, cut, reset, half-open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from segstream.local.apache_kafka import ApacheKafka
from segstream.local.ports import LOOPBACK, free_port

CHUNK: Final = 64 << 10
CALL_SECONDS: Final = 10.0
"""For the proxy's own loop to do as it is told; a hang's deadline."""

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
"""A socket closed with this sends RST instead of FIN."""


class Proxy:
    """Passes connections on to a server on the loopback interface, as well or as badly as it is told to.

    It runs in a thread of its own, so that a test may block. What is said here holds for the connections there are and
    for those to come, unless it says otherwise; ``heal`` ends it.

    Parameters
    ----------
    target : int
        The server's port; may be set later, since a Kafka wants to know the proxy's port before it starts.

    Attributes
    ----------
    port : int
        Where it listens.
    delay : float
        Seconds by which all that the server answers comes later. Answers keep their order and do not wait for each
        other, as on a long line.
    blocked : bool
        Whether nothing passes, either way. Connections stay open, and new ones are accepted; what was held passes
        when this ends.
    holds : callable, optional
        Told of each portion that a client sends, whether it is held; what follows on that connection waits with it.

    Examples
    --------
    ::

        with LocalRedis() as redis, Proxy(redis.port) as proxy:
            proxy.delay = 0.2
            client = Redis(port=proxy.port)
    """

    def __init__(self, target: int = 0) -> None:
        self.port, self.target = free_port(), target
        self.delay, self.blocked = 0.0, False
        self.holds: Callable[[bytes], bool] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._do(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections."""
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def connections(self) -> int:
        """How many pass through it."""
        return len(self._links)

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        self._do(self._cut)

    def reset(self) -> None:
        """End the present connections with RST, as a firewall does; new ones are as good as any."""
        self._do(self._reset)

    def half_open(self) -> None:
        """Let the server's end of the present connections go, and tell the clients nothing; new ones are good."""
        self._do(self._half_open)

    def heal(self) -> None:
        """Pass everything on at once again; accept connections."""
        self.delay, self.blocked, self.holds = 0.0, False, None
        self._do(self._listen)

    # --- in the proxy's own thread -----------------------------------------------------------------------------

    def _do(self, what: Callable[[], object]) -> None:
        async def call() -> None:
            done = what()
            if asyncio.iscoroutine(done):
                await done

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(CALL_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            _abort(writer)
            return
        link = _Link(writer, ours)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, link))
                group.create_task(self._replies(theirs, link))
        except* (OSError, _Ended):
            pass
        finally:
            self._links.discard(link)
            _abort(writer)
            _abort(ours)

    async def _requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while data := await reader.read(CHUNK):
            while self.blocked or (self.holds is not None and self.holds(data)):  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.01)
            if not link.half_open:
                link.server.write(data)
                with link.unless_half_open():
                    await link.server.drain()
        raise _Ended

    async def _replies(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """Read on while what came waits for its time: only then is it a delay and not a narrow line."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1_000)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(waiting, link))
            with link.unless_half_open():
                while data := await reader.read(CHUNK):
                    await waiting.put((self._loop.time() + self.delay, data))
            await waiting.put((0.0, b""))

    async def _deliver(self, waiting: asyncio.Queue[tuple[float, bytes]], link: _Link) -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._unblocked()
            if link.half_open:
                continue
            if not data:
                raise _Ended
            link.client.write(data)
            await link.client.drain()

    async def _unblocked(self) -> None:
        while self.blocked:  # noqa: ASYNC110 - set from another thread, where an event of the loop's cannot be
            await asyncio.sleep(0.01)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            _abort(link.client)
            _abort(link.server)

    def _reset(self) -> None:
        for link in list(self._links):
            for writer in (link.client, link.server):
                there: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                _abort(writer)

    def _half_open(self) -> None:
        for link in self._links:
            link.half_open = True
            _abort(link.server)

    async def _close(self) -> None:
        await self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class ProxiedKafka(ApacheKafka):
    """Apache Kafka with a second listener that is reached through a proxy; ``address`` goes past it.

    Parameters
    ----------
    proxy : Proxy
        Its target is set here.

    Examples
    --------
    ::

        with Proxy() as proxy, ProxiedKafka(proxy) as kafka:
            proxy.blocked = True  # for whoever connects to proxy.address, not to kafka.address
    """

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy

    def _defaults(self, controller: int) -> dict[str, str]:
        behind = self._proxy.target = free_port()
        settings = super()._defaults(controller)
        return settings | {
            "listeners": f"{settings['listeners']},PROXIED://{LOOPBACK}:{behind}",
            "advertised.listeners": f"{settings['advertised.listeners']},PROXIED://{self._proxy.address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
        }


def is_produce(data: bytes) -> bool:
    """Tell whether a portion begins with a request of Kafka's that brings records: API key 0, behind the length."""
    return data[4:6] == b"\0\0"


class _Link:
    """A connection's two ends."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.half_open = False

    @contextlib.contextmanager
    def unless_half_open(self) -> Iterator[None]:
        """Let errors of the server's end pass, except where that end was let go on purpose."""
        try:
            yield
        except OSError:
            if not self.half_open:
                raise


class _Ended(Exception):
    """One end has closed."""


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
