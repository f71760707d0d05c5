"""The public answers: the same over memory and Redis."""

from __future__ import annotations

import json

import pytest

from segstream.errors import Fenced, StateLost
from segstream.ports import NOTHING_TOLD, EncodedView, View
from segstream.views import encode
from tests.contract.redis_backends import Backend

AT = 865_987_200_001


def view(user: str = "00042", sequence: int = 1, incarnation: int = 1, **parts: object) -> EncodedView:
    """Return a user's answer, with one segment unless told otherwise."""
    empty = View(
        user, incarnation, sequence, sequence, AT, 3, {"behaviour": 12}, {"at_risk": (AT, None)}, {}, {}, []
    )
    return encode(empty._replace(**parts))  # type: ignore[arg-type]  # a test's shorthand


@pytest.fixture
async def epoch(backend: Backend) -> int:
    """Take partition 3 over and return the epoch."""
    return (await backend.state().take_over(NOTHING_TOLD)).meta.epoch


async def test_an_answer_is_read_in_one_look(backend: Backend, epoch: int) -> None:
    """The fields are those of the contract, times as on the wire."""
    features: dict[str, object] = {"orders": 2, "revenue": 0.1, "name": 'É"', "vip": True, "age": None}
    await backend.read_model().write(
        3,
        epoch,
        [view(sequence=9, segments={"at_risk": (AT, AT + 1), "b.c3": (AT, None)}, features=features)],
    )
    found = dict(await backend.answer("00042"))
    for name, value in features.items():
        assert json.loads(found.pop(f"f:{name}")) == value
    assert found == {
        "v": "1:9",
        "sequence": "9",
        "as_of": "1997-06-11T00:00:00.001Z",
        "definitions_version": "3",
        "model_version": '{"behaviour":12}',
        "s:at_risk": '{"since":"1997-06-11T00:00:00.001Z","expires_at":"1997-06-11T00:00:00.002Z"}',
        "s:b.c3": '{"since":"1997-06-11T00:00:00.001Z","expires_at":null}',
    }


async def test_a_later_answer_replaces_all_of_an_older_one(backend: Backend, epoch: int) -> None:
    """Segments that were left do not linger."""
    model = backend.read_model()
    await model.write(3, epoch, [view()])
    await model.write(3, epoch, [view(sequence=2, segments={"loyal": (AT, None)})])
    assert {name for name in await backend.answer("00042") if name[:2] == "s:"} == {"s:loyal"}


@pytest.mark.parametrize("older", [(1, 10), (1, 99), (2, 9)])
async def test_a_late_writer_cannot_put_back_an_older_answer(
    backend: Backend, epoch: int, older: tuple[int, int]
) -> None:
    """Versions compare as numbers: first the incarnation, then the sequence."""
    model = backend.read_model()
    await model.write(3, epoch, [view(incarnation=2, sequence=10)])
    if older == (1, 10):
        await model.write(3, epoch, [view(incarnation=10, sequence=1)])
    before = await backend.answer("00042")
    await model.write(3, epoch, [view(incarnation=older[0], sequence=older[1], segments={"old": (AT, None)})])
    assert await backend.answer("00042") == before


async def test_an_equal_version_is_written_again(backend: Backend, epoch: int) -> None:
    """A new owner writes all it finds in the outbox again; the second time changes nothing."""
    model = backend.read_model()
    views = [view(sequence=5, entered={"at_risk": AT}), view("7", sequence=6, entered={"at_risk": AT + 1})]
    await model.write(3, epoch, views)
    answers = [await backend.answer("00042"), await backend.answer("7"), await backend.members("at_risk", 3)]
    await model.write(3, epoch, views)
    assert answers == [
        await backend.answer("00042"),
        await backend.answer("7"),
        await backend.members("at_risk", 3),
    ]
    assert list(await backend.members("at_risk", 3)) == ["00042", "7"]


async def test_of_several_answers_of_a_user_the_last_counts(backend: Backend, epoch: int) -> None:
    """All entries and exits on the way reach the member lists, in order."""
    views = [
        view(sequence=1, entered={"new": 1, "loyal": 1}),
        view(sequence=2, entered={"at_risk": 2}, left=["new", "loyal"]),
        view(sequence=3, entered={"loyal": 3}),
    ]
    await backend.read_model().write(3, epoch, views)
    assert (await backend.answer("00042"))["v"] == "1:3"
    assert await backend.members("new", 3) == {}
    assert await backend.members("loyal", 3) == {"00042": 3}
    assert await backend.members("at_risk", 3) == {"00042": 2}


async def test_a_user_without_segments_leaves_a_tombstone_for_a_day(backend: Backend, epoch: int) -> None:
    """It keeps the version, so that no late writer puts back an answer."""
    model = backend.read_model()
    await model.write(3, epoch, [view(sequence=2, segments={})])
    await model.write(3, epoch, [view(sequence=1)])
    found = await backend.answer("00042")
    assert (found["v"], found["sequence"]) == ("1:2", "2")
    assert not any(name.startswith("s:") for name in found)
    assert await backend.a_day_passes("00042")


async def test_an_answer_with_a_segment_or_a_feature_stays(backend: Backend, epoch: int) -> None:
    """A tombstone that comes back to life loses its end."""
    model = backend.read_model()
    await model.write(3, epoch, [view(segments={}), view("7", segments={}, features={"orders": 0})])
    await model.write(3, epoch, [view(sequence=2)])
    assert not await backend.a_day_passes("00042")
    assert not await backend.a_day_passes("7")


async def test_member_lists_refuse_an_old_epoch(backend: Backend, epoch: int) -> None:
    """A zombie hears of it, and the lists stay as they are."""
    model = backend.read_model()
    await model.write(3, epoch, [view(entered={"at_risk": AT})])
    await backend.state().take_over(NOTHING_TOLD)
    with pytest.raises(Fenced):
        await model.write(3, epoch, [view(sequence=2, left=["at_risk"])])
    assert await backend.members("at_risk", 3) == {"00042": AT}


async def test_a_server_without_the_take_over_is_lost(backend: Backend, epoch: int) -> None:
    """An epoch below the writer's means that Redis has forgotten."""
    with pytest.raises(StateLost):
        await backend.read_model().write(3, epoch + 1, [view()])


async def test_many_users_are_written_at_once(backend: Backend, epoch: int) -> None:
    """A thousand views with changes of one list, more than one call of a script holds."""
    views = [view(f"{n:05d}", n + 1, entered={"at_risk": AT + n}) for n in range(5000)]
    await backend.read_model().write(3, epoch, views)
    assert len(await backend.members("at_risk", 3)) == 5000
    for user in ("00000", "00200", "04999"):
        assert (await backend.answer(user))["v"] == f"1:{int(user) + 1}"
    await backend.read_model().write(3, epoch, [])


async def test_the_catalog_never_goes_back(backend: Backend) -> None:
    """A worker with older definitions does not overwrite newer ones; its own are rewritten whole."""
    model = backend.read_model()
    await model.describe({"segments": "[1]", "old": "x"}, 9)
    await model.describe({"segments": "[2]"}, 10)
    await model.describe({"segments": "[3]"}, 9)
    assert await backend.catalog() == {"segments": "[2]", "definitions_version": "10"}
