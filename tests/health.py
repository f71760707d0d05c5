"""What a worker's pages say, and waiting until they say something."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.workers import Worker

PATIENCE = 90
"""Seconds for what takes five to thirty on an idle machine."""


class Health(NamedTuple):
    """What a page said.

    Parameters
    ----------
    status : int
        0 while nobody answers.
    body : Any
    """

    status: int
    body: Any

    def why(self) -> str:
        """Return the reasons in one text."""
        return (
            " ".join(map(str, self.body.get("troubles", {}).values())) if isinstance(self.body, dict) else ""
        )


async def health(port: int, page: str = "ready") -> Health:
    """Ask for a page of the worker's."""
    status, body = await asyncio.to_thread(_get, port, f"health/{page}")
    return Health(status, json.loads(body) if body else None)


async def until(
    port: int, worker: Worker, true: Callable[[Health], bool], *, seconds: float = PATIENCE
) -> Health:
    """Ask until the worker's readiness is as wanted, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        said = await health(port)
        if true(said):
            return said
        assert worker.running, worker.log[-3000:]
        assert time.monotonic() < deadline, f"{said}\n{worker.log[-3000:]}"
        await asyncio.sleep(0.1)


def is_ready(said: Health) -> bool:
    """Tell whether the worker works on both partitions."""
    body = said.body or {}
    return (said.status, body.get("ready"), body.get("partitions"), body.get("troubles")) == (
        200,
        True,
        [0, 1],
        {},
    )


async def metrics(port: int) -> dict[str, float]:
    """Return the worker's metrics, each summed over its labels; empty while nobody answers."""
    _, text = await asyncio.to_thread(_get, port, "metrics")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
