"""All that is known of one user, as JSON."""

from __future__ import annotations

from segstream.core.basis import Basis
from segstream.core.definitions import read_definitions
from segstream.core.time import DAY, NEVER, parse_time
from segstream.core.user import User
from segstream.dossier import Dossier, look_back
from segstream.ports import DefinitionsVersion, Meta
from segstream_schemas import Catalog

SHOP = """\
version: 1
traits: {country: text}
features:
  orders: {op: count, event: Order Completed}
  last_order: {op: last_time, event: Order Completed}
  recent: {op: count, event: Order Completed, window: 7d}
segments:
  active: {when: since(last_order) <= 60d}
"""
MONDAY = parse_time("1997-06-02T00:00:00Z")


def dossier(*, known: bool = True) -> Dossier:
    """Return what there is of a user who ordered once, on Monday."""
    definitions = read_definitions(SHOP, "shop.yaml")
    states = tuple(
        feature.accumulator.zero()
        if feature.name == "traits.country"
        else feature.accumulator.add(feature.accumulator.zero(), MONDAY, None, "m1")
        for feature in definitions.features
    )
    user = User("00042", states, basis=2, incarnation=1)
    user.sequence, user.decided_at, user.due = 3, MONDAY, MONDAY + 7 * DAY
    user.held = {"active": (MONDAY, NEVER)}
    user.assigned = {"behaviour": ("c3", MONDAY)}
    user.remember(b"%08d" % 1)
    return Dossier(
        user="00042",
        partition=1,
        partitions=4,
        catalog=Catalog(schema_version=1, partitions=4, definitions_version=1, segments={}),
        answer=None,
        meta=Meta(clock=MONDAY + DAY),
        state=user if known else None,
        basis=Basis(2, MONDAY, 1, 1, {"behaviour": 5}) if known else None,
        definitions=definitions if known else None,
    )


def test_features_are_told_as_of_the_partitions_clock_or_now() -> None:
    """Times and unknown values as people read them; a window empties as time passes."""
    found = dossier()
    assert found.document()["state"]["as_of"] == "1997-06-03T00:00:00.000Z"
    assert found.document()["state"]["features"] == {
        "last_order": "1997-06-02T00:00:00.000Z",
        "orders": 1,
        "recent": 1,
        "traits.country": None,
    }
    later = found.document(now=MONDAY + 30 * DAY)["state"]
    assert (later["as_of"], later["features"]["recent"]) == ("1997-07-02T00:00:00.000Z", 0)


def test_the_state_says_what_it_rests_on_and_when_it_may_change() -> None:
    """Held and discovered segments together; times in RFC 3339, null for what does not come."""
    told = dossier().document()
    assert {name: told["state"][name] for name in ("sequence", "next_due", "recent_messages")} == {
        "sequence": 3,
        "next_due": "1997-06-09T00:00:00.000Z",
        "recent_messages": 1,
    }
    assert told["state"]["basis"] == {
        "number": 2,
        "in_force_since": "1997-06-02T00:00:00.000Z",
        "definitions_version": 1,
        "model_version": {"behaviour": 5},
    }
    assert told["state"]["segments"] == {
        name: {"since": "1997-06-02T00:00:00.000Z", "expires_at": None} for name in ("active", "behaviour.c3")
    }


def test_nothing_known_is_said_to_be_so() -> None:
    """Neither a public answer nor a state."""
    found = dossier(known=False)
    assert (found.known, found.document()["state"], found.features(MONDAY)) == (False, None, {})


def test_a_former_version_that_is_refused_does_not_keep_a_user_from_being_explained() -> None:
    """It is said of features since when they have been counted, as far back as the definitions can be read."""
    less = SHOP.replace("  recent: {op: count, event: Order Completed, window: 7d}\n", "")
    texts = [SHOP.replace("<=", "=<"), less, SHOP, SHOP]
    versions = [
        DefinitionsVersion(number, text, str(number), MONDAY + number * DAY, "", "", 0)
        for number, text in enumerate(texts, 1)
    ]
    definitions, since = look_back(versions, 4)
    assert definitions.content_hash == read_definitions(SHOP).content_hash
    assert since == {
        "last_order": (2, MONDAY + 2 * DAY),
        "orders": (2, MONDAY + 2 * DAY),
        "recent": (3, MONDAY + 3 * DAY),
        "traits.country": (2, MONDAY + 2 * DAY),
    }
    readable = [versions[1]._replace(version=1), *versions[2:]]
    assert look_back(readable, 3)[1] == {"recent": (2, MONDAY + 3 * DAY)}
