"""Definitions, checked and compiled: what decides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from segstream.core.expressions import Condition, Filter, Number
from segstream.core.features import Accumulator
from segstream.core.features.each import each
from segstream.core.sources import Mapping as SourceMapping
from segstream.core.sources import TopicSource
from segstream.core.types import State, Value
from segstream_schemas.definitions import DefinitionsDocument

Document: TypeAlias = Mapping[str, Any]
"""A decoded event."""


_SCALARS: Final[frozenset[object]] = frozenset({int, float, str, bool})
_EACH: Final = "[]"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which events reach a feature; None where all do.

    Parameters
    ----------
    types, names, topics : frozenset of str or None
        Event types; names of track events, pages or screens; Kafka topics.
    """

    types: frozenset[str] | None = None
    names: frozenset[str] | None = None
    topics: frozenset[str] | None = None

    def selects(self, kind: str, name: str | None, topic: str) -> bool:
        """Return whether an event of a type and name from a topic is selected.

        Examples
        --------
        >>> Selector(types=frozenset({"page"})).selects("page", "Pricing", "events")
        True
        """
        return (
            (self.types is None or kind in self.types)
            and (self.names is None or name in self.names)
            and (self.topics is None or topic in self.topics)
        )


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature or a trait.

    Parameters
    ----------
    name : str
        As conditions read it; a trait's begins with ``traits.``.
    index : int
        Where its state stands among the user's.
    selector : Selector
        The events that reach it.
    path : tuple of str or None
        Keys down to the value in the event, with ``[]`` after that of a list whose entries are all looked at; None
        when it needs none.
    accumulator : Accumulator
        What is kept.
    expose : bool
        Whether others may read it.
    fingerprint : str
        Hash of the meaning: two features of one fingerprint can share a state, whatever they are called.
    read : callable
        ``read(event) -> Value``: the value at ``path``, None where there is none; of a path with ``[]`` a list of
        them.
    where : Filter or None
        Which of the events that reach it count.
    """

    name: str
    index: int
    selector: Selector
    path: tuple[str, ...] | None
    accumulator: Accumulator
    expose: bool
    fingerprint: str
    read: Callable[[Document], Any]
    where: Filter | None = None

    @property
    def add(self) -> Callable[[State, int, Any, str], State]:
        """How to add what ``read`` returns to the feature's state."""
        return each(self.accumulator.add) if several(self.path) else self.accumulator.add


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment by condition.

    Parameters
    ----------
    name : str
        Its name.
    when : Condition
        Who enters.
    leave_when : Condition or None
        Who leaves; None: whoever ``when`` is not true for.
    min_dwell : int
        How long one stays at least, in ms.
    group : str or None
        The group it belongs to.
    label, description, owner : str
        For people; ``label`` is the name where none is given.
    tags : tuple of str
        For finding it.
    renamed_from : str or None
        What it was called in the version before.
    cooldown : int
        How long one cannot enter again after leaving, in ms.
    confirm_for : int
        How long the condition must hold without a break before one enters, in ms.
    """

    name: str
    when: Condition
    leave_when: Condition | None
    min_dwell: int
    group: str | None
    label: str
    description: str
    owner: str = ""
    tags: tuple[str, ...] = ()
    renamed_from: str | None = None
    cooldown: int = 0
    confirm_for: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Segments of which a user holds at most one: the first that applies."""

    name: str
    segments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Discovered:
    """Segments that a model finds.

    Parameters
    ----------
    name : str
        Its segments are called ``<name>.<id>``.
    model : str
        How they are found.
    clusters : int
        How many at most.
    inputs : tuple of Number
        What users are compared by.
    """

    name: str
    model: str
    clusters: int
    inputs: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Definitions:
    """A whole definitions file, ready to decide.

    Parameters
    ----------
    document : DefinitionsDocument
        As written.
    features : tuple of Feature
        Features by name, then traits by name; ``features[i].index == i``. Not in the file's order, so that two files
        of one meaning lay out a user's states alike.
    segments : tuple of Segment
        In the file's order.
    groups, discovered : tuple
        In the file's order.
    content_hash : str
        SHA-256 of the meaning, in hex: comments, order of keys and spelling of durations do not matter.
    meaning : dict of str to dict
        What is hashed: by section, what each name in it means, as JSON has it.
    memberships : tuple of str
        Segments that conditions read by ``in_segment``. Whether the user is in ``memberships[i]`` is expected behind
        the states of the features, at ``len(features) + i``.
    sources : tuple of TopicSource
        In the file's order.
    """

    document: DefinitionsDocument
    features: tuple[Feature, ...]
    segments: tuple[Segment, ...]
    groups: tuple[Group, ...]
    discovered: tuple[Discovered, ...]
    content_hash: str
    meaning: Mapping[str, Mapping[str, Any]]
    memberships: tuple[str, ...] = ()
    sources: tuple[TopicSource, ...] = ()
    _known: tuple[frozenset[str], frozenset[str], frozenset[str]] = field(
        init=False, repr=False, compare=False
    )
    _routes: dict[tuple[str, str | None, str], tuple[Feature, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Note which types, names and topics any selector tells apart."""
        selectors = [feature.selector for feature in self.features]
        known = (
            frozenset[str]().union(*(selector.types or () for selector in selectors)),
            frozenset[str]().union(*(selector.names or () for selector in selectors)),
            frozenset[str]().union(*(selector.topics or () for selector in selectors)),
        )
        object.__setattr__(self, "_known", known)

    @property
    def mappings(self) -> dict[str, SourceMapping]:
        """Topic -> how its documents become events, where they are none."""
        return {source.topic: source.mapping for source in self.sources if source.mapping is not None}

    def unread(self, topics: Collection[str]) -> list[str]:
        """Return a line for each source whose topic is not among those that are read.

        Parameters
        ----------
        topics : collection of str
            The input topics, as workers have them set.
        """
        return [
            f"the source {source.name!r} is for the topic {source.topic}, which no worker reads: add it to "
            f"SEGSTREAM_TOPICS, which has {', '.join(topics)}"
            for source in self.sources
            if source.topic not in topics
        ]

    @property
    def unkeyed(self) -> frozenset[str]:
        """Topics whose records do not lie where their user belongs."""
        return frozenset(source.topic for source in self.sources if not source.keyed)

    def routes(self, kind: str, name: str | None, topic: str) -> tuple[Feature, ...]:
        """Return the features an event reaches.

        Parameters
        ----------
        kind : str
            The event's type, such as ``track``.
        name : str or None
            Name of the track event, page or screen.
        topic : str
            The Kafka topic it came from.
        """
        types, names, topics = self._known
        # What no selector names is all the same, so that the cache holds no more than the file says.
        key = (
            kind if kind in types else "",
            name if name in names else None,
            topic if topic in topics else "",
        )
        found = self._routes.get(key)
        if found is None:
            found = tuple(feature for feature in self.features if feature.selector.selects(*key))
            self._routes[key] = found
        return found


def several(path: tuple[str, ...] | None) -> bool:
    """Return whether a path can find several values in one event.

    Examples
    --------
    >>> several(("properties", "products[]", "price")), several(("properties", "price"))
    (True, False)
    """
    return path is not None and any(key.endswith(_EACH) for key in path)


def reader(path: tuple[str, ...] | None) -> Callable[[Document], Any]:
    """Return a function that reads the value at a path of an event.

    Lists, mappings and what is not there read as None. A path with ``[]`` reads as a list, one for each entry.

    Examples
    --------
    >>> reader(("properties", "revenue"))({"properties": {"revenue": 12.5}})
    12.5
    >>> reader(("properties", "revenue"))({"properties": []}) is None
    True
    >>> reader(("products[]", "price"))({"products": [{"price": 5}, {"price": None}, {"price": 2.5}]})
    [5, None, 2.5]
    """
    if path is None:
        return lambda document: None  # noqa: ARG005 (all readers are called alike)
    if several(path):
        return partial(_found, path)
    *way, last = path

    def read(document: Document) -> Value:
        part: Any = document
        for step in way:
            part = part.get(step)
            if part.__class__ is not dict:
                return None
        value: Any = part.get(last)
        return value if value.__class__ in _SCALARS else None

    return read


def _found(path: tuple[str, ...], document: Document) -> list[Value]:
    """Return the values at a path with ``[]``, in the event's order; None for an entry without one."""
    parts: list[Any] = [document]
    for key in path:
        name = key.removesuffix(_EACH)
        parts = [part.get(name) if part.__class__ is dict else None for part in parts]
        if key.endswith(_EACH):
            parts = [entry for part in parts if part.__class__ is list for entry in part]
    return [part if part.__class__ in _SCALARS else None for part in parts]
