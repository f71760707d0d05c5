"""What consumers see at the end of a schedule, held against what they were promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from segstream.adapters.memory.read_model import MemoryReadModel
from segstream.adapters.memory.state import partition_of
from segstream.core.time import parse_time
from segstream.core.user import User
from tests.simulation.histories import PARTITIONS, USERS
from tests.stories import Stories, follow

if TYPE_CHECKING:
    from tests.simulation.world import World

CHANGES, MEMBERSHIPS, LETTERS = "segment-changes", "segment-memberships", "segment-dead-letters"

KEPT_APART = ("name", "incarnation", "sequence", "basis", "due_for")
"""Of a user's state: what a new incarnation changes, and what says no more than the rest."""


class Broken(Exception):
    """A promise is broken; the text says which, and how."""


def judge(world: World) -> None:
    """Check what is published and stored after everything has come to rest.

    1. Changes: per user and incarnation the sequence runs 1, 2, 3 …, and none contradicts those before it.
    2. One answer: the last record of the compacted topic, the user's hash, the member lists and the state agree; the
       compacted topic never went back on the way.
    3. Replay: the state equals that of an undisturbed worker; where no incarnation was begun the changes do, too.
    4. Incarnations: begun only where Redis had lost something published, and that never where it keeps what it was
       waited for.
    5. Dead letters: each record that cannot be applied is told of; once, where no incarnation was begun.

    Raises
    ------
    Broken
    """
    for found in world.broken:
        raise Broken(found)
    for number in range(PARTITIONS):
        try:
            _judge(world, number)
        except AssertionError as found:
            raise Broken(f"partition {number}: {found}") from found


def _judge(world: World, number: int) -> None:
    told = stories(world, number)
    held = {user: follow(user, changes) for user, changes in told.items()}
    states = partition_of(world.lists_of(number), "segstream", number).states
    users = {name: User.decode(name, state) for name, state in states.items()}
    assert told.keys() <= users.keys(), f"told of {told.keys() - users.keys()}, of whom there is no state"
    memberships = _compacted(world, number)
    answers = MemoryReadModel(world.answers_of(number))
    for name, user in users.items():
        last, answer = told.get(name, []), answers.answer(name)
        _one_answer(user, held.get(name, {}), last[-1:] or [{}], memberships.get(name), answer)
        _features(name, answer, world.history.expected[number]["answers"].get(name, {}))
    _listed(world, number, users)
    _replayed(world, number, users, told)


def stories(world: World, number: int) -> Stories:
    """Return each user's changes as a ``read_committed`` consumer gets them."""
    found: Stories = {}
    for record in world.broker.log.consumers_view(CHANGES, number):
        change = orjson.loads(record.value or b"")
        assert record.key.decode() == change["user_id"]
        found.setdefault(change["user_id"], []).append(change)
    return found


def _compacted(world: World, number: int) -> dict[str, dict[str, Any] | None]:
    """Return the last record of each user; versions must not have gone back on the way."""
    found: dict[str, dict[str, Any] | None] = {}
    latest: dict[str, tuple[int, int]] = {}
    for record in world.broker.log.consumers_view(MEMBERSHIPS, number):
        user = record.key.decode()
        found[user] = answer = None if record.value is None else orjson.loads(record.value)
        if answer is not None:
            version = answer["incarnation"], answer["sequence"]
            assert version >= latest.get(user, (0, 0)), (
                f"user {user}: the compacted topic goes back to {version}"
            )
            latest[user] = version
    return found


def _one_answer(
    user: User,
    held: dict[str, int | None],
    last: list[dict[str, Any]],
    membership: dict[str, Any] | None,
    answer: dict[str, str],
) -> None:
    """Check that changes, compacted topic, hash and state agree."""
    name, (change,) = user.name, last
    since = {segment: since for segment, (since, _) in user.held.items()}
    assert held.keys() == since.keys(), f"user {name}: changes say {sorted(held)}, the state {sorted(since)}"
    assert all(moment in {None, since[segment]} for segment, moment in held.items()), (
        f"user {name}: changes say since {held}, the state {since}"
    )
    told = change.get("incarnation", user.incarnation), change.get("sequence", 0)
    assert told == (user.incarnation, user.sequence), (
        f"user {name}: the last change is {told}, the state's {user.incarnation, user.sequence}"
    )
    shown = {word[2:]: orjson.loads(stay) for word, stay in answer.items() if word.startswith("s:")}
    listed = {segment: parse_time(stay["since"]) for segment, stay in shown.items()}
    assert listed == since, f"user {name}: the read model says {listed}, the state {since}"
    compacted = {} if membership is None else membership["segments"]
    assert compacted == shown, f"user {name}: the compacted topic says {compacted}, the read model {shown}"
    if membership is not None:
        version = membership["incarnation"], membership["sequence"]
        assert version == told, f"user {name}: the compacted topic says {version}, the changes {told}"
    if answer:
        assert int(answer["sequence"]) == user.sequence, f"user {name}: the read model says {answer}"


def _features(name: str, answer: dict[str, str], undisturbed: dict[str, str]) -> None:
    """Check that a user's hash has the exposed features that it would have had."""
    found, expected = (
        {word: value for word, value in hash_.items() if word.startswith("f:")}
        for hash_ in (answer, undisturbed)
    )
    assert found == expected, f"user {name}: the read model says {found}, undisturbed {expected}"


def _listed(world: World, number: int, users: dict[str, User]) -> None:
    lists = MemoryReadModel(world.lists_of(number))
    for segment in world.history.library.segments():
        members = {name: user.held[segment][0] for name, user in users.items() if segment in user.held}
        listed = lists.members(segment, number)
        assert listed == members, f"the list of {segment} has {listed}, the states {members}"


def _replayed(world: World, number: int, users: dict[str, User], told: Stories) -> None:
    expected = world.history.expected[number]
    assert users.keys() == expected["users"].keys(), f"states of {sorted(users)}"
    for name, user in users.items():
        for field, value in expected["users"][name].items():
            if field not in KEPT_APART:
                found = getattr(user, field)
                assert found == value, f"user {name}: {field} is {found}, undisturbed {value}"
    bad = [letter["offset"] for letter in expected["letters"]]
    letters = [
        orjson.loads(record.value or b"")["offset"]
        for record in world.broker.log.consumers_view(LETTERS, number)
    ]
    assert set(letters) == set(bad), f"dead letters of {letters}, undisturbed {bad}"
    if world.incarnations[number] > 1:
        return
    assert letters == bad, f"dead letters of {letters}, undisturbed {bad}"
    for changes in told.values():
        for change in changes:
            del change["processed_at"]
    for name in USERS[number]:
        ours, theirs = told.get(name, []), expected["changes"].get(name, [])
        assert len(ours) == len(theirs), f"user {name}: {len(ours)} changes, undisturbed {len(theirs)}"
        for our, their in zip(ours, theirs, strict=True):
            assert our == their, f"user {name}: told {our}, undisturbed {their}"
