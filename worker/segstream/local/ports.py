"""Free ports on the loopback interface, and waiting for somebody to answer there."""

from __future__ import annotations

import random
import socket

from segstream.errors import LocalServerError

LOOPBACK = "127.0.0.1"

# Below the range from which kernels take ports for outgoing connections (from 32768 on Linux, 49152 on
# macOS): a client that keeps trying the port of a stopped server could otherwise be given that very port,
# connect to itself, and keep the server from starting again.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nobody listens now.

    Somebody may take it before it is used; whoever starts a server there tries again with another.

    Raises
    ------
    LocalServerError
        When none was free in 200 tries.

    Examples
    --------
    >>> 20_000 <= free_port() < 32_000
    True
    """
    choose = random.SystemRandom()
    for _ in range(_TRIES):
        port = choose.randrange(_LOWEST, _HIGHEST)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    message = f"no free port found on {LOOPBACK} between {_LOWEST} and {_HIGHEST}: stop what holds them"
    raise LocalServerError(message)


def answers(port: int, request: bytes, reply: bytes, *, timeout: float = 1.0) -> bool:
    """Tell whether the server on a loopback port answers a request with the expected beginning.

    Parameters
    ----------
    port : int
        Port of the loopback interface.
    request, reply : bytes
        What is sent, and what the answer has to start with.
    timeout : float
        Seconds to wait for the connection, and again for the answer.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.sendall(request)
            return connection.recv(len(reply)) == reply
    except OSError:
        return False
