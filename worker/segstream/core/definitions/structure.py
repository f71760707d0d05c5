"""Plain data -> the pydantic document, its errors turned into places in the file and words for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from segstream.core.definitions.names import slip
from segstream.core.definitions.source import Path, Source
from segstream.core.expressions.hints import about_unit
from segstream.errors import DefinitionError
from segstream_schemas.definitions import (
    PATHS,
    DefinitionsDocument,
    DiscoveredDefinition,
    FeatureDefinition,
    GroupDefinition,
    SegmentDefinition,
    SourceDefinition,
)

_PARTS: Final[dict[str, tuple[str, type[BaseModel] | None]]] = {
    "sources": ("source", SourceDefinition),
    "features": ("feature", FeatureDefinition),
    "traits": ("trait", None),
    "segments": ("segment", SegmentDefinition),
    "groups": ("group", GroupDefinition),
    "discovered": ("discovered segmentation", DiscoveredDefinition),
}
_DURATIONS: Final = ("window", "resolution", "half_life", "per", "min_dwell", "cooldown", "confirm_for")
_AMOUNT: Final = re.compile(r"\d+(\.\d+)? *[a-z]+", re.ASCII | re.IGNORECASE)
_ANY_DURATION: Final = "write for instance 90s, 15m, 12h, 30d or 8w"
_LISTS: Final = {"first_of": "[active, lapsed]", "features": "[orders, since(last_order)]", "tags": "[money]"}
_NAMES: Final = ("first_of", "renamed_from")
_EITHER: Final = ("event", "name", "topic")


_WORD: Final = re.compile(r"[\w -]*")
_FIRST: Final[dict[Path, str]] = {
    ("segments",): "; a segment begins with when:",
    ("features",): "; a feature begins with op:",
    ("sources",): "; a source begins with type:",
}
_SYNONYMS: Final = {
    **dict.fromkeys(("avg", "average"), "mean"),
    **dict.fromkeys(("total", "add"), "sum"),
    **dict.fromkeys(("unique", "count_distinct", "uniq"), "distinct"),
    **dict.fromkeys(("latest", "newest"), "last"),
    **dict.fromkeys(("string", "str", "varchar"), "text"),
    **dict.fromkeys(("int", "integer", "float", "decimal"), "number"),
    **dict.fromkeys(("bool", "flag"), "boolean"),
    **dict.fromkeys(("date", "datetime", "timestamp"), "time"),
    **dict.fromkeys(("second", "seconds", "sec", "epoch", "unix"), "s"),
    **dict.fromkeys(("millisecond", "milliseconds", "millis"), "ms"),
}


def read_document(source: Source) -> DefinitionsDocument | None:
    """Check the shape of a document; what is wrong is added to ``source.mistakes``.

    Returns
    -------
    DefinitionsDocument or None
        Without the features, segments and so on that are wrong, which ``source.broken`` names; None when more than
        single ones of them is wrong.
    """
    data = source.data
    if isinstance(data, dict):
        # A section with nothing under it yet is how every file begins.
        data = {key: value for key, value in data.items() if not (value is None and key in _PARTS)}
    try:
        return DefinitionsDocument.model_validate(data)
    except ValidationError as error:
        told: dict[Path, DefinitionError] = {}
        for detail in error.errors(include_url=False):
            path, key = _path(source.data, detail["loc"], detail["type"])
            if path not in told:
                told[path] = source.mistake(_message(detail, path, _at(source.data, path)), path, key=key)
        source.mistakes.extend(told.values())
        return _rest(source, data, {path[:2] for path in told})


def _rest(source: Source, data: Any, wrong: set[Path]) -> DefinitionsDocument | None:
    """Return the document without its wrong parts, so that mistakes in the others are told in the same go."""
    whole = {path for path in wrong if len(path) < 2} - {("version",)}  # noqa: PLR2004 (a section and a name in it)
    if whole or not isinstance(data, dict):
        return None
    rest = {key: {**value} if key in _PARTS else value for key, value in data.items()}
    rest["version"] = 1
    for path in wrong - {("version",)}:
        section, name = str(path[0]), str(path[1])
        source.broken.add((section, name))
        rest[section].pop(name, None)
    try:
        return DefinitionsDocument.model_validate(rest)
    except ValidationError:
        return None


def _path(data: Any, loc: tuple[int | str, ...], error: str) -> tuple[Path, bool]:
    """Return the part of the data an error is about, and whether its key is meant."""
    path: Path = ()
    for step in loc:
        if step == "[key]":
            return path, True
        if (isinstance(data, dict) and step in data) or (isinstance(data, list) and isinstance(step, int)):
            path = (*path, step)
            data = _at(data, (step,))
        elif error == "missing":
            return (*path, step), True
        else:  # pydantic's name for a branch of a union
            break
    return path, error == "extra_forbidden"


def _at(data: Any, path: Path) -> Any:
    for step in path:
        if isinstance(data, list) and isinstance(step, int):
            data = data[step]
        else:
            data = data.get(step) if isinstance(data, dict) else None
    return data


def _message(detail: Mapping[str, Any], path: Path, value: Any) -> str:  # noqa: C901, PLR0911, PLR0912 (one line per kind of error)
    kind, field, context = detail["type"], _field(path), detail.get("ctx", {})
    match kind:
        case "missing":
            return f"{_whole(path[:-1])} needs {field!r}"
        case "extra_forbidden" if not _WORD.fullmatch(field):
            return f"{field!r} is no key; {_about_key(field)}"
        case "extra_forbidden":
            return f"unknown key {field!r} in {_whole(path[:-1])}{_near(field, _keys(path[:-1]), 'known keys are')}"
        case "model_type" | "dict_type" if value is None:
            return f"{_whole(path)} is empty"
        case "model_type" | "dict_type":
            return f"{_whole(path)} must be a mapping, key: value{_FIRST.get(path[:-1], '')}"
        case "string_pattern_mismatch" if path[0] == "sources" and len(path) > 3:  # noqa: PLR2004 (one of its fields)
            return (
                f"{path[-1]!r} cannot be the name of a field: no dots, blanks or brackets, at most 64 signs"
            )
        case "string_pattern_mismatch" if path[0] == "sources" and field == "topic":
            return f"topic: {value!r} is no topic of Kafka: letters, digits, . _ and -, at most 249"
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]" or field in _NAMES:
            name = path[-1] if detail["loc"][-1] == "[key]" else value
            letters = "letters, digits and _" if path[0] == "traits" else "small letters, digits and _"
            if " {" in str(name):
                return f"{name!r} is not a name; write a : before the {{"
            if ":" in str(name):
                return f"{name!r} is not a name; write a blank after the :"
            if (found := slip(str(name), blanks=False)) is not None:
                return f"{name!r} is not a name; {found.message}"
            return f"{name!r} is not a name; use {letters}, beginning with a letter, at most 64"
        case "string_pattern_mismatch" if field in _DURATIONS:
            return f"{field}: {value!r} is not a duration; {_about_duration(str(value))}"
        case "string_pattern_mismatch":
            return f"{field}: {value!r} is not a path; write keys joined by dots, for instance properties.revenue"
        case "literal_error" if field == "version":
            return f"version must be 1, not {value!r}"
        case "literal_error":
            known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
            what = "type" if path[0] == "traits" else field
            meant = _SYNONYMS.get(str(value).lower(), "")
            if meant in known:
                return f"unknown {what} {value!r}; did you mean {meant!r}?"
            return f"unknown {what} {value!r}{_near(str(value), known, 'known are')}"
        case "too_short" | "string_too_short":
            return f"{field} must not be empty"
        case "too_long" | "string_too_long":
            what = "characters" if kind == "string_too_long" else "entries"
            whole = _whole(path) if len(path) == 1 else field
            return f"{whole} is too long; at most {context['max_length']} {what} are allowed"
        case "string_unicode":
            return f"{field} has half of a character (U+D800 to U+DFFF); write the whole one"
        case "greater_than_equal" | "less_than_equal" | "int_type":
            return f"{field} must be a whole number between 2 and 64, not {value!r}"
        case "bool_type":
            return f"{field} must be true or false, not {value!r}"
        case "string_type" | "tuple_type":
            is_path = path[0] == "sources" and (len(path) > 3 or field in PATHS)  # noqa: PLR2004 (as above)
            if is_path and value is not None:
                return f"{field}: {_about_path(field, value)}"
            return _wrong_text(field, value, in_list=isinstance(path[-1], int))
        case _:
            return f"{field}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _about_key(field: str) -> str:
    if "\u00a0" in field:
        return "it has blanks that do not break, as word processors make them; type them anew"
    if field == "<<":
        return "keys are not merged; write them out, or repeat the whole by an alias: name: *other"
    if ":" in field:
        return "write a blank after the :"
    if "=" in field and "==" not in field:
        return "write key: value"
    return "in { } a text with a comma needs quotes around it"


def _about_duration(text: str) -> str:
    if text.startswith("-"):
        return "it cannot be negative"
    if text.isdigit():
        return f"give it a unit, for instance {text}d"
    written = about_unit("", text) if _AMOUNT.fullmatch(text) else None
    if written is None:
        return _ANY_DURATION
    return "it is too long" if written[0].startswith(f"write {text},") else written[0]


def _about_path(field: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {where}" for key, where in list(value.items())[:2])
        return f'there is one level of fields; for an object write "{{{inner}}}" in quotes'
    if isinstance(value, list):
        return "write one path; of several, the first that is there: a || b"
    shown = str(value).lower() if isinstance(value, bool) else value
    return f"write where it is, or for a constant {field}: '`{shown}`'"


def _wrong_text(field: str, value: Any, *, in_list: bool) -> str:
    if value is None:
        return f"{field} is empty; write something or remove it"
    shown = str(value).lower() if isinstance(value, bool) else value
    if field in _DURATIONS:
        amount = type(value) is int and value > 0
        advice = (
            f"has no unit; write for instance {shown}d" if amount else f"is not a duration; {_ANY_DURATION}"
        )
        return f"{field}: {shown} {advice}"
    if field in _LISTS and not in_list:
        return f"{field} must be a list, for instance {_LISTS[field]}"
    if isinstance(value, dict | list) and field == "equals":
        return "equals must be a text, a number, true or false, or a list of such"
    if isinstance(value, dict | list):
        return f"{field} must be a text{' or a list of texts' if field in _EITHER else ''}"
    return f'{field} must be a text, not {shown}; put it in quotes: "{shown}"'


def _field(path: Path) -> str:
    return next((step for step in reversed(path) if isinstance(step, str)), "the file")


def _whole(path: Path) -> str:
    if len(path) < 2:  # noqa: PLR2004 (a section and a name in it)
        return str(path[0]) if path else "the file"
    return f"the {_PARTS[str(path[0])][0]} {path[1]!r}" if path[0] in _PARTS else str(path[-1])


def _keys(path: Path) -> list[str]:
    model = _PARTS[str(path[0])][1] if path else DefinitionsDocument
    return list(model.model_fields) if model else []


def _near(word: str, known: list[str], otherwise: str) -> str:
    close = get_close_matches(word.lower(), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; {otherwise} {', '.join(known)}"
