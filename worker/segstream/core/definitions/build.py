"""The document -> compiled definitions; every mistake is told at its place in the file."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Final, TypeVar

from segstream.core.definitions.meaning import content_hash, fingerprint
from segstream.core.definitions.model import (
    Definitions,
    Discovered,
    Feature,
    Group,
    Segment,
    Selector,
    reader,
)
from segstream.core.definitions.source import Path, Source
from segstream.core.expressions import (
    ExpressionError,
    Number,
    Scope,
    compile_condition,
    compile_number,
)
from segstream.core.features import FeatureSpec, build
from segstream.core.time import CENTURY, DAY, parse_duration
from segstream.core.types import ValueKind
from segstream_schemas.definitions import DefinitionsDocument, FeatureDefinition

_RESERVED: Final = frozenset({"and", "or", "not", "in", "true", "false", "since", "traits"})
_NEEDED: Final = {
    "of": "where the value is in the event, for instance of: properties.revenue",
    "half_life": "after how long an event counts half, for instance half_life: 7d",
}
_OPTIONS: Final = ("window", "resolution", "half_life", "per", "of")
_Compiled = TypeVar("_Compiled")


class Builder:
    """Compiles one document; ``source.mistakes`` grows as it goes.

    Parameters
    ----------
    source : Source
        The file, for the places of mistakes.
    document : DefinitionsDocument
        Its content, right in shape.
    """

    def __init__(self, source: Source, document: DefinitionsDocument) -> None:
        self.source, self.document = source, document
        self.scope: Scope = {}

    def build(self) -> Definitions | None:
        """Compile features, then groups, then what reads them; None when there are mistakes.

        Conditions are not looked at while features are wrong: half their mistakes would be consequences.
        """
        features = self._features()
        groups = self._groups()
        self._check_names()
        if self.source.mistakes:
            return None
        self.scope = {feature.name: (feature.index, feature.accumulator) for feature in features}
        segments = self._segments({name: group.name for group in groups for name in group.segments})
        discovered = self._discovered()
        if self.source.mistakes:
            return None
        descriptions = {name: item.description or "" for name, item in self.document.features.items()}
        return Definitions(
            document=self.document,
            features=features,
            segments=segments,
            groups=groups,
            discovered=discovered,
            content_hash=content_hash(features, descriptions, segments, groups, discovered),
        )

    def _tell(self, message: str, path: Path, *, key: bool = False) -> None:
        self.source.mistakes.append(self.source.mistake(message, path, key=key))

    def _duration(self, text: str | None, path: Path) -> int | None:
        if text is None:
            return None
        length = parse_duration(text)
        if length > CENTURY:
            self._tell(f"{path[-1]}: {text} is too long; at most {CENTURY // DAY}d", path)
            return None
        return length

    # ------------------------------------------------------------------------------------- features

    def _features(self) -> tuple[Feature, ...]:
        features: list[Feature] = []
        for name, item in sorted(self.document.features.items()):
            feature = self._feature(name, item, len(features))
            if feature is not None:
                features.append(feature)
        for name, kind in sorted(self.document.traits.items()):
            spec = FeatureSpec("last", has_of=True, kind=ValueKind(kind))
            selector, path = Selector(types=frozenset({"identify"})), ("traits", name)
            features.append(self._made(f"traits.{name}", len(features), selector, path, spec, expose=False))
        return tuple(features)

    def _feature(self, name: str, item: FeatureDefinition, index: int) -> Feature | None:
        path: Path = ("features", name)
        before = len(self.source.mistakes)
        if name in _RESERVED:
            self._tell(f"{name!r} is a word of the condition language; choose another name", path, key=True)
        spec = FeatureSpec(
            op=item.op,
            window=self._duration(item.window, (*path, "window")),
            resolution=self._duration(item.resolution, (*path, "resolution")),
            half_life=self._duration(item.half_life, (*path, "half_life")),
            per=self._duration(item.per, (*path, "per")),
            has_of=item.of is not None,
        )
        selector = self._selector(item, path)
        if len(self.source.mistakes) > before:
            return None
        keys = tuple(item.of.split(".")) if item.of else None
        try:
            return self._made(name, index, selector, keys, spec, expose=item.expose)
        except ValueError as error:
            self._refused(item, path, str(error))
            return None

    @staticmethod
    def _made(
        name: str,
        index: int,
        selector: Selector,
        path: tuple[str, ...] | None,
        spec: FeatureSpec,
        *,
        expose: bool,
    ) -> Feature:
        return Feature(
            name=name,
            index=index,
            selector=selector,
            path=path,
            accumulator=build(spec),
            expose=expose,
            fingerprint=fingerprint(selector, path, spec),
            read=reader(path),
        )

    def _refused(self, item: FeatureDefinition, path: Path, message: str) -> None:
        words = message.replace(";", "").split()
        if words[1:2] == ["needs"]:
            what = words[-1]
            self._tell(f"{message}: {_NEEDED[what]}" if what in _NEEDED else message, (*path, "op"))
            return
        named = next((word for word in words if word in _OPTIONS and getattr(item, word) is not None), "op")
        self._tell(message, (*path, named), key=named != "op")

    def _selector(self, item: FeatureDefinition, path: Path) -> Selector:
        types = None if item.type is None else frozenset({item.type})
        names = _set(item.name)
        if item.event is not None:
            if item.type not in {None, "track"}:
                self._tell(
                    f"event names track events; for type {item.type} write name", (*path, "event"), key=True
                )
            elif item.name is not None:
                self._tell(
                    "name is for pages and screens; an event has its name in event", (*path, "name"), key=True
                )
            types, names = frozenset({"track"}), _set(item.event)
        elif names is not None and item.type not in {"page", "screen"}:
            hint = "for track events write event" if item.type in {None, "track"} else "only those have names"
            self._tell(f"name needs type: page or type: screen; {hint}", (*path, "name"), key=True)
        return Selector(types, names, _set(item.topic))

    # ------------------------------------------------------------------------------- what reads them

    def _compiled(
        self, compiler: Callable[[str, Scope], _Compiled], text: str, path: Path
    ) -> _Compiled | None:
        try:
            return compiler(text, self.scope)
        except ExpressionError as error:
            message = error.message
            if error.name in self.document.segments:
                message = f"{error.name!r} is a segment; conditions read features and traits"
            self.source.mistakes.append(self.source.mistake(message, path, offset=error.offset))
            return None

    def _segments(self, groups: dict[str, str]) -> tuple[Segment, ...]:
        segments = []
        for name, item in self.document.segments.items():
            path: Path = ("segments", name)
            when = self._compiled(compile_condition, item.when, (*path, "when"))
            leave = None
            if item.leave_when is not None:
                leave = self._compiled(compile_condition, item.leave_when, (*path, "leave_when"))
            dwell = self._duration(item.min_dwell, (*path, "min_dwell")) or 0
            if when is not None:
                segment = Segment(
                    name=name,
                    when=when,
                    leave_when=leave,
                    min_dwell=dwell,
                    group=groups.get(name),
                    label=item.label or name,
                    description=item.description or "",
                    owner=item.owner or "",
                    tags=item.tags,
                )
                segments.append(segment)
        return tuple(segments)

    def _discovered(self) -> tuple[Discovered, ...]:
        found = []
        for name, item in self.document.discovered.items():
            inputs: list[Number] = []
            for index, text in enumerate(item.features):
                path: Path = ("discovered", name, "features", index)
                number = self._compiled(compile_number, text, path)
                if number is None:
                    continue
                if number.text in {known.text for known in inputs}:
                    self._tell(f"{number.text} is in the list twice; remove one", path)
                inputs.append(number)
            found.append(Discovered(name, item.model, item.clusters, tuple(inputs)))
        return tuple(found)

    # ------------------------------------------------------------------------------------- and names

    def _groups(self) -> tuple[Group, ...]:
        home: dict[str, str] = {}
        known = list(self.document.segments)
        for group, item in self.document.groups.items():
            for index, name in enumerate(item.first_of):
                path: Path = ("groups", group, "first_of", index)
                if name not in self.document.segments:
                    close = get_close_matches(name, known, 1)
                    hint = f"; did you mean {close[0]!r}?" if close else ""
                    self._tell(f"unknown segment {name!r}{hint}", path)
                elif name in home:
                    where = (
                        "in the list twice" if home[name] == group else f"in the group {home[name]!r} already"
                    )
                    self._tell(f"the segment {name!r} is {where}; a segment has one place at most", path)
                home.setdefault(name, group)
        return tuple(Group(name, item.first_of) for name, item in self.document.groups.items())

    def _check_names(self) -> None:
        taken = dict.fromkeys(self.document.segments, "segment")
        for section, what in (("groups", "group"), ("discovered", "discovered segmentation")):
            for name in getattr(self.document, section):
                if name in taken:
                    self._tell(
                        f"{name!r} is the name of a {taken[name]} already; choose another",
                        (section, name),
                        key=True,
                    )
                taken.setdefault(name, what)


def _set(names: str | tuple[str, ...] | None) -> frozenset[str] | None:
    if names is None:
        return None
    return frozenset({names} if isinstance(names, str) else names)
