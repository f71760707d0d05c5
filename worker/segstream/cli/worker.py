"""``segstream worker``: a worker in the foreground of this process."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import typer

from segstream.errors import DefinitionError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from segstream.settings import Settings


def worker() -> None:
    """Keep segments up to date until told to stop (SIGTERM); settings come from SEGSTREAM_... variables or a file.

    Stops at once on a second signal. Logs go to stderr.
    """
    # Until the worker listens for signals itself there is nothing to finish. Not sys.exit: where Python runs a callback
    # of its own, as importing does, that would be printed and forgotten.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))

    from segstream.logs import configure_logging
    from segstream.settings import load_settings

    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    try:
        raise typer.Exit(_run(settings))
    except DefinitionError as mistake:
        if settings.definitions is None or mistake.file != str(settings.definitions):
            raise
        raise _first_of_all(mistake, settings.definitions) from None


def _first_of_all(mistake: DefinitionError, file: Path) -> DefinitionError:
    """Return the first mistake in a file; with how to see the others, if there are any."""
    from segstream.core.definitions import find_mistakes

    count = len(find_mistakes(file.read_text(encoding="utf-8"), str(file)))
    if count <= 1:
        return mistake
    message = f"{mistake.message} (the first of {count} mistakes; `segstream validate {file}` lists them all)"
    return DefinitionError(message, mistake.file, mistake.line, mistake.column, mistake.source)


def _run(settings: Settings) -> int:
    import asyncio

    from segstream.adapters.foreground import Foreground
    from segstream.app import create_app
    from segstream.enquiries import answer_enquiries

    # What is imported by now stays, and a batch makes thousands of objects that go with it: looking through them every
    # 700 allocations, as Python does by default, cost a tenth of the CPU.
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    _check_port(settings)
    loop.run_until_complete(_check_servers(settings))
    app = create_app(settings)
    answer_enquiries(app, settings)
    return Foreground(app, loop, settings.drain_timeout / 1000).run()


async def _check_servers(settings: Settings) -> None:
    """Do what the worker does first, to fail in one line: Faust would print tracebacks, or try again for ever."""
    import logging

    from segstream.app import Application

    parts = Application(settings)
    logging.disable(logging.ERROR)  # the worker itself warns of the same in a moment; errors are raised
    try:
        await parts.prepare()
        await parts.refresh()
    finally:
        logging.disable(logging.NOTSET)
        await parts.redis.aclose()


def _check_port(settings: Settings) -> None:
    import socket

    if not settings.web_port:
        return
    try:
        family = socket.getaddrinfo(settings.web_host, settings.web_port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.web_host, settings.web_port))
    except OSError as error:
        place = f"{settings.web_host}:{settings.web_port}"
        raise SettingsError(
            f"cannot serve /health on {place} ({error.strerror}); set SEGSTREAM_WEB_PORT to a free port, or 0 for none"
        ) from None
