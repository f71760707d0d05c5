"""``segstream rebuild``: the read model anew, while the workers run."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Final

import typer

from segstream.cli.arguments import Json, duration
from segstream.cli.running import run
from segstream.errors import PositionError, ServerError

if TYPE_CHECKING:
    from segstream.ports import Rebuilding, Rebuilds
    from segstream.settings import Settings

LOOK: Final = 0.5
"""Seconds between two looks: workers notice a request within a second."""


def rebuild(
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until it is done.")] = True,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait at most; it goes on all the same.")
    ] = "10m",
    json: Json = False,
) -> None:
    """Make the answers in Redis and the compacted topic anew from the state, while the workers run.

    No change is told. The workers do it, each for its partitions, at the pace of SEGSTREAM_SWEEP_RATE.
    """
    from segstream.settings import load_settings

    limit = duration(timeout, "--timeout") / 1000
    try:
        result = run(_run(load_settings(), limit if wait else None))
    except KeyboardInterrupt:
        typer.echo("stopped waiting; the workers go on rebuilding", err=True)
        raise typer.Exit(130) from None
    if json:
        typer.echo(json_module.dumps(result))
    elif wait:
        typer.echo(
            f"rebuilt: {result['partitions']} partitions, {result['users']:,} users, {result['seconds']} s"
        )
    else:
        typer.echo(f"requested for {result['partitions']} partitions")


async def _run(settings: Settings, limit: float | None) -> dict[str, int | float | bool]:
    import time

    from segstream.adapters.connections import redis_settings
    from segstream.adapters.redis.connection import connect
    from segstream.adapters.redis.rebuilds import RedisRebuilds

    client = connect(redis_settings(settings))
    rebuilds = RedisRebuilds(client, settings.redis_prefix)
    try:
        partitions = await rebuilds.partitions()
        if not partitions:
            raise PositionError(
                f"Redis holds no state under the prefix {settings.redis_prefix!r}, so there is nothing to rebuild "
                "from; check SEGSTREAM_REDIS and SEGSTREAM_REDIS_PREFIX"
            )
        started = time.monotonic()
        request = await rebuilds.request()
        found = await rebuilds.progress(partitions)
        if limit is not None:
            found = await finished(rebuilds, partitions, request, limit)
    finally:
        await rebuilds.close()
        await client.aclose()
    return {
        "request": request,
        "done": all(each.rebuilt >= request for each in found),
        "partitions": partitions,
        "users": sum(each.users for each in found),
        "seconds": round(time.monotonic() - started, 1),
    }


async def finished(rebuilds: Rebuilds, partitions: int, request: int, limit: float) -> list[Rebuilding]:
    """Wait until every partition has fulfilled a request, saying on stderr how far it is.

    Raises
    ------
    ServerError
        It is not done within ``limit`` seconds.
    """
    import asyncio
    import time

    deadline, said = time.monotonic() + limit, ""
    while True:
        found = await rebuilds.progress(partitions)
        left = [number for number, each in enumerate(found) if each.rebuilt < request]
        users = sum(each.users if each.rebuilt >= request else each.swept for each in found)
        line = f"{partitions - len(left)} of {partitions} partitions, {users:,} of {sum(e.users for e in found):,} users"
        if line != said:
            typer.echo(line, err=True)
            said = line
        if not left:
            return found
        if time.monotonic() > deadline:
            raise ServerError(
                f"not done within {limit:g} s: partition{'s' if len(left) > 1 else ''} {', '.join(map(str, left))}. It "
                "goes on as soon as a worker owns them; check /health/ready of the workers, or wait longer with --timeout"
            )
        await asyncio.sleep(LOOK)
