"""What is done once a second: in an outage it says so once, and once more when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from segstream.adapters.steps import Steps
from segstream.errors import ServerError


def replies(*errors: Exception | None) -> Iterator[Exception | None]:
    """Return what a step fails with, in turn."""
    return iter(errors)


async def test_a_failure_is_told_once_and_again_only_when_it_changes_or_is_over() -> None:
    """Ten seconds of outage are three lines: it begins, it changes, it ends."""
    away, full = ServerError("Redis is away"), ServerError("Redis is full")
    fails = replies(None, away, away, away, full, full, None, None, away)

    async def ask() -> None:
        if (error := next(fails)) is not None:
            raise error

    async def work() -> None:
        pass

    steps = Steps({"ask": ask, "work": work})
    with capture_logs() as lines:
        for _ in range(9):
            await steps.do("ask")
            await steps.do("work")
    told = [(line["event"], line["step"], line.get("error")) for line in lines]
    assert told == [
        ("step_failed", "ask", "Redis is away"),
        ("step_failed", "ask", "Redis is full"),
        ("recovered", "ask", None),
        ("step_failed", "ask", "Redis is away"),
    ]
    assert steps.failures == {"ask": 6, "work": 0}
    assert steps.failing == {"ask": "Redis is away"}


async def test_an_error_of_kafkas_client_is_a_failure_like_ours() -> None:
    """It is told in our words, with what was being done."""

    async def ask() -> None:
        raise KafkaConnectionError

    steps = Steps({"look_at_ends": ask})
    await steps.do("look_at_ends")
    assert steps.failing["look_at_ends"].startswith("look_at_ends: ")


async def test_a_step_that_does_not_end_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's client commits offsets that the brokers cannot write again and again, for ever; the next second it may work."""
    monkeypatch.setattr("segstream.adapters.steps.PATIENCE", 0.05)
    answers = asyncio.Event()
    steps = Steps({"acknowledge": answers.wait})
    async with asyncio.timeout(10):
        await steps.do("acknowledge")
    assert steps.failing == {
        "acknowledge": "acknowledge: not done within 0.05 s; it is tried again; check the servers"
    }
    answers.set()
    await steps.do("acknowledge")
    assert steps.failing == {}
    assert steps.failures == {"acknowledge": 1}
