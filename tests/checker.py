"""What consumers may rely on, checked: the changes of each user, and that every place gives the same answer."""

from __future__ import annotations

import json
from typing import Any

import orjson
from redis.asyncio import Redis

from segstream.core.partitioning import murmur2
from segstream.core.time import parse_time
from segstream_schemas.keys import ReadModelKeys
from tests.stories import follow
from tests.workers import Scene, read_all

Change = dict[str, Any]
Stories = dict[str, list[Change]]


async def stories(scene: Scene) -> Stories:
    """Return each user's changes as a ``read_committed`` consumer gets them, without ``processed_at``.

    Each record's key must be its user, and its place the user's partition.
    """
    found: Stories = {}
    for partition, records in enumerate(await read_all(scene, scene.topic("changes"))):
        for record in records:
            change = orjson.loads(record.value)
            user = change["user_id"]
            assert record.key == user.encode()
            assert partition == murmur2(user.removeprefix("anon:").encode(), scene.partitions)
            assert parse_time(change.pop("processed_at"))
            found.setdefault(user, []).append(change)
    return found


def answers_of(told: Stories) -> dict[str, dict[str, int]]:
    """Return each user's segments, and since when (ms), by following the changes; fail where they contradict.

    See `tests.stories.follow` for what is checked. Nothing may have been restated: that does not say since when.
    """
    answers: dict[str, dict[str, int]] = {}
    for user, changes in told.items():
        held = follow(user, changes)
        answers[user] = {segment: since for segment, since in held.items() if since is not None}
        assert answers[user].keys() == held.keys(), f"user {user} was restated"
    return answers


async def check_everywhere(scene: Scene, told: Stories) -> dict[str, set[str]]:
    """Check that changes, compacted topic, users' hashes and member lists give one answer.

    Returns
    -------
    dict of str to set of str
        The members of each segment.
    """
    answers = answers_of(told)
    compacted = await compacted_of(scene)
    hashes = await hashes_of(scene)
    lists = await member_lists_of(scene)
    members: dict[str, dict[str, int]] = {}
    for user, held in answers.items():
        record, answer = compacted[user], hashes.get(user, {})
        in_hash = {name[2:]: json.loads(value) for name, value in answer.items() if name.startswith("s:")}
        assert {name: parse_time(stay["since"]) for name, stay in in_hash.items()} == held, user
        assert (record or {"segments": {}})["segments"] == in_hash, user
        if record is not None:
            assert answer["sequence"] == str(record["sequence"]) == str(told[user][-1]["sequence"]), user
            assert answer["v"].startswith(f"{record['incarnation']}:")
            assert answer["definitions_version"] == str(record["definitions_version"])
            assert json.loads(answer["model_version"]) == record["model_version"]
            assert answer["as_of"] == record["at"]
        for segment, since in held.items():
            members.setdefault(segment, {})[user] = since
    assert compacted.keys() >= answers.keys()
    assert not [user for user in compacted.keys() - answers.keys() if compacted[user]]
    assert lists == members
    return {segment: set(users) for segment, users in members.items()}


def assert_same(told: Stories, undisturbed: Stories) -> None:
    """Fail, naming the first difference, unless both are the same changes in the same order per user."""
    for user in sorted(told.keys() | undisturbed.keys()):
        these, those = told.get(user, []), undisturbed.get(user, [])
        for this, that in zip(these, those, strict=False):
            assert this == that, f"user {user}, change {that['sequence']}"
        assert len(these) == len(those), f"user {user}: {len(these)} changes, {len(those)} undisturbed"


async def hashes_of(scene: Scene) -> dict[str, dict[str, str]]:
    """Return the hash of every user who has one."""
    base = ReadModelKeys(f"{scene.prefix}segments").user("")
    client = Redis.from_url(scene.redis, decode_responses=True)
    try:
        keys = [key async for key in client.scan_iter(match=f"{base}*", count=5000)]
        found = {}
        for first in range(0, len(keys), 1000):
            pipeline = client.pipeline(transaction=False)
            for key in keys[first : first + 1000]:
                pipeline.hgetall(key)
            for key, answer in zip(keys[first : first + 1000], await pipeline.execute(), strict=True):
                found[key.removeprefix(base)] = answer
        return found
    finally:
        await client.aclose()


async def compacted_of(scene: Scene) -> dict[str, Change | None]:
    """Return the last record of each user in the compacted topic."""
    found = {}
    for records in await read_all(scene, scene.topic("memberships")):
        for record in records:
            found[record.key.decode()] = None if record.value is None else orjson.loads(record.value)
    return found


async def member_lists_of(scene: Scene) -> dict[str, dict[str, int]]:
    """Return the members of each segment, each with the time of entry; each in its user's partition."""
    base = f"{scene.prefix}segmentssegments:members:"
    client: Any = Redis.from_url(scene.redis, decode_responses=True)
    found: dict[str, dict[str, int]] = {}
    try:
        async for key in client.scan_iter(match=f"{base}*", count=5000):
            segment, _, partition = key.removeprefix(base).rpartition(":")
            listed: list[tuple[str, float]] = await client.zrange(key, 0, -1, withscores=True)
            users = {user: int(since) for user, since in listed}
            for user in users:
                number = murmur2(user.removeprefix("anon:").encode(), scene.partitions)
                assert partition == f"{{{number}}}", f"{user} is listed in {key}"
            found.setdefault(segment, {}).update(users)
    finally:
        await client.aclose()
    return found
