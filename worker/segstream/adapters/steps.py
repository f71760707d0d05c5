"""What is done once a second: each step on its own, so that one that fails or hangs keeps no other from being done."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from segstream.adapters.kafka.errors import kafka_errors
from segstream.errors import SegstreamError, ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PATIENCE: Final = 30.0
"""Seconds for a step: two of the longest requests to Kafka. What asks Redis gives up much earlier, by itself."""


class Steps:
    """Does steps, none for longer than `PATIENCE`, and says once what fails and once that it works again.

    Parameters
    ----------
    steps : mapping of str to awaitable function
        By what they do, such as ``"look_at_ends"``.

    Attributes
    ----------
    names : tuple of str
        What there is to do.
    failing : dict of str to str
        Why the steps that failed the last time did so.
    failures : Counter
        How often each step has failed.
    """

    def __init__(self, steps: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self._steps, self.names = dict(steps), tuple(steps)
        self.failing: dict[str, str] = {}
        self.failures: Counter[str] = Counter(dict.fromkeys(steps, 0))
        self._log = structlog.get_logger("segstream")

    async def do(self, name: str) -> None:
        """Do a step once."""
        try:
            await self._in_time(name)
        except SegstreamError as error:
            self.failures[name] += 1
            text = str(error)
            # An outage fails every second; it is told when it begins, changes, and ends.
            if self.failing.get(name) != text:
                self.failing[name] = text
                self._log.warning("step_failed", step=name, error=text)
        else:
            if self.failing.pop(name, None) is not None:
                self._log.info("recovered", step=name)

    async def _in_time(self, name: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                with kafka_errors(name):
                    await self._steps[name]()
        except TimeoutError:
            # aiokafka tries some things for ever, such as to commit offsets that the brokers cannot write.
            raise ServerError(
                f"{name}: not done within {PATIENCE:g} s; it is tried again; check the servers"
            ) from None
