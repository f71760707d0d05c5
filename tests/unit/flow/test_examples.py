"""The random examples have everything in them that the language has: counted, so that none goes missing unnoticed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from lark import Token, Tree

from segstream.core.features.registry import REGISTRY, WINDOW
from tests.unit.flow.examples import Case, cases
from tests.unit.flow.values import Happening, tree_of

EXAMPLES: Final = 1_000

WINDOWED: Final = [name for name, operation in REGISTRY.items() if WINDOW[0] in operation.takes]
CONSTRUCTS: Final = {
    "ops": {f"op: {name}" for name in REGISTRY} | {f"window on {op}" for op in WINDOWED},
    "options": {
        "of", "of a list", "event", "event: several", "type", "type with name", "topic", "topic: several", "where",
        "equals", "resolution", "window without resolution", "half_life", "per", "expose",
    },
    "traits": {f"trait: {kind}" for kind in ("text", "boolean", "number", "time")},
    "segments": {
        "leave_when", "min_dwell", "cooldown", "confirm_for", "all four at once", "renamed_from", "group", "discovered",
        "in_segment", "in_segment of a group", "in_segment of what a model found",
    },
    "conditions": {
        *(f"sign {sign}" for sign in ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/")),
        *(f"in a duration: {unit}" for unit in ("ms", "s", "m", "h", "d", "w")),
        *(f"call {name}" for name in ("exists", "coalesce", "since", "in_segment")),
        "contains", "starts_with", "matches", "in", "not in", "and", "or", "not", "minus", "true or false", "text", "number",
        "a written moment", "division by what begins with nought", "a duration of several units",
    },
    "histories": {
        "several versions", "a version without what came before", "two topics", "two partitions", "timer grace", "live",
        "replay", "a clock record", "a late event", "an event from the future", "a repeated event",
        "a repeated event on another topic", "without a message id", "two records of a user at one moment on two topics",
        "a trait of another kind", "a list of values",
    },
}  # fmt: skip
SHAPES: Final = {
    "any_of": "or", "all_of": "and", "negation": "not", "member": "in", "no_member": "not in", "signed": "minus",
    "true": "true or false", "false": "true or false", "text": "text", "number": "number",
}  # fmt: skip


def in_condition(text: str, counted: set[str]) -> Iterator[str]:
    """Yield the constructs of a condition, given the features that begin with nought."""
    for tree in tree_of(text).iter_subtrees():
        parts = [part for part in tree.children if isinstance(part, Token)]
        match str(tree.data):
            case "compare" | "arithmetic":
                yield f"sign {parts[0]}"
                divisor = tree.children[2]
                if parts[0] == "/" and isinstance(divisor, Tree) and str(divisor.children[0]) in counted:
                    yield "division by what begins with nought"
            case "call":
                yield f"call {parts[0]}"
            case "looks":
                yield str(parts[0])
            case "duration":
                units = re.findall("[a-z]+", parts[0])
                yield from (f"in a duration: {unit}" for unit in units)
                if len(units) > 1:
                    yield "a duration of several units"
            case "text" if re.search(r"\d{4}-\d\d-\d\dT", parts[0]):
                yield "a written moment"
            case shape if shape in SHAPES:
                yield SHAPES[shape]


def in_definitions(text: str) -> Iterator[str]:
    """Yield the constructs of a definitions file, as the examples are written."""
    features = re.findall(r"^  (\w+): \{op: (\w+)(.*)\}$", text, re.MULTILINE)
    for _, op, more in features:
        yield from in_feature(op, more)
    traits = re.search(r"^traits: \{(.*)\}$", text, re.MULTILINE)
    yield from (f"trait: {kind}" for kind in re.findall(r": (\w+)", traits[1] if traits else ""))
    group = re.search(r"^groups: .*\[(.*)\]", text, re.MULTILINE)
    grouped = group[1].split(", ") if group else []
    yield from ["group"] if group else []
    yield from ["discovered"] if "\ndiscovered:" in text else []
    counted = {name for name, op, _ in features if op in ("count", "sum")}
    for segment in re.split(r"^  (?=\w+:$)", text.partition("segments:\n")[2], flags=re.MULTILINE)[1:]:
        yield from in_segment(segment, counted, grouped)


def in_feature(op: str, more: str) -> Iterator[str]:
    """Yield the constructs of a feature, given its options as they are written."""
    yield f"op: {op}"
    options = dict(re.findall(r"(\w+): (\[.*?\]|'[^']*'|\"[^\"]*\"|[^,]+)", more))
    yield from options.keys() & CONSTRUCTS["options"]
    yield from (f"{name}: several" for name in ("event", "topic") if options.get(name, "").startswith("["))
    if "window" in options:
        yield f"window on {op}"
    if "window" in options and "resolution" not in options:
        yield "window without resolution"
    if "[]" in options.get("of", ""):
        yield "of a list"
    if options.keys() >= {"type", "name"}:
        yield "type with name"
    yield from in_condition(options.get("where", '"true"').strip('"'), set())


def in_segment(text: str, counted: set[str], grouped: list[str]) -> Iterator[str]:
    """Yield the constructs of a segment, given the features that begin with nought and the segments of the group."""
    written = dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE))
    yield from written.keys() & CONSTRUCTS["segments"]
    if written.keys() >= {"leave_when", "min_dwell", "cooldown", "confirm_for"}:
        yield "all four at once"
    for condition in ("when", "leave_when"):
        yield from in_condition(written.get(condition, '"true"').strip('"'), counted)
    for asked in re.findall(r"in_segment\('(.*?)'\)", text):
        yield "in_segment"
        yield from ["in_segment of what a model found"] if "." in asked else []
        yield from ["in_segment of a group"] if asked in grouped else []


def in_history(case: Case) -> Iterator[str]:
    """Yield what there is in a history."""
    yield "replay" if case.replay else "live"
    names = [set(re.findall(r"^  (\w+): \{op", text, re.MULTILINE)) for _, text in case.versions]
    is_so = {
        "several versions": len(case.versions) > 1,
        "a version without what came before": any(former - later for former, later in pairwise(names)),
        "two topics": len(case.topics) > 1,
        "two partitions": case.partitions > 1,
        "timer grace": case.grace > 0,
        "a clock record": any(isinstance(each, int) for each in case.happenings),
    }
    yield from (what for what, so in is_so.items() if so)
    known: dict[str, Happening] = {}
    moments: dict[tuple[str, int], str] = {}
    for each in case.happenings:
        if isinstance(each, Happening):
            before = known.setdefault(each.message, each)
            there = moments.setdefault((each.user, each.arrival), each.topic)
            yield from in_event(each, before, there)


def in_event(event: Happening, first: Happening, topic: str) -> Iterator[str]:
    """Yield what there is in an event, given the first of its id, and where the user's first of its moment was sent."""
    document = event.document
    is_so = {
        "a late event": event.at < event.arrival,
        "an event from the future": event.at > event.arrival,
        "a repeated event": first is not event,
        "a repeated event on another topic": first.topic != event.topic,
        "without a message id": "messageId" not in document,
        "two records of a user at one moment on two topics": topic != event.topic,
        "a trait of another kind": document.get("traits", {}).get("country") == 7,
        "a list of values": isinstance(document.get("properties", {}).get("lines"), list),
    }
    yield from (what for what, so in is_so.items() if so)


@pytest.mark.timeout(600)
def test_every_construct_occurs_among_a_thousand_examples() -> None:
    """Of each construct of the language, and of each kind of trouble in a history: how many examples have it."""
    found: Counter[str] = Counter()
    pairs = 0

    @given(case=cases(models=True))
    @settings(
        max_examples=EXAMPLES, phases=[Phase.generate], derandomize=True, database=None, deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    def look(case: Case) -> None:
        nonlocal pairs
        found.update({construct for _, text in case.versions for construct in in_definitions(text)})
        found.update(set(in_history(case)))
        pairs += len({each.user for each in case.happenings if isinstance(each, Happening)})

    look()
    for part, constructs in CONSTRUCTS.items():
        counts = {name: found[name] for name in sorted(constructs)}
        print(part, counts)  # noqa: T201 - shown when the test fails, and by -s
        assert [name for name, count in counts.items() if not count] == []
    print(f"{pairs} users' histories under definitions")  # noqa: T201 - the same
    assert found.keys() <= set().union(*CONSTRUCTS.values())
