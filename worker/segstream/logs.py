"""Structured logs: one line per event, for people or as JSON."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure_logging(style: Literal["console", "json"], level: str) -> None:
    """Send all logs, ours and the libraries', to stderr in one form.

    Parameters
    ----------
    style : {"console", "json"}
        For people or for machines.
    level : str
        ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``. Personal data is logged at DEBUG only.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The libraries tell each step of each rebalance; what goes wrong still shows.
    for name in ("aiokafka", "faust", "mode", "asyncio", "segstream.adapters"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))
