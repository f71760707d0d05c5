"""One version of the definitions, as the recount uses it: measures, trees, and which segments exclude each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from segstream.core.expressions.tree import Compare, Node, Read, Since, write
from segstream.verify.conditions import parts
from segstream.verify.measures import measures_of

if TYPE_CHECKING:
    from segstream.core.definitions import Definitions, Segment

_ASKED: Final = re.compile(r"in_segment\('(.*)'\)")


class Choice(NamedTuple):
    """Segments of which a user holds at most one, in order of precedence; a segment without a group is one alone."""

    group: str | None
    names: tuple[str, ...]


class Rules:
    """A version.

    Parameters
    ----------
    version : int
        Its number.
    at : int
        From when on it decides, ms.
    definitions : Definitions

    Attributes
    ----------
    choices : list of Choice
        Each after those that it asks for.
    unchecked : frozenset of str
        Segments that depend on what a model found: the log does not tell that.
    asks_models : bool
        Whether there are any.
    asks : dict of str to str
        Names in conditions that ask for a segment, and which.
    flowing : list of Compare
        Comparisons that can turn between two moments at which windows move.
    stepping : list of Measure
        Windows and rates that conditions read.
    mappings : mapping of str to Mapping
        How documents of topics become events, where they are none.
    """

    def __init__(self, version: int, at: int, definitions: Definitions) -> None:
        self.version, self.at, self.mappings = version, at, definitions.mappings
        self.measures = measures_of(definitions)
        self.segments: dict[str, Segment] = {segment.name: segment for segment in definitions.segments}
        self.renamed = {item.renamed_from: item.name for item in definitions.segments if item.renamed_from}
        grouped = {
            name: Choice(group.name, group.segments)
            for group in definitions.groups
            for name in group.segments
        }
        self.choices = self._ordered(
            list(dict.fromkeys(grouped.get(name, Choice(None, (name,))) for name in self.segments))
        )
        self.unchecked = self._unchecked()
        self.asks_models = bool(self.unchecked)
        nodes = [node for name in self.segments for node in self.nodes(name)]
        every = [part for node in nodes for part in parts(node)]
        self.flowing = list(
            {write(part): part for part in every if isinstance(part, Compare) and self._flows(part)}.values()
        )
        read = {part.name for part in every if isinstance(part, Read)}
        self.asks = {name: found[1] for name in read if (found := _ASKED.fullmatch(name))}
        self.stepping = [item for name, item in self.measures.items() if item.moves and name in read]

    def nodes(self, name: str) -> list[Node]:
        """Return the conditions of a segment."""
        segment = self.segments[name]
        return [each.node for each in (segment.when, segment.leave_when) if each is not None]

    def asked(self, name: str) -> set[str]:
        """Return the segments that a segment's conditions ask for."""
        found = (
            _ASKED.fullmatch(part.name)
            for node in self.nodes(name)
            for part in parts(node)
            if isinstance(part, Read)
        )
        return {each[1] for each in found if each}

    def meaning(self, name: str) -> tuple[object, ...]:
        """Return what a segment's conditions mean, to compare with another version's."""
        segment = self.segments[name]
        texts = segment.when.text, None if segment.leave_when is None else segment.leave_when.text
        read = {
            (part.name, self.measures[part.name].key)
            for node in self.nodes(name)
            for part in parts(node)
            if isinstance(part, Read) and part.name in self.measures
        }
        return (*texts, *sorted(read))

    def _flows(self, node: Compare) -> bool:
        """Tell whether a comparison can turn between two moments at which windows move."""
        return any(
            isinstance(part, Since) or (isinstance(part, Read) and self._decays(part.name))
            for part in parts(node)
        )

    def _decays(self, name: str) -> bool:
        return name in self.measures and self.measures[name].op == "rate"

    def _ordered(self, choices: list[Choice]) -> list[Choice]:
        found: list[Choice] = []
        while waiting := [choice for choice in choices if choice not in found]:
            open_names = {name for choice in waiting for name in choice.names}
            ready = [
                choice
                for choice in waiting
                if not any(self.asked(name) & (open_names - set(choice.names)) for name in choice.names)
            ]
            found += ready or waiting
        return found

    def _unchecked(self) -> frozenset[str]:
        found: set[str] = set()
        for choice in self.choices:
            asked = {each for name in choice.names for each in self.asked(name)}
            if any("." in each or each in found for each in asked):
                found.update(choice.names)
        return frozenset(found)
