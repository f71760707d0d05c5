"""Whether this user may do what a worker does, before it begins: all that is missing is told at once."""

from __future__ import annotations

from segstream.adapters.redis.connection import Client, address
from segstream.adapters.redis.keys import checked
from segstream.adapters.redis.nodes import Nodes
from segstream.adapters.redis.scripts import call
from segstream.errors import ServerError
from segstream_schemas.keys import ReadModelKeys


async def check_rights(client: Client, prefix: str = "segstream", public_prefix: str = "") -> None:
    """Try every command that the scripts use, on keys of no meaning beside the private and the public ones.

    Parameters
    ----------
    client : Redis or RedisCluster
        From ``connection.connect``.
    prefix, public_prefix : str
        Stand before the private and the public keys.

    Raises
    ------
    ServerError
        Some are refused, all of them in one line; or Redis cannot be reached, or is no server for the state.
    """
    nodes = Nodes(client)
    public = ReadModelKeys(checked(public_prefix)).user("")
    try:
        replies = await nodes.run(
            [
                call("rights", [f"{place}{{rights}}:{part}" for part in ("hash", "set", "stream", "text")])
                for place in (f"{checked(prefix)}:", public)
            ],
            durably=False,
        )
    finally:
        await nodes.close()
    refused: dict[str, str] = {}
    for reply in replies:
        words = [word.decode() for word in reply]
        refused |= dict(zip(words[::2], words[1::2], strict=True))
    if refused:
        why = next(iter(refused.values()))
        raise ServerError(
            f"Redis at {address(client)}: its user may not use {', '.join(refused)} ({why}); "
            "grant what deploy/access.md lists under *Rights in Redis* (ACL SETUSER)"
        )
