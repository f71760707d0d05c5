"""A training session learns each record once, numbers its snapshots and never uses a cluster id twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.models.recipe import Recipe
from segstream.models.training import TrainingSession

RECIPE = Recipe("behaviour", ("orders", "revenue"), clusters=2)
WIDER = Recipe("behaviour", ("orders", "revenue", "visits"), clusters=3)


def reloaded(session: TrainingSession, recipe: Recipe = RECIPE) -> TrainingSession:
    return TrainingSession.from_json(recipe, json.loads(json.dumps(session.to_json())), warmup=4)


def session() -> TrainingSession:
    return TrainingSession(RECIPE, warmup=4)


def test_a_record_read_again_teaches_nothing() -> None:
    """After a restart Kafka may hand out records once more; their offsets say so."""
    once, twice = session(), session()
    for offset in (5, 6, 9):
        once.feed(offset, [[offset, 1], [1, offset]])
        twice.feed(offset, [[offset, 1], [1, offset]])
        assert twice.feed(offset, [[7, 7]]) == 0
        assert twice.feed(offset - 1, [[7, 7]]) == 0
    assert once.to_json() == twice.to_json()
    assert once.offset == 9


def test_samples_of_another_shape_are_passed_over() -> None:
    """Samples sent under an older definition may still be in the topic."""
    new = session()
    assert new.feed(0, [[1, 2, 3], [None, None], [1, 2]]) == 1
    assert new.since_snapshot == 1


def test_a_snapshot_is_due_after_enough_samples_and_time() -> None:
    """The first waits for samples only; the next ones for both."""
    new = session()
    assert not new.due(0, min_samples=0, min_interval=0)
    new.feed(0, [[1, 1], [2, 2]])
    assert not new.due(0, min_samples=3, min_interval=60)
    assert new.due(0, min_samples=2, min_interval=60)
    assert new.offer(now=100) is not None
    new.feed(1, [[1, 1], [2, 2]])
    assert not new.due(159, min_samples=2, min_interval=60)
    assert new.due(160, min_samples=2, min_interval=60)
    assert reloaded(new).due(160, min_samples=2, min_interval=60)
    assert not reloaded(new).due(159, min_samples=2, min_interval=60)


def test_nothing_is_offered_before_something_is_learned() -> None:
    """And no number is used up by it."""
    new = session()
    assert new.offer(now=0) is None
    new.feed(0, [[1, 1]])
    snapshot = new.offer(now=0)
    assert snapshot is not None
    assert snapshot.number == 1


def test_snapshots_are_numbered_one_after_another_across_restarts() -> None:
    """1, 2, 3 without gaps."""
    current, numbers = session(), []
    for offset in range(4):
        current.feed(offset, [[offset, 1]])
        snapshot = current.offer(now=offset)
        assert snapshot is not None
        numbers.append(snapshot.number)
        current = reloaded(current)
    assert numbers == [1, 2, 3, 4]


def test_another_definition_starts_anew_but_numbers_and_ids_go_on() -> None:
    """`behaviour.c0` never comes to mean something else, even when definitions go back and forth."""
    current = session()
    for offset in range(9):
        current.feed(offset, [[offset % 2 * 50, offset]])
    first = current.offer(now=0)
    changed = reloaded(current, WIDER)
    assert changed.feed(8, [[1, 1, 1]]) == 0
    changed.feed(9, [[1, 1, 1], [9, 90, 900], [99, 9, 1], [50, 3, 2]])
    second = changed.offer(now=1)
    back = reloaded(changed, RECIPE)
    back.feed(10, [[1, 1], [90, 900]])
    third = back.offer(now=2)
    assert first is not None
    assert second is not None
    assert third is not None
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert second.features == WIDER.features
    assert not set(first.ids) & set(second.ids) | set(first.ids + second.ids) & set(third.ids)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["feed", "offer", "restart"]), max_size=40), st.randoms(use_true_random=False)
)
def test_restarts_at_any_moment_change_nothing(steps: list[str], rng: object) -> None:
    """Feeding and offering in any order, interrupted or not, leaves the same state and snapshots."""
    steady, shaken = session(), session()
    for step, what in enumerate(steps):
        if what == "restart":
            shaken = reloaded(shaken)
        elif what == "offer":
            assert steady.offer(now=step) == shaken.offer(now=step)
        else:
            vectors = [[rng.lognormvariate(1, 1), rng.choice([None, 1, 5])] for _ in range(5)]  # type: ignore[attr-defined]
            assert steady.feed(step, vectors) == shaken.feed(step, vectors)
    assert steady.to_json() == shaken.to_json()


@pytest.mark.parametrize("key", ["number", "offset", "next_id", "trainer"])
def test_a_damaged_session_is_refused(key: str) -> None:
    """Learning does not go on from half a state."""
    saved = session().to_json()
    saved[key] = None
    with pytest.raises(ValueError, match="behaviour"):
        TrainingSession.from_json(WIDER, saved)


@pytest.mark.parametrize(("features", "clusters", "transforms"), [
    ((), 3, ()), (("x",) * 17, 3, ()), (("x",), 0, ()), (("x",), 65, ()), (("x",), 3, ("log", "log")), (("x",), 3, ("exp",)),
])  # fmt: skip
def test_a_recipe_out_of_range_is_refused(
    features: tuple[str, ...], clusters: int, transforms: tuple[str, ...]
) -> None:
    """Bounded from the start."""
    with pytest.raises(ValueError, match="behaviour"):
        Recipe("behaviour", features, clusters, transforms)


def test_two_processes_learn_the_same() -> None:
    """Python shuffles sets of texts differently in each process; learning does not notice."""
    code = (
        "import random; from segstream.models.recipe import Recipe; from segstream.models.trainer import Trainer\n"
        "t, r = Trainer(Recipe('b', ('x', 'y', 'z', 'w'), 4), warmup=50), random.Random(1)\n"
        "for _ in range(300): t.learn([r.lognormvariate(1, 1) for _ in range(4)])\n"
        "print(t.snapshot(1).content_hash)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env=environment | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_recipes_that_differ_have_different_fingerprints() -> None:
    """A worker marks its samples, so that those of an older definition of the same width can be told."""
    others = [
        Recipe("behaviour", ("orders", "visits"), 2),
        Recipe("behaviour", ("orders", "revenue"), 3),
        WIDER,
    ]
    assert len({RECIPE.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert Recipe("behaviour", ("orders", "revenue"), 2, ("log", "log")).fingerprint == RECIPE.fingerprint
