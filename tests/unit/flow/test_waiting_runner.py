"""How a runner waits, and ends what it has begun."""

from __future__ import annotations

import asyncio

import pytest

from segstream.runner import Runner, end


async def test_a_cancellation_that_comes_with_the_event_is_not_forgotten() -> None:
    """Or half of a partition's work would go on for ever after the other half has failed, and hold it up."""
    event = asyncio.Event()
    task = asyncio.ensure_future(Runner._wait(event, 60))
    await asyncio.sleep(0)  # it begins
    await asyncio.sleep(0)  # it waits
    event.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_event_that_does_not_come_is_not_waited_for_longer() -> None:
    """False is no error."""
    assert not await Runner._wait(asyncio.Event(), 0.0)


async def test_a_task_that_forgets_a_cancellation_is_cancelled_again() -> None:
    """Or a partition would stand still: its publishing has failed, and its work goes on until the backlog is full."""
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if forgotten:
                    raise
                forgotten += 1

    async def failing() -> None:
        raise OSError("Redis is away")

    tasks = [asyncio.ensure_future(forgetful()), asyncio.ensure_future(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await end(tasks)
    assert forgotten == 1
    assert [task.cancelled() for task in tasks] == [True, False]
