"""A snapshot answers which cluster is nearest, says what a cluster is, and refuses numbers that do not fit."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.clusters import Snapshot
from segstream.core.scaling import INVERSES, TRANSFORMS, bend

DAY = 86_400_000


def customers() -> Snapshot:
    return Snapshot(
        name="behaviour",
        number=3,
        features=("orders", "since(last_order)", "country_known"),
        transforms=("log", "log_days", "linear"),
        means=(math.log1p(2), math.log1p(100), 1.0),
        scales=(0.5, 1.0, 0.0),
        centers=((-1.0, 0.5, 0.0), (2.0, -1.0, 0.0), (0.0, 0.0, 0.0)),
        ids=("c0", "c4", "c2"),
    )


def test_a_user_goes_to_the_nearest_centre() -> None:
    """Few orders long ago, many orders just now, and the middle are told apart in the features' own units."""
    assert customers().assign([0.3, 170 * DAY, 1]) == "c0"
    assert customers().assign([7, 40 * DAY, 1]) == "c4"
    assert customers().assign([2, 100 * DAY, 1]) == "c2"


def test_an_unknown_value_counts_as_the_mean() -> None:
    """Not knowing something moves nobody away from the middle, and what is not finite is not known."""
    snapshot = customers()
    assert snapshot.assign([None, None, None]) == "c2"
    assert snapshot.assign([math.nan, math.inf, None]) == "c2"
    assert snapshot.assign([7, None, None]) == snapshot.assign([7, 100 * DAY, 1])


def test_a_feature_that_never_varied_is_ignored() -> None:
    """Scale 0 gives no unit to measure a distance in."""
    assert {customers().assign([7, 40 * DAY, value]) for value in (-1e9, 0, 1, 1e9, None)} == {"c4"}


def test_of_two_equally_near_centres_the_first_wins() -> None:
    """The answer does not depend on chance."""
    snapshot = Snapshot("s", 1, ("x",), ("linear",), (0.0,), (1.0,), ((1.0,), (-1.0,)), ("c7", "c1"))
    assert snapshot.assign([0]) == "c7"


def test_numbers_of_any_size_are_assigned() -> None:
    """An integer with 400 digits is large, not an error."""
    assert customers().assign([10**400, 0, 1]) == "c4"


@given(st.lists(st.lists(st.integers(-50, 50), min_size=2, max_size=2), min_size=1, max_size=9), st.data())
def test_the_nearest_is_what_a_plain_search_finds(centers: list[list[int]], data: st.DataObject) -> None:
    """The quick loop agrees with the definition of distance, ties included (squares of integers are exact)."""
    snapshot = Snapshot(
        "s", 1, ("x", "y"), ("linear",) * 2, (0.0,) * 2, (1.0,) * 2,
        tuple(tuple(map(float, center)) for center in centers), tuple(f"c{i}" for i in range(len(centers))),
    )  # fmt: skip
    x, y = data.draw(st.tuples(st.integers(-60, 60), st.integers(-60, 60)))
    squares = [(x - a) ** 2 + (y - b) ** 2 for a, b in centers]
    assert snapshot.assign([x, y]) == f"c{squares.index(min(squares))}"


def test_a_centroid_is_given_in_the_units_of_the_features() -> None:
    """Scaling and logarithm are undone: orders as a count, a duration in milliseconds."""
    centroid = customers().centroid("c2")
    assert centroid == pytest.approx({"orders": 2, "since(last_order)": 100 * DAY, "country_known": 1})


def test_a_description_names_what_stands_out() -> None:
    """At most two features, the farthest first; a cluster in the middle is average."""
    snapshot = customers()
    assert snapshot.describe("c4") == "orders very high, since(last_order) low"
    assert snapshot.describe("c0") == "orders low, since(last_order) high"
    assert snapshot.describe("c2") == "average"
    with pytest.raises(ValueError, match="c9"):
        snapshot.describe("c9")


def test_a_snapshot_survives_json() -> None:
    """Through text and back nothing is lost, not even the last digit."""
    snapshot = customers()
    again = Snapshot.from_json(json.loads(json.dumps(snapshot.to_json())))
    assert again == snapshot
    assert again.assign([7, 40 * DAY, 1]) == "c4"


def test_the_hash_names_the_content_not_the_version() -> None:
    """Equal numbers have an equal hash; another centre has another."""
    saved = customers().to_json() | {"number": 9}
    assert Snapshot.from_json(saved).content_hash == customers().content_hash
    with pytest.raises(ValueError, match="hash"):
        Snapshot.from_json(saved | {"means": [0, 0, 0]})


@pytest.mark.parametrize(
    "fault",
    [
        {"number": 0}, {"number": "1"}, {"name": 1}, {"features": []}, {"features": ["a", "b"]}, {"ids": ["c0", "c1"]},
        {"ids": ["c0", "c0", "c1"]}, {"centers": []}, {"centers": [[0], [0], [0]]}, {"centers": 1},
        {"means": [math.nan, 0, 0]}, {"means": ["1", 0, 0]}, {"scales": [math.inf, 1, 1]}, {"scales": [-1, 1, 1]},
        {"transforms": ["log", "log", "eval"]}, {"means": None}, {"content_hash": ""}, {"content_hash": None},
    ],
)  # fmt: skip
def test_a_damaged_snapshot_is_refused(fault: dict[str, object]) -> None:
    """A wrong shape, a number that is not finite or a missing hash is never served."""
    with pytest.raises(ValueError, match="snapshot"):
        Snapshot.from_json(customers().to_json() | fault)


def test_a_snapshot_with_something_missing_is_refused() -> None:
    """Every field is needed."""
    for key in customers().to_json():
        saved = customers().to_json()
        del saved[key]
        with pytest.raises(ValueError, match=key):
            Snapshot.from_json(saved)


@given(st.floats(-1e12, 1e12), st.sampled_from(sorted(TRANSFORMS)))
def test_a_transform_can_be_undone(value: float, name: str) -> None:
    """Centroids in original units are honest."""
    bent = bend(value, TRANSFORMS[name])
    assert bent is not None
    assert INVERSES[name](bent) == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_serving_does_not_import_river() -> None:
    """River costs a second and 100 MB: only the trainer pays for it."""
    code = "import sys, segstream.core.clusters; sys.exit(bool({'river', 'numpy'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
