"""What a definition says about a feature's accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segstream.core.types import Scalar, ValueKind


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature as declared, durations read; which events reach it is not said here.

    Parameters
    ----------
    op : str
        The operation, such as ``count`` or ``last``.
    window, resolution : int or None
        Of what slides over the last so long, in ms.
    half_life, per : int or None
        Of a rate, in ms; ``per`` is a day unless told.
    has_of : bool
        Whether the feature names a path to the value in the event.
    kind : ValueKind or None
        What ``first`` or ``last`` (and so a trait) expects; None for any.
    equals : tuple or None
        The values that a ``share`` is the share of.
    """

    op: str
    window: int | None = None
    resolution: int | None = None
    half_life: int | None = None
    per: int | None = None
    has_of: bool = False
    kind: ValueKind | None = None
    equals: tuple[Scalar, ...] | None = None
