"""What ``segstream validate`` shows of a file: what was understood, or each mistake with its place."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Any, Final

from segstream.cli.arguments import read
from segstream.core.definitions import Definitions, find_mistakes, read_definitions
from segstream.core.time import format_duration
from segstream.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

    from segstream_schemas.definitions import SourceDefinition

_LITERAL: Final = ("event", "name", "equals")
"""What of a feature is compared as it is written, blanks and all."""


def check(file: Path) -> tuple[Definitions | None, list[DefinitionError]]:
    """Return a file's definitions, None when there are mistakes, and those."""
    try:
        text = read(file)
    except DefinitionError as error:
        return None, [error]
    mistakes = find_mistakes(text, str(file))
    return (None, mistakes) if mistakes else (read_definitions(text, str(file)), [])


def with_excerpt(mistake: DefinitionError) -> str:
    """Return a mistake with its line of the file and a caret under the place."""
    return "\n".join([str(mistake), *(f"  {line}" for line in mistake.excerpt().splitlines())])


def summary(file: Path, definitions: Definitions) -> str:
    """Return what was understood, each part in a line."""
    document, lines = definitions.document, [f"{file}: valid"]
    lines += _section("sources", [_source(name, item) for name, item in document.sources.items()])
    lines += _section(
        "features", [f"{name} = {_feature(feature)}" for name, feature in document.features.items()]
    )
    lines += _section("traits", [f"{name}: {kind}" for name, kind in document.traits.items()])
    segments = []
    for segment in definitions.segments:
        leave = f"; leaves when {segment.leave_when.source}" if segment.leave_when is not None else ""
        dwell = f"; stays {format_duration(segment.min_dwell)} at least" if segment.min_dwell else ""
        confirm = (
            f"; enters after {format_duration(segment.confirm_for)} of that" if segment.confirm_for else ""
        )
        cool = f"; not again for {format_duration(segment.cooldown)}" if segment.cooldown else ""
        segments.append(f"{segment.name}: {segment.when.source}{confirm}{leave}{dwell}{cool}")
    lines += _section("segments", segments) or ["  no segments"] * (not definitions.discovered)
    lines += _section(
        "groups", [f"{group.name}: first of {', '.join(group.segments)}" for group in definitions.groups]
    )
    lines += _section(
        "discovered",
        [
            f"{model.name}: {model.model}, {model.clusters} clusters by {', '.join(item.text for item in model.inputs)}"
            for model in definitions.discovered
        ],
    )
    return "\n".join(lines)


def _section(title: str, items: list[str]) -> list[str]:
    return [f"  {len(items)} {title[:-1] if len(items) == 1 and title.endswith('s') else title}"] * bool(
        items
    ) + [f"    {item}" for item in items]


def _source(name: str, item: SourceDefinition) -> str:
    topic = item.topic or name
    keyed = "" if item.keyed else ", not keyed by user"
    if item.type is None:
        return f"{name}: events from {topic}{keyed}"
    named = item.event or item.name or item.event_from or item.name_from
    title = f" {_quoted(named)}" if item.event or item.name else f" called {named}" if named else ""
    users = " else ".join(filter(None, (item.user, item.anonymous)))
    fields = ", ".join(f"{field} = {path}" for field, path in (item.properties or item.traits).items())
    return f"{name}: {item.type}{title} from {topic}{keyed}, user {users}{': ' if fields else ''}{fields}"


def _feature(feature: Any) -> str:
    told = feature.model_dump(exclude_none=True, exclude_defaults=True)
    words = [told.pop("op")]
    told.pop("description", None)
    exposed = ", exposed" if told.pop("expose", False) else ""
    for name, value in told.items():
        values = value if isinstance(value, list | tuple) else [value]
        words.append(f"{name} {' or '.join(_quoted(it) if name in _LITERAL else str(it) for it in values)}")
    return f"{words[0]}{' ' if words[1:] else ''}{', '.join(words[1:])}{exposed}"


def _quoted(value: Any) -> str:
    """Return a value so that one sees where it begins and ends."""
    return dumps(value, ensure_ascii=False)


def document(file: Path, definitions: Definitions | None, mistakes: list[DefinitionError]) -> dict[str, Any]:
    """Return the same for programs."""
    told: dict[str, Any] = {
        "file": str(file),
        "valid": definitions is not None,
        "mistakes": [
            {"line": mistake.line, "column": mistake.column, "message": mistake.message}
            for mistake in mistakes
        ],
    }
    if definitions is not None:
        told |= {
            "content_hash": definitions.content_hash,
            "definitions": definitions.document.model_dump(
                mode="json", exclude_none=True, exclude_defaults=True
            ),
        }
    return told
