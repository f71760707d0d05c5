"""What is said of brokers that cannot be reached."""

from __future__ import annotations

import asyncio

import pytest

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.reach import explained
from segstream.errors import ServerError


async def test_for_how_long_there_was_no_answer_is_told_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first attempt on, by the client that waited longer than the question why."""
    moments = iter((100.0, 121.2))
    monkeypatch.setattr("segstream.adapters.kafka.reach.monotonic", lambda: next(moments))
    monkeypatch.setattr("segstream.adapters.kafka.reach.PATIENCE_MS", 50)

    hung_up = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client hangs up
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with asyncio.timeout(20), await asyncio.start_server(keep_silent, "127.0.0.1", 0) as frozen:
        port = frozen.sockets[0].getsockname()[1]
        with pytest.raises(ServerError, match=f"^Kafka at 127.0.0.1:{port}: no answer within 21 s; check"):
            async with explained(KafkaSettings(f"127.0.0.1:{port}")):
                raise TimeoutError
        await hung_up.wait()
