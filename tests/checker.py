"""What consumers may rely on, checked: the changes of each user, and that every place gives the same answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.core.partitioning import murmur2
from segstream.core.time import parse_time
from segstream.core.user import User
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


def answers_of(
    told: Stories, since: Mapping[str, Mapping[str, int]] | None = None
) -> dict[str, dict[str, int]]:
    """Return each user's segments, and since when (ms), by following the changes; fail where they contradict.

    See `tests.stories.follow` for what is checked. What was restated does not say since when: that must be in ``since``.
    """
    answers: dict[str, dict[str, int]] = {}
    for user, changes in told.items():
        known = (since or {}).get(user, {})
        held = {
            segment: known.get(segment) if begun is None else begun
            for segment, begun in follow(user, changes).items()
        }
        answers[user] = {segment: begun for segment, begun in held.items() if begun is not None}
        assert answers[user].keys() == held.keys(), f"user {user} was restated"
    return answers


async def check_everywhere(
    scene: Scene,
    told: Stories,
    where: RedisSettings | None = None,
    since: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, set[str]]:
    """Check that changes, compacted topic, users' hashes and member lists give one answer.

    Parameters
    ----------
    scene : Scene
    told : dict of str to list of dict
        Its changes by user.
    where : RedisSettings, optional
        How to reach the read model, if not by the scene's URL.
    since : mapping of str to mapping of str to int, optional
        Since when (ms) users are in segments, where they were restated: by user and segment.

    Returns
    -------
    dict of str to set of str
        The members of each segment.
    """
    answers = answers_of(told, since)
    compacted = await compacted_of(scene)
    hashes = await hashes_of(scene, where)
    lists = await member_lists_of(scene, where)
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
        for segment, begun in held.items():
            members.setdefault(segment, {})[user] = begun
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


def assert_resumed(told: Stories, undisturbed: Stories) -> None:
    """Fail, naming the user, unless each incarnation tells a part of what the undisturbed told, and all is told.

    What is restated aside, the first incarnation tells the beginning of a user's undisturbed changes, a later one goes on
    from some point of them, and the last one that has anything of the user reaches their end: the same changes, with the
    same times and reasons, in the same order.
    """
    for user in sorted(told.keys() | undisturbed.keys()):
        whole = [_uncounted(change) for change in undisturbed.get(user, [])]
        parts: dict[int, list[Change]] = {}
        for change in told.get(user, []):
            part = parts.setdefault(change["incarnation"], [])
            if change["change"] != "restated":
                part.append(_uncounted(change))
        assert parts or not whole, f"user {user}: nothing told of {len(whole)} changes"
        for incarnation, part in parts.items():
            if incarnation == max(parts):
                places = [len(whole) - len(part)]
            elif incarnation == 1:
                places = [0]
            else:
                places = list(range(len(whole) - len(part) + 1))
            assert any(whole[place : place + len(part)] == part for place in places if place >= 0), (
                f"user {user}, incarnation {incarnation}: not as undisturbed\n{part}\n{whole}"
            )


def _uncounted(change: Change) -> Change:
    """Leave out what counts changes: a new incarnation begins that anew."""
    return {name: value for name, value in change.items() if name not in ("id", "incarnation", "sequence")}


async def hashes_of(scene: Scene, where: RedisSettings | None = None) -> dict[str, dict[str, str]]:
    """Return the hash of every user who has one."""
    base = ReadModelKeys(f"{scene.prefix}segments").user("")
    client: Any = connect(where or scene.redis)
    try:
        keys = [key async for key in client.scan_iter(match=f"{base}*", count=5000)]
        found = {}
        for first in range(0, len(keys), 1000):
            pipeline = client.pipeline(transaction=False)
            for key in keys[first : first + 1000]:
                pipeline.hgetall(key)
            for key, answer in zip(keys[first : first + 1000], await pipeline.execute(), strict=True):
                found[key.decode().removeprefix(base)] = {
                    name.decode(): value.decode() for name, value in answer.items()
                }
        return found
    finally:
        await client.aclose()


async def states_of(scene: Scene, where: RedisSettings | None = None) -> dict[str, User]:
    """Return the private state of every user, in whichever partition."""
    base = f"{scene.prefix}state:"
    client: Any = connect(where or scene.redis)
    found = {}
    try:
        keys = [key async for key in client.scan_iter(match=f"{base}*:user:*", count=5000)]
        for first in range(0, len(keys), 1000):
            pipeline = client.pipeline(transaction=False)
            for key in keys[first : first + 1000]:
                pipeline.get(key)
            for key, state in zip(keys[first : first + 1000], await pipeline.execute(), strict=True):
                partition, _, user = key.decode().removeprefix(base).partition(":user:")
                number = murmur2(user.removeprefix("anon:").encode(), scene.partitions)
                assert partition == f"{{{number}}}", f"the state of {user} is {key}"
                found[user] = User.decode(user, state)
    finally:
        await client.aclose()
    return found


def assert_same_states(
    states: Mapping[str, User], undisturbed: Mapping[str, User], apart: Collection[str] = ()
) -> None:
    """Fail, naming user and field, unless the states of all users are equal but for the fields named ``apart``."""
    assert states.keys() == undisturbed.keys()
    for name, user in states.items():
        for field in User.__slots__:
            found, expected = getattr(user, field), getattr(undisturbed[name], field)
            assert field in apart or found == expected, (
                f"user {name}: {field} is {found}, undisturbed {expected}"
            )


async def compacted_of(scene: Scene) -> dict[str, Change | None]:
    """Return the last record of each user in the compacted topic."""
    found = {}
    for records in await read_all(scene, scene.topic("memberships")):
        for record in records:
            found[record.key.decode()] = None if record.value is None else orjson.loads(record.value)
    return found


async def member_lists_of(scene: Scene, where: RedisSettings | None = None) -> dict[str, dict[str, int]]:
    """Return the members of each segment, each with the time of entry; each in its user's partition."""
    base = f"{scene.prefix}segmentssegments:members:"
    client: Any = connect(where or scene.redis)
    found: dict[str, dict[str, int]] = {}
    try:
        async for key in client.scan_iter(match=f"{base}*", count=5000):
            segment, _, partition = key.decode().removeprefix(base).rpartition(":")
            listed: list[tuple[bytes, float]] = await client.zrange(key, 0, -1, withscores=True)
            users = {user.decode(): int(since) for user, since in listed}
            for user in users:
                number = murmur2(user.removeprefix("anon:").encode(), scene.partitions)
                assert partition == f"{{{number}}}", f"{user} is listed in {key}"
            found.setdefault(segment, {}).update(users)
    finally:
        await client.aclose()
    return found
