"""What an operator does to a deployment of a test's own, and what consumers make of the records then."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from redis.asyncio import Redis

from segstream.core.time import parse_time
from tests.checker import Stories
from tests.workers import Scene


class Ran(NamedTuple):
    """What a command has left.

    Parameters
    ----------
    code : int or None
        Its exit code.
    out, err : str
        What it wrote.
    """

    code: int | None
    out: str
    err: str


async def segstream(environment: Mapping[str, str], *words: str, seconds: float = 60) -> Ran:
    """Run the command as a process, without a terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segstream", *words),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return Ran(process.returncode, out.decode(), err.decode())


def last_incarnations(told: Stories) -> Stories:
    """Check the order of each user's changes, and return those of its last incarnation, if it is in any segment.

    Sequences count from 1 within each incarnation, without gap or repeat, and a ``restated`` record opens one or
    stands for the whole answer.
    """
    found: Stories = {}
    for user, changes in told.items():
        position, held = (0, 0), set[str]()
        for change in changes:
            here = change["incarnation"], change["sequence"]
            if here[0] > position[0]:
                assert here[1] == 1, change
                found[user], held = [], set()
            else:
                assert here == (position[0], position[1] + 1), (position, change)
            position = here
            found[user].append(change)
            if change["change"] == "restated":
                held = set(change["segments"])
            elif change["change"] == "entered":
                assert change["segment"] not in held, change
                held.add(change["segment"])
            else:
                held.remove(change["segment"])
            assert sorted(held) == change["segments"], change
        if not held:
            del found[user]
    return found


def spelled_out(told: Stories, since: Mapping[str, Mapping[str, str]]) -> Stories:
    """Replace each ``restated`` record by entries, at the times that ``since`` has by user and segment."""
    found: Stories = {}
    for user, changes in told.items():
        found[user] = []
        for change in changes:
            if change["change"] != "restated":
                found[user].append({**change, "sequence": len(found[user]) + 1})
                continue
            entries = sorted(since[user].items(), key=lambda pair: parse_time(pair[1]))
            for place, (segment, at) in enumerate(entries):
                held = sorted(name for name, _ in entries[: place + 1])
                entered = {
                    "change": "entered",
                    "segment": segment,
                    "kind": "rule",
                    "at": at,
                    "segments": held,
                }
                found[user].append({**change, **entered, "sequence": len(found[user]) + 1})
    return found


async def lose(scene: Scene) -> None:
    """Remove everything of a deployment from Redis, as if it had no persistence and was started anew."""
    client = Redis.from_url(scene.redis)
    try:
        async for key in client.scan_iter(match=f"{scene.prefix}*", count=5000):
            await client.unlink(key)
    finally:
        await client.aclose()
