"""The tests' own bad network: each of its faults is what it says."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from segstream.local.ports import LOOPBACK
from tests.proxy import Proxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


@pytest.fixture
def echo() -> Iterator[int]:
    """Run a server that answers what it is told, and return its port."""
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), _Echo) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(proxy: Proxy) -> socket.socket:
    """Connect, and see that an answer comes."""
    client = socket.create_connection((LOOPBACK, proxy.port), timeout=10)
    said(client, b"well?")
    return client


def said(client: socket.socket, what: bytes) -> None:
    """See that the server answers."""
    client.sendall(what)
    assert client.recv(100) == what


def test_it_passes_on_what_both_sides_say(echo: int) -> None:
    """More than any buffer holds, in order."""
    with Proxy(echo) as proxy, ask(proxy) as client:
        blob = bytes(range(256)) * 10_000
        threading.Thread(target=client.sendall, args=(blob,), daemon=True).start()
        found = b""
        while len(found) < len(blob):
            found += client.recv(1 << 20)
        assert found == blob


def test_answers_come_later_by_the_delay_and_in_order(echo: int) -> None:
    """None comes before its time."""
    with Proxy(echo) as proxy, ask(proxy) as client:
        proxy.delay = 0.2
        for what in (b"one", b"two"):
            began = time.monotonic()
            said(client, what)
            assert time.monotonic() - began >= 0.2


def test_what_is_blocked_passes_when_that_ends(echo: int) -> None:
    """Nothing is lost, nobody is cut off."""
    with Proxy(echo) as proxy, ask(proxy) as client:
        proxy.blocked = True
        client.sendall(b"held")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        proxy.heal()
        client.settimeout(10)
        assert client.recv(100) == b"held"


def test_cut_ends_connections_and_refuses_new_ones_until_healed(echo: int) -> None:
    """At the same port afterwards."""
    with Proxy(echo) as proxy, ask(proxy) as client:
        proxy.cut()
        assert client.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, proxy.port), timeout=10)
        proxy.heal()
        ask(proxy).close()


def test_reset_hurts_the_present_connections_only(echo: int) -> None:
    """They learn of it by RST."""
    with Proxy(echo) as proxy, ask(proxy) as client:
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        ask(proxy).close()


def test_half_open_tells_the_client_nothing(echo: int) -> None:
    """It may send on, and no answer comes, nor an end."""
    with Proxy(echo) as proxy, ask(proxy) as client:
        proxy.half_open()
        client.sendall(b"anybody?")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        ask(proxy).close()
        assert proxy.connections >= 1
