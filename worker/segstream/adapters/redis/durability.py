"""What a server can be asked to wait for, before a write counts and is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from segstream.errors import ServerError


class Durability(NamedTuple):
    """How a server keeps what it acknowledges.

    Parameters
    ----------
    replicas : int
        Replicas online when asked: each must have a write before it counts.
    aof : bool
        Whether the append-only file can be waited for.
    text : str
        For a person.
    promised : bool
        Whether an acknowledged write outlives the server's memory; if not, ``text`` is a warning.
    """

    replicas: int
    aof: bool
    text: str
    promised: bool

    def waits(self, deadline: float) -> list[list[str | int]]:
        """Return the commands that follow a write on the same connection.

        Parameters
        ----------
        deadline : float
            Seconds that each may take.
        """
        milliseconds = int(deadline * 1000)
        commands: list[list[str | int]] = []
        if self.replicas:
            commands.append(["WAIT", self.replicas, milliseconds])
        if self.aof:
            commands.append(["WAITAOF", 1, 0, milliseconds])
        return commands

    def check(self, replies: Sequence[Any], deadline: float, address: str) -> None:
        """Check the replies to ``waits``.

        Raises
        ------
        ServerError
            If the write may not be durable.
        """
        got = list(replies)
        if self.replicas and got.pop(0) < self.replicas:
            raise ServerError(
                f"Redis at {address}: fewer than its {self.replicas} replicas confirmed a write within {deadline:g} s; "
                "check the replicas and the network"
            )
        if self.aof and got.pop(0)[0] < 1:
            raise ServerError(
                f"Redis at {address}: its append-only file was not synced within {deadline:g} s; check its disk, and that "
                "appendfsync is always or everysec and no-appendfsync-on-rewrite is no"
            )


def read(info: Mapping[str, Any]) -> Durability:
    """Tell from INFO what can be waited for.

    Parameters
    ----------
    info : mapping of str to Any
        Fields of INFO as redis-py reads them; those of replication, persistence and server count.

    Examples
    --------
    >>> read({"redis_version": "7.2.4", "aof_enabled": 1, "slave0": {"state": "online"}}).waits(2.0)
    [['WAIT', 1, 2000], ['WAITAOF', 1, 0, 2000]]
    >>> read({"redis_version": "6.2.6", "aof_enabled": 0}).promised
    False
    """
    replicas = sum(
        isinstance(value, dict) and value.get("state") == "online"
        for name, value in info.items()
        if name.startswith("slave")
    )
    # Valkey reports the version of Redis that it branched off from, 7.2.4, and knows WAITAOF.
    enabled, known = bool(info.get("aof_enabled")), _numbers(info.get("redis_version")) >= (7, 2)
    parts = [f"{replicas} replica{'s' if replicas > 1 else ''}"] if replicas else []
    hasty = _hasty(info)
    if enabled and known and not hasty:
        parts.append("its append-only file")
    if parts:
        text = f"a write counts once {' and '.join(parts)} {'have' if replicas > 1 or len(parts) > 1 else 'has'} it"
    elif enabled:
        why = (
            f"{hasty} says that its append-only file is synced before it is"
            if hasty
            else "the append-only file cannot be waited for before Redis 7.2"
        )
        text = (
            f"{why}: unless appendfsync is always, a crash of the machine may lose the last second, and with it the "
            "promise that every change is told once"
        )
    else:
        text = "no replicas and no append-only file: the promise that every change is told once ends with Redis' memory"
    return Durability(replicas, enabled and known, text, bool(parts))


def _hasty(info: Mapping[str, Any]) -> str:
    """Return the name of a server that answers WAITAOF before it has synced, unless it always syncs; else nothing."""
    # Redis 7.4.0 brought it, 7.4.3 and 8.0 are without (redis/redis#13793). Valkey has it from 8.0 on: no release without
    # it was known when this was written.
    valkey = info.get("valkey_version")
    if valkey is not None:
        return f"Valkey {valkey}" if _numbers(valkey) >= (8,) else ""
    redis = info.get("redis_version")
    return f"Redis {redis}" if (7, 4) <= _numbers(redis) < (7, 4, 3) else ""


def _numbers(version: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(version).split(".") if part.isdigit())
