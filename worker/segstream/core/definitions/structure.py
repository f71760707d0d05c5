"""Plain data -> the pydantic document, its errors turned into places in the file and words for people."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from segstream.core.definitions.source import Path, Source
from segstream.errors import DefinitionError
from segstream_schemas.definitions import (
    DefinitionsDocument,
    DiscoveredDefinition,
    FeatureDefinition,
    GroupDefinition,
    SegmentDefinition,
)

_PARTS: Final[dict[str, tuple[str, type[BaseModel] | None]]] = {
    "features": ("feature", FeatureDefinition),
    "traits": ("trait", None),
    "segments": ("segment", SegmentDefinition),
    "groups": ("group", GroupDefinition),
    "discovered": ("discovered segmentation", DiscoveredDefinition),
}
_DURATIONS: Final = ("window", "resolution", "half_life", "per", "min_dwell")
_LISTS: Final = {"first_of": "[active, lapsed]", "features": "[orders, since(last_order)]", "tags": "[money]"}
_EITHER: Final = ("event", "name", "topic")


def read_document(source: Source) -> DefinitionsDocument | None:
    """Check the shape of a document; what is wrong is added to ``source.mistakes``.

    Returns
    -------
    DefinitionsDocument or None
        None when there are mistakes.
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
        case "extra_forbidden":
            return f"unknown key {field!r} in {_whole(path[:-1])}{_near(field, _keys(path[:-1]), 'known keys are')}"
        case "model_type" | "dict_type" if value is None:
            return f"{_whole(path)} is empty"
        case "model_type" | "dict_type":
            return f"{_whole(path)} must be a mapping, key: value"
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]" or field == "first_of":
            name = path[-1] if detail["loc"][-1] == "[key]" else value
            letters = "letters, digits and _" if path[0] == "traits" else "small letters, digits and _"
            return f"{name!r} is not a name; use {letters}, beginning with a letter, at most 64"
        case "string_pattern_mismatch" if field in _DURATIONS:
            unit = (
                f"; give it a unit, for instance {value}d"
                if str(value).isdigit()
                else "; write for instance 90s, 15m, 12h, 30d or 8w"
            )
            return f"{field}: {value!r} is not a duration{unit}"
        case "string_pattern_mismatch":
            return f"{field}: {value!r} is not a path; write keys joined by dots, for instance properties.revenue"
        case "literal_error" if field == "version":
            return f"version must be 1, not {value!r}"
        case "literal_error":
            known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
            what = "type" if path[0] == "traits" else field
            return f"unknown {what} {value!r}{_near(str(value), known, 'known are')}"
        case "too_short" | "string_too_short":
            return f"{field} must not be empty"
        case "too_long" | "string_too_long":
            return f"{_whole(path) if len(path) == 1 else field} is too long; at most {context['max_length']} are allowed"
        case "greater_than_equal" | "less_than_equal" | "int_type":
            return f"{field} must be a whole number between 2 and 64, not {value!r}"
        case "bool_type":
            return f"{field} must be true or false, not {value!r}"
        case "string_type" | "tuple_type":
            return _wrong_text(field, value, in_list=isinstance(path[-1], int))
        case _:
            return f"{field}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _wrong_text(field: str, value: Any, *, in_list: bool) -> str:
    if value is None:
        return f"{field} is empty; write something or remove it"
    shown = str(value).lower() if isinstance(value, bool) else value
    if field in _DURATIONS:
        return f"{field}: {shown} has no unit; write for instance {shown}d"
    if field in _LISTS and not in_list:
        return f"{field} must be a list, for instance {_LISTS[field]}"
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
