"""The public answers in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from segstream.adapters.redis.connection import Client
from segstream.adapters.redis.durability import Durability
from segstream.adapters.redis.keys import PartitionKeys, checked
from segstream.adapters.redis.nodes import DEADLINE, Nodes
from segstream.adapters.redis.scripts import Argument, Call, call
from segstream.ports import EncodedView
from segstream_schemas.keys import ReadModelKeys

CHUNK: Final = 200
"""Users per call of the script, which then holds Redis for about a millisecond."""


class RedisReadModel:
    """``ReadModel`` of all partitions.

    On a cluster the member lists of a partition lie beside its state, and the users' answers wherever their ids
    put them: a call of the script for each, those for one node together.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``; shared.
    public_prefix : str
        Stands before every public key, as in ``segstream_schemas.keys``.
    prefix : str
        Stands before the keys of the private state, of which the epoch is read.
    deadline : float
        Seconds for the replicas, and for the append-only file, to confirm a write.
    """

    def __init__(
        self,
        client: Client,
        public_prefix: str = "",
        prefix: str = "segstream",
        *,
        deadline: float = DEADLINE,
    ) -> None:
        self._nodes = Nodes(client, deadline)
        self._keys, self._prefix = ReadModelKeys(checked(public_prefix)), checked(prefix)

    async def write(self, partition: int, epoch: int, views: Sequence[EncodedView]) -> None:
        """Write ``views`` by compare-and-set, and the partition's member lists (see ``ReadModel``)."""
        if views:
            await self._nodes.run([*self._members(partition, epoch, views), *self._answers(views)])

    async def describe(self, catalog: Mapping[str, str], definitions_version: int) -> None:
        """Write the catalog unless a later definitions version wrote it already (see ``ReadModel``)."""
        words = [word for pair in catalog.items() for word in pair]
        await self._nodes.run([call("catalog", [self._keys.catalog], [definitions_version, *words])])

    async def durability(self) -> list[Durability]:
        """Return how the servers used so far keep what they acknowledge."""
        return await self._nodes.durability()

    async def close(self) -> None:
        """Release the connections to a cluster's nodes; the client stays open."""
        await self._nodes.close()

    def _answers(self, views: Sequence[EncodedView]) -> Iterable[Call]:
        last = list({view.user: view for view in views}.values())
        step = 1 if self._nodes.cluster else CHUNK
        for first in range(0, len(last), step):
            part = last[first : first + step]
            keys = [self._keys.user(view.user) for view in part]
            yield call("answers", keys, [view.answer for view in part])

    def _members(self, partition: int, epoch: int, views: Sequence[EncodedView]) -> Iterable[Call]:
        changes = membership_changes(views)
        keys = [PartitionKeys(self._prefix, partition).meta]
        arguments: list[Argument] = [epoch]
        for segment, users in changes.items():
            entered: list[Argument] = []
            left: list[Argument] = []
            for user, since in users.items():
                if since is None:
                    left.append(user)
                else:
                    entered += (since, user)
            keys.append(self._keys.members(segment, partition))
            arguments += (len(entered), len(left), *entered, *left)
        # Also without changes: an owner that has been fenced must hear of it.
        yield call("members", keys, arguments)


def membership_changes(views: Sequence[EncodedView]) -> dict[str, dict[str, int | None]]:
    """Return per segment what becomes of users: since when they are in it, ``None`` for those who left.

    Of several changes of one user the last counts.

    Examples
    --------
    >>> first = EncodedView("7", b"", None, True, {"new": 5}, [])
    >>> then = EncodedView("7", b"", None, True, {"loyal": 9}, ["new"])
    >>> membership_changes([first, then])
    {'new': {'7': None}, 'loyal': {'7': 9}}
    """
    changes: dict[str, dict[str, int | None]] = {}
    for view in views:
        for segment in view.left:
            changes.setdefault(segment, {})[view.user] = None
        for segment, since in view.entered.items():
            changes.setdefault(segment, {})[view.user] = since
    return changes
