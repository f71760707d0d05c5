"""By which servers the data is kept, as their replication ids tell.

A server has a new id when it is started anew and when it stops being a replica: from then on it may lack what its
predecessor, or it itself, had acknowledged.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import RedisCluster

from segstream.adapters.redis.connection import Client, address
from segstream.adapters.redis.errors import redis_errors


async def replication_ids(client: Client) -> dict[str, str]:
    """Return the replication id of the server, or of each primary of a cluster, by address.

    Raises
    ------
    ServerError
        One does not answer.
    """
    with redis_errors(address(client)):
        if not isinstance(client, RedisCluster):
            return {address(client): _id_in(await client.info("replication"))}
        await client.initialize()
        found = {}
        for node in client.get_primaries():
            answer: Any = await client.execute_command("INFO", "replication", target_nodes=node)
            found[str(node.name)] = _id_in(answer)
        return found


def _id_in(info: dict[str, Any]) -> str:
    """Return the id that INFO tells; proxies of managed services may leave it out.

    Examples
    --------
    >>> _id_in({"role": "master", "master_replid": "8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb"})[:6]
    '8371b4'
    >>> _id_in({})
    'unknown'
    """
    return str(info.get("master_replid", "unknown"))
