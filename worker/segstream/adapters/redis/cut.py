"""The private state of some users together with how far their partition is: both of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.keys import PartitionKeys
from segstream.adapters.redis.nodes import Nodes
from segstream.adapters.redis.scripts import Argument, Call, call
from segstream.adapters.redis.state import read_meta
from segstream.ports import Meta


class Cut(NamedTuple):
    """What Redis held at one moment.

    Parameters
    ----------
    meta : Meta
        The partition's own state.
    waiting : int
        Outbox entries: what they hold may not be shown to others yet.
    states : dict of str to bytes or None
        By user; None for one that is not known.
    """

    meta: Meta
    waiting: int
    states: dict[str, bytes | None]


class RedisCuts:
    """Looks at partitions without taking them over.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``; shared.
    prefix : str
        Stands before every key.
    """

    def __init__(self, client: Client, prefix: str = "segstream") -> None:
        self._nodes, self._prefix = Nodes(client), prefix

    async def cut(self, partition: int, users: Sequence[str] = ()) -> Cut:
        """Return a partition's own state, and that of up to 1,000 of its users.

        Raises
        ------
        ServerError
            Redis cannot be reached or refuses.
        """
        keys = PartitionKeys(self._prefix, partition)
        wanted = [keys.meta, keys.outbox, *[keys.user_prefix + user for user in users]]
        ((_, fields, waiting, states),) = await self._nodes.run([call("cut", wanted)], durably=False)
        return Cut(read_meta(fields), waiting, dict(zip(users, states, strict=True)))

    async def users_after(self, partition: int, user: str, limit: int) -> list[str]:
        """Return up to ``limit`` users that sort after one (bytes of UTF-8), in order; "" starts.

        Raises
        ------
        ServerError
            As ``cut`` does.
        """
        keys = PartitionKeys(self._prefix, partition)
        start = f"({user}" if user else "-"
        words: list[Argument] = ["ZRANGEBYLEX", keys.users, start, "+", "LIMIT", 0, limit]
        (found,) = await self._nodes.run([Call(keys.meta, words)], durably=False)
        return [each.decode() for each in found]

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()
