"""The document -> compiled definitions; every mistake is told at its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from segstream.core.closest import closest
from segstream.core.definitions.meaning import content_hash, fingerprint, meaning_of
from segstream.core.definitions.model import (
    Definitions,
    Discovered,
    Feature,
    Group,
    Segment,
    Selector,
    reader,
)
from segstream.core.definitions.references import Membership, asks, circle
from segstream.core.definitions.source import Path, Source
from segstream.core.definitions.topics import Topics
from segstream.core.expressions import (
    ExpressionError,
    Filter,
    Number,
    Scope,
    asked,
    compile_condition,
    compile_filter,
    compile_number,
)
from segstream.core.features import Accumulator, FeatureSpec, build
from segstream.core.time import CENTURY, DAY, parse_duration
from segstream.core.types import Scalar, ValueKind
from segstream_schemas.definitions import RESERVED, DefinitionsDocument, FeatureDefinition

_NEEDED: Final = {
    "of": "where the value is in the event, for instance of: properties.revenue",
    "half_life": "after how long an event counts half, for instance half_life: 7d",
    "equals": "the value it is the share of, for instance equals: mobile",
}
_OPTIONS: Final = ("window", "resolution", "half_life", "per", "of", "equals")
_CLUSTER: Final = re.compile(r"c\d{1,9}")
_MEMBERSHIP: Final = Membership()
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
        self.scope: dict[str, tuple[int, Accumulator]] = {}

    def build(self) -> Definitions | None:
        """Compile sources and features, then groups, then what reads them; None when there are mistakes."""
        sources = Topics(self.source, self.document).sources()
        features = self._features()
        groups = self._groups()
        self._check_names()
        memberships = self._memberships()
        self.scope = {feature.name: (feature.index, feature.accumulator) for feature in features}
        self.scope |= self._askable(memberships, len(features))
        segments = self._segments({name: group.name for group in groups for name in group.segments})
        self._check_circles(groups)
        self.scope = {feature.name: (feature.index, feature.accumulator) for feature in features}
        discovered = self._discovered()
        if self.source.mistakes:
            return None
        descriptions = {name: item.description or "" for name, item in self.document.features.items()}
        meaning = meaning_of(features, descriptions, segments, groups, discovered, self.document.sources)
        return Definitions(
            document=self.document,
            features=features,
            segments=segments,
            groups=groups,
            discovered=discovered,
            content_hash=content_hash(meaning),
            meaning=meaning,
            memberships=memberships,
            sources=sources,
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
            if feature is None:
                self.source.broken.add(("features", name))
            else:
                features.append(feature)
        for name, kind in sorted(self.document.traits.items()):
            spec = FeatureSpec("last", has_of=True, kind=ValueKind(kind))
            selector, path = Selector(types=frozenset({"identify"})), ("traits", name)
            features.append(self._made(f"traits.{name}", len(features), selector, path, spec, expose=False))
        return tuple(features)

    def _feature(self, name: str, item: FeatureDefinition, index: int) -> Feature | None:
        path: Path = ("features", name)
        before = len(self.source.mistakes)
        if name in RESERVED:
            self._tell(f"{name!r} is a word of the condition language; choose another name", path, key=True)
        spec = FeatureSpec(
            op=item.op,
            window=self._duration(item.window, (*path, "window")),
            resolution=self._duration(item.resolution, (*path, "resolution")),
            half_life=self._duration(item.half_life, (*path, "half_life")),
            per=self._duration(item.per, (*path, "per")),
            has_of=item.of is not None,
            equals=None if item.equals is None else _several(item.equals),
        )
        selector = self._selector(item, path)
        self._check_spelling(item, path)
        where = None
        if item.where is not None:
            where = self._compiled(lambda text, _: compile_filter(text), item.where, (*path, "where"))
        if len(self.source.mistakes) > before:
            return None
        keys = tuple(item.of.split(".")) if item.of else None
        try:
            return self._made(name, index, selector, keys, spec, expose=item.expose, where=where)
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
        where: Filter | None = None,
    ) -> Feature:
        return Feature(
            name=name,
            index=index,
            selector=selector,
            path=path,
            accumulator=build(spec),
            expose=expose,
            fingerprint=fingerprint(selector, path, spec, where),
            read=reader(path),
            where=where,
        )

    def _refused(self, item: FeatureDefinition, path: Path, message: str) -> None:
        words = message.replace(";", "").split()
        if words[1:2] == ["needs"]:
            what = words[-1]
            self._tell(f"{message}: {_NEEDED[what]}" if what in _NEEDED else message, (*path, "op"))
            return
        named = next((word for word in words if word in _OPTIONS and getattr(item, word) is not None), "op")
        self._tell(message, (*path, named), key=named != "op")

    def _check_spelling(self, item: FeatureDefinition, path: Path) -> None:
        """Tell of names that nothing is called, since they are compared as they are."""
        for key in ("event", "name", "topic", "equals"):
            written = getattr(item, key)
            for index, name in enumerate(_several(written) if written is not None else ()):
                place = (*path, key, index) if isinstance(written, tuple) else (*path, key)
                if isinstance(name, str):
                    # What an event holds may well end with a blank.
                    self.source.misspelt(name, place, blanks=key != "equals")
        if item.of is not None:
            self.source.misspelt(item.of, (*path, "of"))

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
            if self._is_consequence(error.name):
                return None
            message = error.message
            if error.name in self.document.segments:
                message = f"{error.name!r} is a segment; write {asked(error.name)}"
            self.source.mistakes.append(self.source.mistake(message, path, offset=error.offset))
            return None

    def _is_consequence(self, name: str) -> bool:
        """Tell whether a name is unknown only because what it names is wrong itself."""
        for section, found in self.source.broken:
            names = {
                "features": {found},
                "traits": {f"traits.{found}"},
                "segments": {found, asked(found)},
                "discovered": {found},
            }
            cluster = section == "discovered" and name.startswith(f"in_segment('{found}.")
            if cluster or name in names.get(section, ()):
                return True
        return False

    def _segments(self, groups: dict[str, str]) -> tuple[Segment, ...]:
        self._check_renamed()
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
                    renamed_from=item.renamed_from,
                    cooldown=self._duration(item.cooldown, (*path, "cooldown")) or 0,
                    confirm_for=self._duration(item.confirm_for, (*path, "confirm_for")) or 0,
                )
                segments.append(segment)
        return tuple(segments)

    def _conditions(self, segment: str) -> Iterator[tuple[str, str]]:
        """Yield the conditions of a segment as key and text."""
        item = self.document.segments[segment]
        yield "when", item.when
        if item.leave_when is not None:
            yield "leave_when", item.leave_when

    def _memberships(self) -> tuple[str, ...]:
        """Return the segments that conditions ask for and that there may be, in the order they are asked for."""
        found: dict[str, None] = {}
        for segment in self.document.segments:
            for _, text in self._conditions(segment):
                for name, _ in asks(text):
                    model, _, cluster = name.partition(".")
                    may_be = model in self.document.discovered and _CLUSTER.fullmatch(cluster)
                    if may_be or name in self.document.segments:
                        found[name] = None
        return tuple(found)

    def _askable(self, memberships: tuple[str, ...], index: int) -> dict[str, tuple[int, Accumulator]]:
        """Return the places of what conditions ask for, and after them, for the advice, of what they might."""
        others = (*self.document.segments, *(f"{name}.c0" for name in self.document.discovered))
        names = dict.fromkeys((*memberships, *others))
        return {asked(name): (index + place, _MEMBERSHIP) for place, name in enumerate(names)}

    def _check_circles(self, groups: tuple[Group, ...]) -> None:
        grouped = {name for group in groups for name in group.segments}
        units = [group.segments for group in groups]
        units += [(name,) for name in self.document.segments if name not in grouped]
        asked_for = {
            name: [ask.segment for _, text in self._conditions(name) for ask in asks(text)]
            for name in self.document.segments
        }
        found = circle(units, asked_for)
        if not found:
            return
        told = found[0][0]
        for (_, asked_name), (asking, _) in zip(found, [*found[1:], found[0]], strict=True):
            told += f" -> {asked_name}"
            told += f" (decided with {asking}, its group)" if asking != asked_name else ""
        first, wanted = found[0]
        key, offset = next(
            (key, ask.offset)
            for key, text in self._conditions(first)
            for ask in asks(text)
            if ask.segment == wanted
        )
        message = f"in_segment() goes round in a circle: {told}; one of them must not ask"
        mistake = self.source.mistake(message, ("segments", first, key), offset=offset)
        self.source.mistakes.append(mistake)

    def _check_renamed(self) -> None:
        taken: dict[str, str] = {}
        for name, item in self.document.segments.items():
            former, path = item.renamed_from, ("segments", name, "renamed_from")
            if former is None:
                continue
            if former in self.document.segments:
                itself = "its own name" if former == name else "a segment of this file still"
                self._tell(f"renamed_from: {former!r} is {itself}; it is for a name that is gone", path)
            elif former in taken:
                self._tell(
                    f"renamed_from: {former!r} is {taken[former]!r} now already; one can follow it", path
                )
            taken.setdefault(former, name)

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
        for group, item in self.document.groups.items():
            for index, name in enumerate(item.first_of):
                path: Path = ("groups", group, "first_of", index)
                if ("segments", name) in self.source.broken:
                    pass
                elif name not in self.document.segments:
                    close = closest(name, self.document.segments)
                    hint = f"; did you mean {close!r}?" if close else ""
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


def _several(values: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return values if isinstance(values, tuple) else (values,)


def _set(names: str | tuple[str, ...] | None) -> frozenset[str] | None:
    if names is None:
        return None
    return frozenset({names} if isinstance(names, str) else names)
