"""What every clusterer must do, by itself and inside a trainer. A new one is covered by being in `CLUSTERERS`."""

from __future__ import annotations

import json
import random

import pytest

from segstream.models.clusterers import CLUSTERERS
from segstream.models.recipe import Recipe
from segstream.models.trainer import Trainer

pytestmark = pytest.mark.parametrize("model", sorted(CLUSTERERS))
FEATURES = ("orders", "revenue", "visits")


def samples(count: int, seed: int = 1) -> list[list[float | None]]:
    """Three kinds of users, one value in ten unknown."""
    rng = random.Random(seed)
    kinds = ((1, 15, 40), (5, 200, 3), (40, 3000, 300))
    return [
        [None if rng.random() < 0.1 else value * rng.lognormvariate(0, 0.3) for value in rng.choice(kinds)]
        for _ in range(count)
    ]


def trainer(model: str, clusters: int = 3, seed: int = 0) -> Trainer:
    return Trainer(Recipe("behaviour", FEATURES, clusters, model=model, seed=seed), warmup=50)


def taught(model: str, count: int, clusters: int = 3, seed: int = 0) -> Trainer:
    new = trainer(model, clusters, seed)
    for sample in samples(count):
        new.learn(sample)
    return new


def reloaded(old: Trainer) -> Trainer:
    return Trainer.from_json(old.recipe, json.loads(json.dumps(old.to_json(), allow_nan=False)))


def test_learning_leaves_its_input_alone(model: str) -> None:
    """The caller may go on using the sample."""
    for sample in samples(100):
        before = list(sample)
        trainer(model).learn(sample)
        assert sample == before


def test_there_is_no_snapshot_before_the_first_sample(model: str) -> None:
    """Nothing is made up."""
    assert trainer(model).snapshot(1) is None


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 700])
def test_there_is_a_snapshot_from_the_first_sample_on(model: str, count: int) -> None:
    """However few samples, every user can be assigned."""
    snapshot = taught(model, count).snapshot(1)
    assert snapshot is not None
    assert snapshot.assign([None, 3, None]) in snapshot.ids
    assert 1 <= len(snapshot.ids) <= 3


def test_clear_kinds_of_users_are_told_apart(model: str) -> None:
    """Three kinds, three clusters, each found whole."""
    snapshot = taught(model, 1500).snapshot(1)
    assert snapshot is not None
    found = [{snapshot.assign([a * f, b * f, c * f]) for f in (0.8, 1, 1.3)}
             for a, b, c in ((1, 15, 40), (5, 200, 3), (40, 3000, 300))]  # fmt: skip
    assert sorted(map(len, found)) == [1, 1, 1]
    assert len(set.union(*found)) == 3


def test_a_feature_never_known_harms_nothing(model: str) -> None:
    """It is ignored, as one that never varies."""
    new = trainer(model)
    for a, b, _ in samples(300):
        new.learn([a, b, None])
    snapshot = new.snapshot(1)
    assert snapshot is not None
    assert snapshot.scales[2] == 0
    assert len({snapshot.assign([1, 15, None]), snapshot.assign([40, 3000, 5])}) == 2


def test_what_is_not_finite_is_not_learned(model: str) -> None:
    """One broken number does not poison the means for ever."""
    new, clean = taught(model, 100), taught(model, 100)
    assert not new.learn([float("nan"), float("inf"), None])
    assert not new.learn([1, 2])
    assert new.to_json() == clean.to_json()


def test_numbers_of_any_size_leave_all_finite(model: str) -> None:
    """The largest float and an integer of 400 digits are cut off, not an overflow."""
    new = taught(model, 100)
    for huge in (1.7e308, -1.7e308, 10**400):
        new.learn([huge, huge, huge])
    snapshot = new.snapshot(1)
    assert snapshot is not None
    json.dumps(new.to_json(), allow_nan=False)


def test_the_state_stays_small(model: str) -> None:
    """Ten times the samples, the same number of numbers: the length of the text tells."""
    assert len(json.dumps(taught(model, 5000).to_json())) < 1.2 * len(
        json.dumps(taught(model, 500).to_json())
    )


def test_the_same_seed_and_samples_give_the_same_snapshot(model: str) -> None:
    """Nothing depends on chance or on the process."""
    assert taught(model, 400, seed=5).snapshot(1) == taught(model, 400, seed=5).snapshot(1)


@pytest.mark.parametrize("cut", [0, 1, 30, 50, 300, 600])
def test_learning_goes_on_exactly_after_a_restart(model: str, cut: int) -> None:
    """Learn A, save, load, learn B gives to the last digit what A and B give without a break."""
    before, after = samples(600)[:cut], samples(600)[cut:]
    broken = trainer(model)
    for sample in before:
        broken.learn(sample)
    broken = reloaded(broken)
    for sample in after:
        broken.learn(sample)
    whole = taught(model, 600)
    assert broken.to_json() == whole.to_json()
    assert broken.snapshot(1) == whole.snapshot(1)


def test_equal_samples_give_one_cluster_and_later_ones_found_more(model: str) -> None:
    """Where there are fewer kinds than clusters none is left empty, and new kinds still find a place."""
    new = trainer(model)
    for _ in range(60):
        new.learn([1, 1, 1])
    first = new.snapshot(1)
    assert first is not None
    assert first.ids == ("c0",)
    for sample in samples(600):
        new.learn(sample)
    later = new.snapshot(2)
    assert later is not None
    assert later.ids == ("c0", "c1", "c2")


def test_a_centre_is_where_its_users_are_after_the_scale_has_moved(model: str) -> None:
    """The first users are small, later ones a thousand times larger: each centre still lies among its own."""
    new = trainer(model, clusters=2)
    rng = random.Random(3)
    for step in range(4000):
        size = 1 if step % 2 else 10 + step
        new.learn([size * rng.uniform(0.9, 1.1)] * 3)
    snapshot = new.snapshot(1)
    assert snapshot is not None
    small = snapshot.centroid(snapshot.assign([1, 1, 1]))
    assert small["orders"] == pytest.approx(1, rel=0.1)


def test_a_centre_nobody_is_near_any_more_is_given_up(model: str) -> None:
    """When all customers move on, all clusters are where they are now, and the old ids do not come back."""
    new = trainer(model)
    for sample in samples(600):
        new.learn([None if value is None else value / 1e6 for value in sample])
    old = new.snapshot(1)
    for sample in samples(3000, seed=2):
        new.learn(sample)
    later = reloaded(new).snapshot(2)
    assert old is not None
    assert later is not None
    users = [later.assign(sample) for sample in samples(300, seed=3)]
    assert all(users.count(cluster) > 20 for cluster in later.ids)
    assert len(later.ids) == 3
    assert set(later.ids) != set(old.ids)
    assert max(later.ids) > max(old.ids)
