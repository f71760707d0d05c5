"""What becomes of the members of a segment that is renamed or removed, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.flow.worlds import START, World, feed, finish, record, track

OLD = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  buyer: {when: orders >= 1}
  loyal: {when: orders >= 3}
"""
NEW = """
version: 1
features:
  bought: {op: count, event: Order Completed}
segments:
  customer: {when: bought >= 1, renamed_from: buyer}
  loyal:    {when: bought >= 2}
"""
MERGED = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  loyal: {when: orders >= 1, renamed_from: buyer}
"""
GROUPED = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  customer: {when: orders >= 1, renamed_from: buyer}
  loyal: {when: orders >= 3}
groups:
  worth: {first_of: [loyal, customer]}
"""
ONE_LEFT = """
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  loyal: {when: orders >= 3}
"""


async def turned(text: str, orders: dict[str, int]) -> World:
    """Play so many orders of each user under the old definitions, then bring the new ones into force at +1,000 ms."""
    world = World([(0, OLD), (START + 1_000, text)])
    flow = await world.owner()
    pairs = [(user, turn) for user, count in orders.items() for turn in range(count)]
    events = [
        record(offset, START + offset, track(user, "Order Completed", START + offset))
        for offset, (user, _) in enumerate(pairs)
    ]
    await feed(flow, events)
    await finish(flow, START + 2_000)
    return world


def by_definition(world: World) -> list[tuple[str, str, str, str | None]]:
    """Return user, change, segment and previous one of what new definitions caused."""
    return [
        (change["user_id"], change["change"], change["segment"], change["previous"])
        for change in world.changes()
        if change["cause"]["type"] == "definition"
    ]


def since(world: World, user: str) -> dict[str, Any]:
    """Return since when the read model has a user in each segment."""
    fields = world.read_model.answer(user).items()
    return {name[2:]: json.loads(value)["since"] for name, value in fields if name.startswith("s:")}


async def test_members_of_a_renamed_segment_stay_and_nobody_is_told_that_they_left() -> None:
    """One record says so; the compacted topic, the answers and the lists have the new name, since the same moment."""
    world = await turned(NEW, {"ada": 1, "bob": 1})
    assert by_definition(world) == [
        ("ada", "renamed", "customer", "buyer"),
        ("bob", "renamed", "customer", "buyer"),
    ]
    told = next(change for change in world.changes() if change["change"] == "renamed")
    assert (told["kind"], told["group"], told["expires_at"], told["reasons"]) == ("rule", None, None, [])
    assert (told["sequence"], told["segments"], told["definitions_version"]) == (2, ["customer"], 2)
    entered = next(change["at"] for change in world.changes() if change["user_id"] == "ada")
    assert since(world, "ada") == {"customer": entered}
    assert world.memberships()["ada"]["segments"] == {"customer": {"since": entered, "expires_at": None}}
    assert world.read_model.members("buyer", 0) == {}
    assert world.read_model.members("customer", 0) == {"ada": START, "bob": START + 1}


async def test_who_the_new_conditions_do_not_hold_for_leaves_under_the_new_name() -> None:
    """The rename comes first, so that what follows is told of a segment that there is."""
    world = await turned(NEW.replace("bought >= 1", "bought >= 2"), {"ada": 1, "bob": 2})
    assert by_definition(world) == [
        ("ada", "renamed", "customer", "buyer"),
        ("ada", "exited", "customer", None),
        ("bob", "renamed", "customer", "buyer"),
        ("bob", "entered", "loyal", None),
    ]
    why = next(change for change in world.changes() if change["change"] == "exited")["reasons"]
    assert why == [
        {
            "condition": "bought >= 2",
            "before": True,
            "after": False,
            "inputs": {"bought": {"before": None, "after": 1}},
        }
    ], "the former condition was true; what is called `bought` now had another name"


async def test_who_was_in_both_leaves_the_one_that_is_gone() -> None:
    """Two segments made one: the stay in the one that goes on is kept."""
    world = await turned(MERGED, {"ada": 1, "bob": 3})
    assert by_definition(world) == [("ada", "renamed", "loyal", "buyer"), ("bob", "exited", "buyer", None)]
    assert set(world.read_model.members("loyal", 0)) == {"ada", "bob"}
    assert world.read_model.members("buyer", 0) == {}


async def test_a_renamed_segment_that_joins_a_group_is_held_beside_no_other() -> None:
    """The first in the order of entry keeps the seat, then the group's own order decides."""
    world = await turned(GROUPED, {"ada": 1, "bob": 3})
    assert by_definition(world) == [
        ("ada", "renamed", "customer", "buyer"),
        ("bob", "renamed", "customer", "buyer"),
        ("bob", "exited", "loyal", None),
        ("bob", "exited", "customer", None),
        ("bob", "entered", "loyal", "customer"),
    ]
    assert since(world, "bob").keys() == {"loyal"}


async def test_the_members_of_a_removed_segment_leave_it() -> None:
    """Once, for the version's sake; the lists are empty."""
    world = await turned(ONE_LEFT, {"ada": 1, "bob": 3})
    assert by_definition(world) == [("ada", "exited", "buyer", None), ("bob", "exited", "buyer", None)]
    assert world.read_model.members("buyer", 0) == {}
    assert world.memberships().keys() == {"bob"}


async def test_a_reason_tells_what_the_former_definitions_said() -> None:
    """Before is the truth of the condition as it was, and the value of the input as it was."""
    stricter = OLD.replace("orders >= 3", "orders >= 2")
    world = await turned(stricter, {"bob": 2})
    (entry,) = [change for change in world.changes() if change["cause"]["type"] == "definition"]
    assert entry["reasons"] == [
        {
            "condition": "orders >= 2",
            "before": False,
            "after": True,
            "inputs": {"orders": {"before": 2, "after": 2}},
        }
    ]


async def test_a_feature_that_means_something_else_shows_the_former_value_and_begins_anew() -> None:
    """Its name is the same, what was kept is of no use: it counts from the version's moment."""
    other = OLD.replace("event: Order Completed", "type: page")
    world = await turned(other, {"bob": 3})
    told = [change for change in world.changes() if change["cause"]["type"] == "definition"]
    assert [(change["change"], change["segment"]) for change in told] == [
        ("exited", "buyer"),
        ("exited", "loyal"),
    ]
    assert told[0]["reasons"][0]["inputs"] == {"orders": {"before": 3, "after": 0}}
