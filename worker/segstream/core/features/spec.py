"""What a definition says about a feature's accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segstream.core.types import ValueKind


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature as declared, durations read; which events reach it is not said here.

    Parameters
    ----------
    op : str
        The operation, such as ``count`` or ``last``.
    window, resolution : int or None
        Of a windowed count or sum, in ms.
    half_life, per : int or None
        Of a rate, in ms; ``per`` is a day unless told.
    has_of : bool
        Whether the feature names a path to the value in the event.
    kind : ValueKind or None
        What ``first`` or ``last`` (and so a trait) expects; None for any.
    """

    op: str
    window: int | None = None
    resolution: int | None = None
    half_life: int | None = None
    per: int | None = None
    has_of: bool = False
    kind: ValueKind | None = None
