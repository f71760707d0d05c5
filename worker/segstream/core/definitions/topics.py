"""The section ``sources`` -> how each topic's documents become events; every mistake is told at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.core.sources import Constant, Mapping, PathError, TopicSource, compile_path
from segstream_schemas.definitions import (
    MAPPED,
    NAMED,
    PATHS,
    TOLD_IN_TRAITS,
    DefinitionsDocument,
    SourceDefinition,
)

if TYPE_CHECKING:
    from collections.abc import Mapping as AnyMapping

    from segstream.core.definitions.source import Path as Place
    from segstream.core.definitions.source import Source
    from segstream.core.sources import Path

_EXAMPLES: Final = {"event": "event: Survey Answered", "user": "user: customer.id"}


class Topics:
    """Compiles the sources of one document; ``source.mistakes`` grows as it goes.

    Parameters
    ----------
    source : Source
        The file, for the places of mistakes.
    document : DefinitionsDocument
        Its content, right in shape.
    """

    def __init__(self, source: Source, document: DefinitionsDocument) -> None:
        self._source, self._document = source, document

    def sources(self) -> tuple[TopicSource, ...]:
        """Return what is known of topics, in the file's order; those with mistakes are left out."""
        found: list[TopicSource] = []
        taken: dict[str, str] = {}
        for name, item in self._document.sources.items():
            topic, place = item.topic or name, ("sources", name)
            before = len(self._source.mistakes)
            if topic in taken:
                key = item.topic is None
                where: Place = place if key else (*place, "topic")
                self._tell(
                    f"the topic {topic!r} has the source {taken[topic]!r} already; it can have one",
                    where,
                    key=key,
                )
            taken.setdefault(topic, name)
            mapping = self._mapping(name, item, place)
            if len(self._source.mistakes) == before:
                found.append(TopicSource(name, topic, item.keyed, mapping))
        return tuple(found)

    def _tell(self, message: str, place: Place, *, key: bool = False) -> None:
        self._source.mistakes.append(self._source.mistake(message, place, key=key))

    def _mapping(self, name: str, item: SourceDefinition, place: Place) -> Mapping | None:
        given = [key for key in MAPPED if getattr(item, key)]
        if item.type is None:
            if given:
                self._tell(
                    f"{given[0]} needs type: without it the documents of a source are events already",
                    (*place, given[0]),
                    key=True,
                )
            elif item.keyed:
                self._tell(
                    f"the source {name!r} says nothing; give it a type and a user, or keyed: false",
                    place,
                    key=True,
                )
            return None
        self._check(name, item, place)
        for key in ("event", "name"):
            if getattr(item, key):
                self._source.misspelt(getattr(item, key), (*place, key))
        paths = {key: self._path(getattr(item, key), (*place, key)) for key in given if key in PATHS}
        for key in ("user", "anonymous"):
            path = paths.get(key)
            if path is not None and path.constant:
                self._tell(
                    f"{key}: {path.text} is the same for everybody; write where the id is", (*place, key)
                )
        repeated = paths.get("message_id")
        if repeated is not None and repeated.constant:
            self._tell(
                f"message_id: {repeated.text} is the same for every document, so all but the first of a user would be "
                "dropped as repeats; write where the id is",
                (*place, "message_id"),
            )
        within = "traits" if item.type in TOLD_IN_TRAITS else "properties"
        values = self._values(getattr(item, within), (*place, within))
        named = NAMED.get(item.type)
        constant = getattr(item, named) if named else None
        title: Constant | Path | None = Constant(constant) if constant else paths.get(f"{named}_from")
        return Mapping(
            name,
            item.topic or name,
            item.type,
            name=title,
            user=paths.get("user"),
            anonymous=paths.get("anonymous"),
            timestamp=paths.get("timestamp"),
            unit=item.timestamp_unit,
            message_id=paths.get("message_id"),
            values=values,
        )

    def _check(self, name: str, item: SourceDefinition, place: Place) -> None:
        """Tell what does not go together."""
        kind, named = str(item.type), NAMED.get(item.type) if item.type else None
        if item.user is None and item.anonymous is None:
            self._needs(name, "user", place)
        if kind == "track" and not item.event and not item.event_from:
            self._needs(name, "event", place)
        for key in ("event", "name"):
            for each in (key, f"{key}_from"):
                if getattr(item, each) and key != named:
                    hint = f"; write {named}" if named else "; they have no names"
                    self._tell(f"{each} is not for type: {kind}{hint}", (*place, each), key=True)
        if named and getattr(item, named) and getattr(item, f"{named}_from"):
            self._tell(
                f"{named} and {named}_from exclude each other; keep one", (*place, f"{named}_from"), key=True
            )
        right, wrong = ("traits", "properties") if kind in TOLD_IN_TRAITS else ("properties", "traits")
        if getattr(item, wrong):
            self._tell(f"{wrong} are not for type: {kind}; write {right}", (*place, wrong), key=True)
        if item.timestamp_unit and not item.timestamp:
            self._tell(
                "timestamp_unit needs timestamp: where the time is", (*place, "timestamp_unit"), key=True
            )

    def _needs(self, name: str, key: str, place: Place) -> None:
        self._tell(f"the source {name!r} needs {key}, for instance {_EXAMPLES[key]}", place, key=True)

    def _values(self, written: AnyMapping[str, str], place: Place) -> dict[str, Path]:
        found = {field: self._path(text, (*place, field)) for field, text in written.items()}
        return {field: path for field, path in found.items() if path is not None}

    def _path(self, text: str, place: Place) -> Path | None:
        try:
            return compile_path(text)
        except PathError as error:
            message = f"{place[-1]}: {error.message}"
            self._source.mistakes.append(self._source.mistake(message, place, offset=error.offset))
            return None
