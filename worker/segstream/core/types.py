"""The few types that all of `segstream.core` shares."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

Value: TypeAlias = int | float | str | bool | None
"""What a feature or a trait is at a moment; ``None`` means unknown."""

Scalar: TypeAlias = int | float | str | bool
"""What an event can hold at a path."""

State: TypeAlias = Any
"""What an accumulator keeps for one user: opaque to all but the accumulator that made it.

Plain msgpack values (numbers, text, bytes, ``None``, tuples, dicts keyed by integers), never changed after they were
made, so that the state before an event can be kept by reference.
"""


class Motion(Enum):
    """How a value moves while no event comes."""

    STATIC = "static"
    """Not at all."""
    STEPS = "steps"
    """In steps at moments known ahead: a bucket leaves a window."""
    DECAY = "decay"
    """Continuously towards nought: a decaying rate."""


class ValueKind(Enum):
    """What sort of value a feature or a trait has."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"
    """Integer milliseconds since 1970, UTC."""
    DURATION = "duration"
    """Integer milliseconds."""
    ANY = "any"
    """Number, text or boolean, whatever was told."""
