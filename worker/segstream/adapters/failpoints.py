"""Ways to die on purpose: a worker that kills or freezes itself at the n-th passage of a named point. For tests of delivery.

Nothing here is on anybody's way: `arm` puts itself around methods of the adapters, once, when a setting says so.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.sender import Sender
from redis.asyncio.connection import AbstractConnection

from segstream.adapters.kafka.publisher import KafkaPublisher
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.scripts import script
from segstream.adapters.redis.state import RedisStateStore
from segstream.errors import SettingsError
from segstream.flow import Flow

Passed = Callable[[], None]
"""To be called at each passage; at the one that is meant it does not return."""


def arm(failpoint: str) -> None:
    """Kill this process with SIGKILL at a point of its work, freeze it at one, or let signals step its clock.

    Parameters
    ----------
    failpoint : str
        One of `POINTS` or `FREEZES` and which passage of it, such as ``after-commit:37``; or ``clock:3600``: with each
        SIGUSR1 the wall clock goes forward so many seconds, with each SIGUSR2 back.

    Raises
    ------
    SettingsError
        There is no such point.
    """
    name, _, number = failpoint.partition(":")
    if name == "clock":
        _step_clock(int(number))
    elif name in POINTS:
        POINTS[name](_killer(int(number)))
    elif name in FREEZES:
        FREEZES[name](int(number))
    else:
        raise SettingsError(
            f"SEGSTREAM_FAILPOINT: there is no point {name}; write one of {', '.join([*POINTS, *FREEZES])} or clock"
        )


def _killer(passages: int) -> Passed:
    left = passages

    def passed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return passed


def _before(owner: type, name: str) -> Callable[[Passed], None]:
    def install(passed: Passed) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        async def wrapped(*arguments: Any, **options: Any) -> Any:
            passed()
            return await original(*arguments, **options)

        setattr(owner, name, wrapped)

    return install


def _after(owner: type, name: str) -> Callable[[Passed], None]:
    def install(passed: Passed) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        async def wrapped(*arguments: Any, **options: Any) -> Any:
            result = await original(*arguments, **options)
            passed()
            return result

        setattr(owner, name, wrapped)

    return install


def _at_commits_reply(*, whole: bool) -> Callable[[Passed], None]:
    """Return what dies when the commit script's reply is read whole, or with one byte of it read.

    The replies to WAIT and WAITAOF, sent along with the script, are still to come then.
    """

    def install(passed: Passed) -> None:
        digest = script("commit").digest.encode()
        send, read = AbstractConnection.send_packed_command, AbstractConnection.read_response

        async def watched_send(self: Any, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - as in redis-py
            await send(self, command, check_health)
            self.sent_commit = isinstance(command, list) and digest in command[0][:100]

        async def watched_read(self: Any, *arguments: Any, **options: Any) -> Any:
            ours, self.sent_commit = getattr(self, "sent_commit", False), False
            if ours and not whole:
                first = await self._reader.readexactly(1)
                self._parser._reader.feed(first)  # noqa: SLF001 - where the rest of the reply is going to be read
                if first != b"-":  # an error: Redis did not know the script
                    passed()
            reply = await read(self, *arguments, **options)
            if ours and whole:
                passed()
            return reply

        setattr(AbstractConnection, "send_packed_command", watched_send)  # noqa: B010 - to mypy a method is no variable
        setattr(AbstractConnection, "read_response", watched_read)  # noqa: B010

    return install


def _freeze(passages: int, *, announced: bool) -> None:
    """Stop this process (SIGSTOP) while all records of a transaction lie in the producer's buffer.

    aiokafka sends none of them before the coordinator knows where they go: here it is about to be told of a
    transaction's first ones, or has just been told and holds that transaction open.
    """
    original, left = Sender._do_add_partitions_to_txn, passages  # noqa: SLF001 - all that is in between is private

    def passed(sender: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            queued = Counter[str]()
            for there, batches in sender._message_accumulator._batches.items():  # noqa: SLF001
                queued[there.topic] += sum(batch.record_count for batch in batches)
            structlog.get_logger("segstream").warning(
                "frozen",
                transaction=sender._txn_manager.transactional_id,  # noqa: SLF001
                queued=dict(queued),
                announced=sorted(there.topic for there in sender._txn_manager.txn_partitions),  # noqa: SLF001
            )
            os.kill(os.getpid(), signal.SIGSTOP)

    @functools.wraps(original)
    async def wrapped(sender: Any, partitions: Any) -> Any:
        first = not sender._txn_manager.txn_partitions  # noqa: SLF001
        if first and not announced:
            passed(sender)
        result = await original(sender, partitions)
        if first and announced and sender._txn_manager.txn_partitions:  # noqa: SLF001
            passed(sender)
        return result

    setattr(Sender, "_do_add_partitions_to_txn", wrapped)  # noqa: B010


def _step_clock(seconds: int) -> None:
    """Let the wall clock jump at a signal, as NTP or an operator makes it; the monotonic one goes on."""
    offset, real = 0, time.time_ns

    def step(number: int, _: object) -> None:
        nonlocal offset
        offset += seconds if number == signal.SIGUSR1 else -seconds

    time.time_ns = lambda: real() + offset * 1_000_000_000
    time.time = lambda: time.time_ns() / 1e9
    signal.signal(signal.SIGUSR1, step)
    signal.signal(signal.SIGUSR2, step)


POINTS: Final = {
    "after-fetch": _before(Flow, "process"),
    "after-load": _after(RedisStateStore, "load"),
    "in-reply": _at_commits_reply(whole=False),
    "after-commit": _at_commits_reply(whole=True),
    "after-wait": _after(RedisStateStore, "commit"),
    "in-transaction": _before(AIOKafkaProducer, "commit_transaction"),
    "after-publish": _after(KafkaPublisher, "publish"),
    "after-read-model": _after(RedisReadModel, "write"),
    "after-ack": _after(AIOKafkaConsumer, "commit"),
}
"""In the order in which a batch passes them: fetched; states loaded; the commit script's reply half read, and read;
durable; sent to Kafka and not committed; committed and not in the read model; there; acknowledged."""

FREEZES: Final = {
    "freeze-queued": functools.partial(_freeze, announced=False),
    "freeze-announced": functools.partial(_freeze, announced=True),
}
"""A transaction's records are in the producer's buffer; and besides, its coordinator knows where they go."""
