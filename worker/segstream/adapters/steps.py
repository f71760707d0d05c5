"""What is done once a second: each step on its own, so that one that fails keeps no other from being done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import structlog

from segstream.adapters.kafka.errors import kafka_errors
from segstream.errors import SegstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class Steps:
    """Runs steps in turn, and says once what fails and once that it works again.

    Parameters
    ----------
    steps : mapping of str to awaitable function
        By what they do, such as ``"look for the ends of the logs"``.

    Attributes
    ----------
    failing : dict of str to str
        Why the steps that failed the last time did so.
    failures : Counter
        How often each step has failed.
    """

    def __init__(self, steps: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self._steps = dict(steps)
        self.failing: dict[str, str] = {}
        self.failures: Counter[str] = Counter(dict.fromkeys(steps, 0))
        self._log = structlog.get_logger("segstream")

    async def run(self) -> None:
        """Do each step once."""
        for name, step in self._steps.items():
            try:
                with kafka_errors(name):
                    await step()
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
