"""Workers forked from a process that has imported everything: most of a short life's cost is Python's start.

Run as a program it is that process: each line of its input is an order for one worker, with environment and log; it
answers with the worker's process id, and when that has ended with how.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from segstream.local.process import _die_with_parent
from tests.leaks import look


class Launcher:
    """Runs one worker at a time.

    Parameters
    ----------
    process : Process
        The process that forks.
    folder : Path
        For the logs.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process, self._folder, self._lives = process, folder, 0
        self.log = folder

    async def start(self, environment: Mapping[str, str]) -> int:
        """Start a worker and return its process id."""
        self._lives += 1
        self.log = self._folder / f"worker-{self._lives}.log"
        order = json.dumps({"environment": dict(environment), "log": str(self.log)})
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")
        return await self._answer()

    async def ended(self) -> int:
        """Wait for its end; return its exit code, negative for a signal. Its log is looked through like any worker's."""
        code = await self._answer()
        look(self.log.read_bytes(), f"logged in {self.log.name}", log=True)
        return code

    async def _answer(self) -> int:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the launcher has ended"
        return int(line)


@asynccontextmanager
async def launcher(folder: Path) -> AsyncIterator[Launcher]:
    """Run one; its workers end with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.launcher"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=_die_with_parent(),
    )
    try:
        yield Launcher(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()


def main() -> None:
    """Fork a worker for each order."""
    import segstream.app  # noqa: PLC0415, F401 - in this process only
    from segstream.cli import main as command  # noqa: PLC0415

    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with_us = _die_with_parent()
    for line in sys.stdin:
        order = json.loads(line)
        worker = os.fork()
        if worker == 0:
            if with_us is not None:
                with_us()
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(order["environment"])
            os._exit(command(["worker"]))
        print(worker, flush=True)  # noqa: T201 - the answer
        print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
