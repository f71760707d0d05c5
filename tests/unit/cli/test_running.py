"""Ctrl-C while a command waits for a server."""

from __future__ import annotations

import asyncio
import gc
import os
import signal

import pytest

from segstream.cli.running import run


async def until_cancelled(times: int, cleaned: list[str]) -> None:
    """Press Ctrl-C, and forget all cancellations but the last."""
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(times - 1):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cleaned.append("forgotten")
    try:
        await asyncio.sleep(60)
    finally:
        cleaned.append("cleaned up")


@pytest.mark.parametrize("times", [1, 2, 3])
def test_ctrl_c_ends_work_that_forgets_a_cancellation(times: int) -> None:
    """As what waits by `asyncio.wait_for` may do before Python 3.12."""
    cleaned: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(until_cancelled(times, cleaned))
    assert cleaned == ["forgotten"] * (times - 1) + ["cleaned up"]


def test_ctrl_c_works_as_before_when_the_work_is_done() -> None:
    """The handler there was is there again."""
    before = signal.getsignal(signal.SIGINT)
    run(asyncio.sleep(0))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the work is doing: here it never gives way. And nobody is shown a traceback."""

    async def stubborn() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(stubborn())
    gc.collect()  # when a task goes whose exception nobody has asked for, asyncio logs it
    assert caplog.records == []
