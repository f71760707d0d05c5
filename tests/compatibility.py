"""Whether a contract's JSON Schema still keeps what an earlier one promised.

Within a schema version fields are only added: none goes, changes its type, or becomes required. What is told
(``out``) may also not become optional, or get a type that readers do not expect, or a closed list of values; what is
taken in (``in``) may be taken more broadly, but nothing may be refused that was taken.

Rules between fields (``if``, ``dependencies`` ...) are compared for being there only: documents that were accepted
show the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

Direction = Literal["in", "out"]
Schema = Mapping[str, Any]

_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
_EXACT: Final = ("pattern", "format", "contentMediaType")
_RULES: Final = ("if", "not", "dependencies", "propertyNames")
_ANY: Final = "anything"


class _Pair(NamedTuple):
    """The two schemas, with where in them one is."""

    old: Schema
    new: Schema
    direction: Direction


def breaks(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """Return in words what of an earlier schema a later one does not keep; nothing: it is compatible.

    Parameters
    ----------
    old, new : dict
        JSON Schemas (draft 7), each with its own definitions.
    direction : {"in", "out"}
        Whether documents are taken in or told.

    Examples
    --------
    >>> old = {"type": "object", "properties": {"at": {"type": "string"}}}
    >>> breaks(old, {"type": "object", "properties": {"at": {"type": "integer"}}}, "out")
    ['at: string is gone', 'at: may be integer now']
    """
    return list(_compare(_Pair(old, new, direction), old, new, "", frozenset()))


def _compare(
    pair: _Pair, old: Schema, new: Schema, path: str, seen: frozenset[tuple[str, str]]
) -> Iterator[str]:
    here = (str(old.get("$ref")), str(new.get("$ref")))
    if "$ref" in old and here in seen:
        return
    seen |= {here}
    olds, news = _branches(old, pair.old), _branches(new, pair.new)
    where = path or "the whole"
    for kind, branch in olds.items():
        if kind in news:
            yield from _same_kind(pair, branch, news[kind], path, seen)
        elif _ANY not in news:
            yield f"{where}: {kind} is gone"
    if pair.direction == "out" and _ANY not in olds:
        yield from (f"{where}: may be {kind} now" for kind in news if kind not in olds)


def _branches(node: Schema, whole: Schema) -> dict[str, Schema]:
    """Return what a node may be, by type."""
    node = _resolved(node, whole)
    if "anyOf" in node and all(
        isinstance(part, dict) and ("type" in part or "$ref" in part) for part in node["anyOf"]
    ):
        rest = {name: value for name, value in node.items() if name != "anyOf"}
        branches = [_branches({**rest, **_resolved(part, whole)}, whole) for part in node["anyOf"]]
        return {kind: branch for found in branches for kind, branch in found.items()}
    kinds = node.get("type", _ANY)
    return dict.fromkeys([kinds] if isinstance(kinds, str) else kinds, node)


def _resolved(node: Schema, whole: Schema) -> Schema:
    if "$ref" in node:
        target: Any = whole
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return _resolved(target, whole)
    parts = node.get("allOf", [])
    if len(parts) == 1 and "$ref" in parts[0]:
        return {
            **_resolved(parts[0], whole),
            **{name: value for name, value in node.items() if name != "allOf"},
        }
    return node


def _same_kind(
    pair: _Pair, old: Schema, new: Schema, path: str, seen: frozenset[tuple[str, str]]
) -> Iterator[str]:
    where = path or "the whole"
    yield from _values(pair, old, new, where)
    yield from _limits(pair, old, new, where)
    yield from (f"{where}: has a rule now ({rule})" for rule in _rules(new) - _rules(old))
    yield from _required(pair, old, new, where)
    properties = new.get("properties", {})
    for name, part in old.get("properties", {}).items():
        inner = f"{path}.{name}".removeprefix(".")
        if name in properties:
            yield from _compare(pair, part, properties[name], inner, seen)
        else:
            yield f"{inner}: the field is gone"
    for keyword in ("items", "additionalProperties"):
        yield from _nested(pair, old.get(keyword, True), new.get(keyword, True), f"{path}[{keyword}]", seen)
    patterns = new.get("patternProperties", {})
    for pattern, part in old.get("patternProperties", {}).items():
        inner = f"{path}[{pattern}]"
        if pattern in patterns:
            yield from _compare(pair, part, patterns[pattern], inner, seen)
        else:
            yield f"{inner}: fields of this form are gone"


def _required(pair: _Pair, old: Schema, new: Schema, where: str) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    yield from (f"{where}: {name} is required now" for name in sorted(after - before))
    if pair.direction == "out":
        yield from (f"{where}: {name} may be missing now" for name in sorted(before - after))


def _nested(pair: _Pair, old: Any, new: Any, path: str, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path}: has {len(new)} places now, not {len(old)}"
        for place, (one, two) in enumerate(zip(old, new, strict=False)):
            yield from _compare(pair, one, two, f"{path}[{place}]", seen)
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from _compare(pair, old, new, path, seen)
    elif old != new and not (pair.direction == "in" and new is True):
        yield f"{path}: was {_short(old)}, is {_short(new)} now"


def _values(pair: _Pair, old: Schema, new: Schema, where: str) -> Iterator[str]:
    before, after = _listed(old), _listed(new)
    if after is None:
        if before is not None and pair.direction == "out":
            yield f"{where}: may be any value now"
    elif before is None:
        yield f"{where}: only these values now: {', '.join(sorted(after))}"
    else:
        yield from (f"{where}: the value {value} is gone" for value in sorted(before - after))
        if pair.direction == "out":
            yield from (f"{where}: may be {value} now" for value in sorted(after - before))


def _listed(node: Schema) -> set[str] | None:
    values = [node["const"]] if "const" in node else node.get("enum")
    return None if values is None else {json.dumps(value) for value in values}


def _limits(pair: _Pair, old: Schema, new: Schema, where: str) -> Iterator[str]:
    for name in (*_UPPER, *_LOWER, *_EXACT):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        looser = after is None or (
            before is not None
            and ((name in _UPPER and after > before) or (name in _LOWER and after < before))
        )
        if not (looser and pair.direction == "in"):
            yield f"{where}: {name} was {_short(before)}, is {_short(after)} now"


def _rules(node: Schema) -> set[str]:
    rules = {name for name in _RULES if name in node}
    return rules | ({"allOf"} if len(node.get("allOf", ())) > 1 else set())


def _short(value: object) -> str:
    return "none" if value is None else json.dumps(value)[:60]
