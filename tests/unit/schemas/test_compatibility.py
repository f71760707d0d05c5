"""Contracts keep what the last release promised, and a change that does not is found."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.compatibility import Direction, breaks
from tests.schemas import CONTRACTS, RELEASED, name_of, schemas

OLD: dict[str, Any] = {
    "type": "object",
    "required": ["at", "user"],
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "user": {"allOf": [{"$ref": "#/definitions/User"}], "description": "Whose."},
        "note": {"type": ["string", "null"], "maxLength": 10, "default": None},
        "kind": {"type": "string"},
        "op": {"enum": ["count", "sum"], "type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "pair": {"type": "array", "items": [{"type": "string"}, {"type": "string"}]},
        "more": {"type": "object", "additionalProperties": {"$ref": "#/definitions/User"}},
    },
    "patternProperties": {"^s:": {"type": "string"}},
    "additionalProperties": True,
    "definitions": {
        "User": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "friend": {"$ref": "#/definitions/User"}},
            "required": ["id"],
        }
    },
}


def altered(path: str, value: object) -> dict[str, Any]:
    """Return OLD with another value at a path of keys; None: without it."""
    new = copy.deepcopy(OLD)
    *steps, last = path.split("/")
    place: Any = new
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return new


BROKEN: list[tuple[str, object, Direction, str]] = [
    ("properties/kind", None, "out", "kind: the field is gone"),
    ("properties/kind", None, "in", "kind: the field is gone"),
    ("properties/kind/type", "integer", "in", "kind: string is gone"),
    ("properties/kind/type", ["string", "null"], "out", "kind: may be null now"),
    ("properties/note/type", "string", "in", "note: null is gone"),
    ("required", ["at", "user", "kind"], "in", "the whole: kind is required now"),
    ("required", ["at", "user", "added"], "out", "the whole: added is required now"),
    ("required", ["at"], "out", "the whole: user may be missing now"),
    ("properties/kind/enum", ["rule"], "out", 'kind: only these values now: "rule"'),
    ("properties/kind/const", "rule", "in", 'kind: only these values now: "rule"'),
    ("properties/op/enum", ["count"], "in", 'op: the value "sum" is gone'),
    ("properties/op/enum", ["count", "sum", "top"], "out", 'op: may be "top" now'),
    ("properties/note/maxLength", 5, "in", "note: maxLength was 10, is 5 now"),
    ("properties/kind/minLength", 1, "in", "kind: minLength was none, is 1 now"),
    ("properties/kind/pattern", "^a", "in", 'kind: pattern was none, is "^a" now'),
    ("properties/at/format", None, "out", 'at: format was "date-time", is none now'),
    ("properties/tags/items/type", "integer", "in", "tags[items]: string is gone"),
    ("properties/pair/items", [{"type": "string"}], "out", "pair[items]: has 1 places now, not 2"),
    ("definitions/User/properties/id", None, "out", "user.id: the field is gone"),
    ("definitions/User/required", ["id", "friend"], "in", "user: friend is required now"),
    (
        "properties/more/additionalProperties",
        {"type": "string"},
        "in",
        "more[additionalProperties]: object is gone",
    ),
    ("patternProperties", {}, "out", "[^s:]: fields of this form are gone"),
    ("additionalProperties", False, "in", "[additionalProperties]: was true, is false now"),
    ("dependencies", {"note": ["kind"]}, "in", "the whole: has a rule now (dependencies)"),
]


@pytest.mark.parametrize(("path", "value", "direction", "told"), BROKEN)
def test_what_breaks_readers_or_writers_is_found(
    path: str, value: object, direction: Direction, told: str
) -> None:
    """Each kind of break, by itself, in the words of the report."""
    assert told in breaks(OLD, altered(path, value), direction)


@pytest.mark.parametrize(
    ("path", "value", "direction"),
    [
        ("properties/added", {"type": "integer"}, "out"),
        ("properties/added", {"type": "integer", "enum": [1]}, "in"),
        ("definitions/User/properties/added", {"type": "string"}, "in"),
        ("properties/kind/type", ["string", "null"], "in"),
        ("required", ["at"], "in"),
        ("properties/op/enum", ["count", "sum", "top"], "in"),
        ("properties/note/maxLength", 20, "in"),
        ("properties/kind/description", "Other words.", "out"),
        ("properties/note/default", "x", "out"),
    ],
)
def test_what_only_adds_is_compatible(path: str, value: object, direction: Direction) -> None:
    """New fields, other words, and taking more than before."""
    assert breaks(OLD, altered(path, value), direction) == []


def test_every_schema_is_compatible_with_itself() -> None:
    """Recursive ones among them: the comparison ends."""
    for name, schema in schemas().items():
        assert breaks(schema, schema, "out") == [], name
        assert breaks(schema, schema, "in") == [], name


def test_the_contracts_keep_what_the_last_release_promised() -> None:
    """No field has gone, changed its type or become required, and no contract has gone."""
    releases = sorted(RELEASED.iterdir(), key=lambda path: [int(part) for part in path.name.split(".")])
    current = schemas()
    directions = {name_of(stem): contract.mode for stem, contract in CONTRACTS.items()}
    released = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in releases[-1].iterdir()}
    assert released
    assert released.keys() <= current.keys()
    told = {
        name: found
        for name, schema in released.items()
        if (found := breaks(schema, current[name], directions.get(name, "out")))
    }
    assert told == {}


def test_no_list_of_values_that_are_told_is_closed() -> None:
    """Readers accept new kinds, causes and reasons: a generated client must not turn them into a closed enum."""

    def closed(node: object) -> bool:
        if isinstance(node, dict):
            return "enum" in node or "const" in node or any(map(closed, node.values()))
        return isinstance(node, list) and any(map(closed, node))

    for name, schema in schemas().items():
        stem = name.removesuffix(".schema.json")
        if stem not in CONTRACTS or CONTRACTS[stem].mode == "out":
            assert not closed(schema), name
