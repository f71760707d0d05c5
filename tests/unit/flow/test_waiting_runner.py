"""How a runner waits."""

from __future__ import annotations

import asyncio

import pytest

from segstream.runner import Runner


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
