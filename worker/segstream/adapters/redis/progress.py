"""How far partitions are, and what became of their users: read from outside, without disturbing anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson
from redis import Redis

from segstream.adapters.redis.errors import redis_errors
from segstream.adapters.redis.keys import PartitionKeys
from segstream.core.basis import load_bases
from segstream.core.clusters import Snapshot
from segstream.core.time import NEVER
from segstream_schemas.keys import ReadModelKeys

_CHUNK: Final = 1_000
"""Users per round trip."""


class Standing(NamedTuple):
    """Where one partition stands.

    Parameters
    ----------
    epoch : int
        0 before anybody has taken it over.
    applied : int
        Highest offset applied of the topic asked for, -1 before the first.
    sequence : int
        Number of the last outbox entry committed.
    outbox : int
        How many entries wait to be published, or to be cleared.
    clock : int
        In ms.
    next_due : int
        Earliest due time of all timers in ms, ``NEVER`` without any.
    models : dict of str to int
        The snapshots in force.
    sweeping : bool
        Whether users are being brought up to date.
    users : int
        How many it has.
    """

    epoch: int
    applied: int
    sequence: int
    outbox: int
    clock: int
    next_due: int
    models: dict[str, int]
    sweeping: bool
    users: int


class Training(NamedTuple):
    """Where the training of a model stands, as saved last.

    Parameters
    ----------
    number : int
        The latest snapshot's, 0 without any.
    offset : int
        The last record of samples learned, -1 before the first.
    waiting : int
        Samples learned since that snapshot.
    """

    number: int
    offset: int
    waiting: int


class Progress:
    """A look at one Redis (not a cluster).

    Parameters
    ----------
    url : str
        Where it is.
    partitions : int
        N.
    prefix, segments_prefix : str
        What private and public keys begin with.

    Raises
    ------
    ServerError
        From every method, when Redis does not answer.
    """

    def __init__(
        self, url: str, partitions: int, *, prefix: str = "segstream", segments_prefix: str = ""
    ) -> None:
        self._client = Redis.from_url(url, socket_timeout=10, socket_connect_timeout=10, protocol=2)
        self._url, self._partitions, self._prefix = url.rpartition("@")[2], partitions, prefix
        self._keys = [PartitionKeys(prefix, number) for number in range(partitions)]
        self._public = ReadModelKeys(segments_prefix)

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    def standings(self, topic: str) -> list[Standing]:
        """Return where each partition stands; ``topic`` is the one whose offsets are wanted."""
        commands: list[tuple[Any, ...]] = []
        for keys in self._keys:
            commands += (
                ("HGETALL", keys.meta),
                ("ZRANGE", keys.timers, 0, 0, "WITHSCORES"),
                ("XLEN", keys.outbox),
                ("ZCARD", keys.users),
            )
        replies = iter(self._run(commands))
        return [
            _standing(meta, due, outbox, users, topic)
            for meta, due, outbox, users in zip(replies, replies, replies, replies, strict=True)
        ]

    def training(self, model: str) -> Training:
        """Return where the training of a model stands."""
        ((number, learning),) = self._run([("HMGET", f"{self._prefix}:models:{model}", "number", "learning")])
        saved = orjson.loads(learning) if learning else {"offset": -1, "since_snapshot": 0}
        return Training(int(number or 0), saved["offset"], saved["since_snapshot"])

    def snapshot(self, model: str, number: int) -> Snapshot | None:
        """Return a snapshot of a model, None if it is not there."""
        (text,) = self._run([("HGET", f"{self._prefix}:models:{model}", f"snapshot:{number}")])
        return None if text is None else Snapshot.from_json(orjson.loads(text))

    def sizes(self, segments: Iterable[str]) -> dict[str, int]:
        """Return how many users are in each of ``segments``, as others find it in the read model."""
        names = list(segments)
        commands = [
            ("ZCARD", self._public.members(name, number))
            for name in names
            for number in range(self._partitions)
        ]
        counts = iter(self._run(commands))
        return {name: sum(islice(counts, self._partitions)) for name in names}

    def answers(self, fields: Sequence[str]) -> Iterator[Mapping[str, bytes | None]]:
        """Yield these fields of each user's answer in the read model."""
        for keys in self._keys:
            (users,) = self._run([("ZRANGE", keys.users, 0, -1)])
            for first in range(0, len(users), _CHUNK):
                chunk = users[first : first + _CHUNK]
                commands = [("HMGET", self._public.user(user.decode()), *fields) for user in chunk]
                for reply in self._run(commands):
                    yield dict(zip(fields, reply, strict=True))

    def _run(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        with redis_errors(self._url):
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no type for it
            return list(pipeline.execute())


def _standing(
    meta: Mapping[bytes, bytes], due: Sequence[bytes], outbox: int, users: int, topic: str
) -> Standing:
    fields = {name.decode(): value.decode() for name, value in meta.items()}
    bases = load_bases(fields.get("bases", ""))
    return Standing(
        epoch=int(fields.get("epoch", 0)),
        applied=int(fields.get(f"offset:{topic}", -1)),
        sequence=int(fields.get("sequence", 0)),
        outbox=outbox,
        clock=int(fields.get("clock", 0)),
        next_due=int(due[1]) if due else NEVER,
        models=bases[-1].models if bases else {},
        sweeping=bool(fields.get("sweep")),
        users=users,
    )
