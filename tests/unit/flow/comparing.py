"""What comparing the flow with a plain recount takes: how many examples, the recount, and the comparison."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from segstream.core.time import format_time, parse_time
from tests.unit.flow.examples import Case
from tests.unit.flow.plain import Plain, Told
from tests.unit.flow.values import Centres, Happening
from tests.unit.flow.worlds import compiled

LONG = "SEGSTREAM_FLOW_EXAMPLES" in os.environ
"""Whether this is a long run: `make properties`."""

PHASES = [phase for phase in Phase if LONG or phase not in {Phase.shrink, Phase.explain}]
"""Finding a smaller example takes minutes, so only a long run does it: to have it, set the number of examples."""


def examples(count: int) -> settings:
    """Return the settings of a test of so many examples, or as many as a long run asks for.

    An example is one set of definitions (of one to three versions) with one history of three users. A failure prints
    what reproduces it.
    """
    return settings(
        max_examples=int(os.environ.get("SEGSTREAM_FLOW_EXAMPLES", count)),
        deadline=None,
        phases=PHASES,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


def seconds(count: int) -> int:
    """Return how long a test of so many examples may take: many times what it should."""
    asked = int(os.environ.get("SEGSTREAM_FLOW_EXAMPLES", count))
    return 600 + 2 * asked if LONG else 900


def recount(case: Case, number: int, order: Sequence[Happening | int] | None = None) -> Plain:
    """Return what the plain way makes of a partition, whose records were applied in an order."""
    versions = [(at, compiled(text).document) for at, text in case.versions]
    found = {
        each.name: Centres(
            list(zip(each.means, each.scales, strict=True)), dict(zip(each.ids, each.centers, strict=True))
        )
        for each in case.snapshots
    }
    plain = Plain(versions, replay=case.replay, grace=case.grace, found=found)
    for each in [each for _, each in case.applied(number)] if order is None else order:
        if isinstance(each, int):
            plain.pass_time(each, inclusive=True)
        else:
            plain.happen(each)
    if case.replay:
        plain.pass_time(case.end, inclusive=True)
    else:
        plain.pass_time(case.end)
    for person in plain.people.values():
        plain.interrupt(person, plain.clock - case.grace + (1 if case.replay else 0))
    return plain


def worded(told: Told, models: dict[str, int]) -> dict[str, Any]:
    """Return a plain change in the words of the contract, under these versions of the models."""
    cause = dict(told.cause)
    if "due" in cause:
        cause["due"] = format_time(cause["due"])
    return {
        "user_id": told.user,
        "incarnation": 1,
        "sequence": told.sequence,
        "segment": told.segment,
        "kind": "discovered" if "." in told.segment else "rule",
        "group": told.group,
        "change": told.change,
        "previous": told.previous,
        "at": format_time(told.at),
        "cause": cause,
        "segments": told.segments,
        "definitions_version": told.version,
        "model_version": models,
        "reasons": told.reasons,
    }


def essence(change: dict[str, Any]) -> dict[str, Any]:
    """Return a published change without what the plain way does not work out."""
    left_out = {"schema_version", "id", "processed_at", "expires_at"}
    reasons = [
        (
            why["condition"]
            if why["inputs"] or not why["condition"].endswith(" is over")
            else why["condition"].split()[0],
            why["before"],
            why["after"],
        )
        for why in change["reasons"]
    ]
    return {**{key: value for key, value in change.items() if key not in left_out}, "reasons": reasons}


def check(case: Case, plain: Plain, expected: dict[str, Any]) -> None:
    """Check all that a world has told against what the plain way makes of it."""
    models = {each.name: each.number for each in case.snapshots}
    assert {user: [essence(change) for change in told] for user, told in expected["changes"].items()} == {
        name: [worded(told, models) for told in person.changes]
        for name, person in plain.people.items()
        if person.changes
    }
    check_ends(plain, expected["changes"])
    check_answers(plain, expected)


def check_ends(plain: Plain, changes: dict[str, list[dict[str, Any]]]) -> None:
    """Check that a membership that is left alone ends when it said it would."""
    for name, person in plain.people.items():
        published = changes.get(name, [])
        for index, (told, change) in enumerate(zip(person.changes, published, strict=True)):
            if change["expires_at"] is None or told.change != "entered":
                assert change["expires_at"] is None
                continue
            ends = parse_time(change["expires_at"])
            later = person.changes[index + 1 :]
            left = next((each for each in later if each.segment == told.segment), None)
            if left is not None and left.cause["type"] == "timer" and left.until == told.until:
                assert left.at == ends
            else:
                assert ends >= told.until, "it should have ended before anything else happened"


def check_answers(plain: Plain, expected: dict[str, Any]) -> None:
    """Check sequences, running answers, the read model and the compacted topic."""
    everyone: dict[str, dict[str, int]] = {}
    for name, person in plain.people.items():
        told = expected["changes"].get(name, [])
        assert [change["sequence"] for change in told] == list(range(1, len(told) + 1))
        running: set[str] = set()
        for change in told:
            if change["change"] == "renamed":
                running.remove(change["previous"])
            (running.remove if change["change"] == "exited" else running.add)(change["segment"])
            assert change["segments"] == sorted(running)
        held = {
            field[2:]: _since(value)
            for field, value in expected["answers"][name].items()
            if field[:2] == "s:"
        }
        assert held == person.held
        topic = expected["memberships"].get(name, {}).get("segments", {})
        assert {segment: parse_time(stay["since"]) for segment, stay in topic.items()} == person.held
        for segment, since in person.held.items():
            everyone.setdefault(segment, {})[name] = since
    assert expected["members"] == everyone
    assert expected["users"].keys() == plain.people.keys()


def _since(value: str) -> int:
    return parse_time(json.loads(value)["since"])
