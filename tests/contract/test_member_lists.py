"""The lists of members, looked through: the same over memory and Redis."""

from __future__ import annotations

import pytest

from segstream.errors import Fenced, StateLost
from segstream.ports import NOTHING_TOLD, View
from segstream.views import encode
from tests.contract.redis_backends import Backend


async def listing(backend: Backend, **segments: list[str]) -> int:
    """Let users of partition 3 enter segments, and return the epoch."""
    epoch = (await backend.state().take_over(NOTHING_TOLD)).meta.epoch
    views = [
        encode(View(user, 1, 1, 1, 0, 1, {}, {}, {}, {segment: 5}, []))
        for segment, users in segments.items()
        for user in users
    ]
    await backend.read_model().write(3, epoch, views)
    return epoch


async def test_only_lists_with_members_are_looked_at(backend: Backend) -> None:
    """In the order asked, and of the partition asked."""
    await listing(backend, loyal=["a"], at_risk=["b"])
    lists = backend.lists()
    assert await lists.filled(3, ["new", "loyal", "at_risk"]) == ["loyal", "at_risk"]
    assert await lists.filled(2, ["new", "loyal"]) == []
    assert await lists.filled(3, []) == []


async def test_who_is_listed_where_is_known_at_once(backend: Backend) -> None:
    """Those in no list are left out."""
    await listing(backend, loyal=["a", "b"], at_risk=["b"])
    lists = backend.lists()
    assert await lists.listed(3, ["new", "loyal", "at_risk"], ["a", "b", "c"]) == {
        "a": ["loyal"],
        "b": ["loyal", "at_risk"],
    }
    assert await lists.listed(3, ["loyal"], []) == {}
    assert await lists.listed(3, [], ["a"]) == {}


@pytest.mark.parametrize("count", [0, 3, 2500])
async def test_a_list_is_read_in_pages_to_its_end(backend: Backend, count: int) -> None:
    """Everybody comes, whatever leaves in between, and no page is much larger than asked."""
    users = [f"ü{number}" for number in range(count)]
    epoch = await listing(backend, loyal=users)
    lists, found, cursor = backend.lists(), set[str](), -1
    while cursor:
        cursor, names = await lists.page(3, "loyal", max(cursor, 0), 100)
        assert len(names) < 300
        found.update(names)
        await lists.strike(3, epoch, "loyal", names[:10])
    assert found == set(users)


async def test_users_are_struck_from_one_list(backend: Backend) -> None:
    """Their answers, and other lists, stay."""
    epoch = await listing(backend, loyal=["a", "b"], at_risk=["a"])
    await backend.lists().strike(3, epoch, "loyal", ["a", "nobody"])
    assert await backend.members("loyal", 3) == {"b": 5}
    assert await backend.members("at_risk", 3) == {"a": 5}
    assert (await backend.answer("a"))["v"] == "1:1"


async def test_only_the_owner_strikes(backend: Backend) -> None:
    """Under another epoch the list stays as it is."""
    epoch = await listing(backend, loyal=["a"])
    with pytest.raises(StateLost):
        await backend.lists().strike(3, epoch + 1, "loyal", ["a"])
    await backend.state().take_over(NOTHING_TOLD)
    with pytest.raises(Fenced):
        await backend.lists().strike(3, epoch, "loyal", ["a"])
    assert await backend.members("loyal", 3) == {"a": 5}
