"""A source's documents -> events of the Segment spec."""

from __future__ import annotations

import collections.abc
from typing import Any, Final, NamedTuple

import orjson

from segstream.core.sources.paths import FAILURES, Path
from segstream.core.time import format_time
from segstream_schemas.dead_letters import RejectionReason
from segstream_schemas.definitions import NAMED, TOLD_IN_TRAITS, EventType
from segstream_schemas.events import EventError
from segstream_schemas.times import EARLIEST, LATEST

MAX_EVENT: Final = 256 * 1024
"""Bytes of an event that is not a mere part of its document: as much as a record may hold."""

_PER: Final = {"s": 1_000, "ms": 1}
_AN_ID: Final[frozenset[object]] = frozenset({str, int})
_INTEGERS: Final = range(-(2**63), 2**64)
"""Those that JSON is written with here."""

_NUMBER: Final[frozenset[object]] = frozenset({int, float})


class Constant(NamedTuple):
    """A name that is the same for every document."""

    value: str


class Mapping:
    """How the documents of a source become events.

    Parameters
    ----------
    source : str
        Its name, for what is said of bad ones.
    topic : str
        Where they lie; an id of a message is one of this topic.
    kind : str
        The events' type.
    name : Constant, Path or None
        What they are called, where their type has names.
    user, anonymous : Path or None
        Where the id is; one of them at least.
    timestamp : Path or None
        Where the time is; None: it happened when it arrived.
    unit : {"s", "ms"} or None
        What numbers count since 1970; None where times are ISO 8601 texts.
    message_id : Path or None
    values : mapping of str to Path
        Properties, or traits where the type has those.
    """

    def __init__(
        self,
        source: str,
        topic: str,
        kind: EventType,
        *,
        name: Constant | Path | None = None,
        user: Path | None = None,
        anonymous: Path | None = None,
        timestamp: Path | None = None,
        unit: str | None = None,
        message_id: Path | None = None,
        values: collections.abc.Mapping[str, Path] | None = None,
    ) -> None:
        self._source, self._topic, self._kind, self._name = source, topic, kind, name
        self._user, self._anonymous, self._message_id = user, anonymous, message_id
        self._timestamp, self._unit = timestamp, unit
        self._values = tuple((values or {}).items())
        self._named, self._within = NAMED.get(kind), "traits" if kind in TOLD_IN_TRAITS else "properties"
        named = {"userId": user, "anonymousId": anonymous, "timestamp": timestamp, "messageId": message_id}
        if isinstance(name, Path) and self._named:
            named[self._named] = name
        self.places: dict[str, str] = {field: path.text for field, path in named.items() if path}
        """Field of the event -> where in the document it is taken from."""
        self._plain = all(path.plain for path in (*named.values(), *dict(self._values).values()) if path)

    def event(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return what a document is as an event.

        Parameters
        ----------
        document : dict
            Decoded JSON; it is not changed.

        Raises
        ------
        EventError
            With reason ``no_user``, ``wrong_type``, ``missing_field``, ``bad_timestamp`` or ``too_large``.
        """
        event: dict[str, Any] = {"type": self._kind}
        if isinstance(self._name, Constant):
            event[self._named or ""] = self._name.value
        elif self._name is not None:
            self._add_name(event, self._name, document)
        self._add_user(event, document)
        if self._timestamp is not None:
            event["timestamp"] = self._moment(self._timestamp, document)
        if self._message_id is not None and self._add_id(event, "messageId", self._message_id, document):
            # Other tables count their rows from 1 too. No topic has a colon, so no two share an id, and none is a place.
            event["messageId"] = f"{self._topic}:{event['messageId']}"
        if self._values:
            found = {name: self._found(name, path, document) for name, path in self._values}
            event[self._within] = {name: value for name, value in found.items() if value is not None}
        return event if self._plain else self._checked(event)

    def _found(self, what: str, path: Path, document: dict[str, Any]) -> Any:
        try:
            return path.read(document)
        except FAILURES:
            text = f"`{what}` of the source {self._source} cannot be worked out: a function meets a value it does not take."
            raise EventError(RejectionReason.WRONG_TYPE, path.text, text) from None

    def _add_user(self, event: dict[str, Any], document: dict[str, Any]) -> None:
        there = False
        if self._user is not None:
            there = self._add_id(event, "userId", self._user, document)
        if not there and self._anonymous is not None:
            there = self._add_id(event, "anonymousId", self._anonymous, document)
        if not there:
            paths = " nor ".join(path.text for path in (self._user, self._anonymous) if path)
            text = f"The source {self._source} finds no user at {paths}; correct the path, or what is sent."
            first = self._user or self._anonymous
            raise EventError(RejectionReason.NO_USER, first.text if first else "", text)

    def _add_id(self, event: dict[str, Any], field: str, path: Path, document: dict[str, Any]) -> bool:
        value = self._found(field, path, document)
        if value is None or value == "":
            return False
        if value.__class__ not in _AN_ID or (value.__class__ is int and value not in _INTEGERS):
            text = (
                f"The source {self._source} must find a text or an integer of at most 64 bits at {path.text}."
            )
            raise EventError(RejectionReason.WRONG_TYPE, path.text, text)
        event[field] = value
        return True

    def _add_name(self, event: dict[str, Any], path: Path, document: dict[str, Any]) -> None:
        value = self._found("name", path, document)
        if value is None and self._kind != "track":
            return
        if value is None or value == "":
            text = f"The source {self._source} finds no name of the event at {path.text}."
            raise EventError(RejectionReason.MISSING_FIELD, path.text, text)
        if value.__class__ is not str:
            text = f"The source {self._source} must find a text at {path.text}: the name of the event."
            raise EventError(RejectionReason.WRONG_TYPE, path.text, text)
        event[self._named or ""] = value

    def _moment(self, path: Path, document: dict[str, Any]) -> str:
        value: Any = self._found("timestamp", path, document)
        if self._unit is None:
            if value.__class__ is str:
                return str(value)  # whether it is a time is for the event to say
            advice = f"no time at {path.text}"
            if value.__class__ in _NUMBER:
                advice = f"a number at {path.text}; give the source a timestamp_unit of s or ms"
        else:
            if value.__class__ in _NUMBER:
                at = round(value * _PER[self._unit]) if abs(value) <= LATEST else LATEST + 1
                if EARLIEST <= at <= LATEST:
                    return format_time(at)
            advice = f"no number of {self._unit} since 1970, within the years 1 to 9999, at {path.text}"
        text = f"The source {self._source} finds {advice}."
        raise EventError(RejectionReason.BAD_TIMESTAMP, path.text, text)

    def _checked(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return an event as if it had been sent: numbers are finite and of 64 bits, texts are Unicode."""
        try:
            sent = orjson.dumps(event)
        except TypeError:
            text = f"The source {self._source} finds a number of more than 64 bits, or a text that is not Unicode."
            raise EventError(RejectionReason.WRONG_TYPE, self._within, text) from None
        if len(sent) > MAX_EVENT:
            text = f"The source {self._source} makes an event of more than {MAX_EVENT} bytes of it; map less."
            raise EventError(RejectionReason.TOO_LARGE, self._within, text)
        checked: dict[str, Any] = orjson.loads(sent)
        return checked


class TopicSource(NamedTuple):
    """What is known of a topic.

    Parameters
    ----------
    name : str
        As the definitions call it.
    topic : str
        In Kafka.
    keyed : bool
        Whether its records lie where their user belongs.
    mapping : Mapping or None
        How its documents become events; None where they are some.
    """

    name: str
    topic: str
    keyed: bool
    mapping: Mapping | None
