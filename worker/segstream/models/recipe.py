"""What a discovered segmentation is to be learned from: all that, when changed, makes learning start anew."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from segstream.core.scaling import TRANSFORMS

MAX_CLUSTERS: Final = 64
MAX_FEATURES: Final = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """One discovered segmentation, as the trainer needs it.

    Parameters
    ----------
    name : str
        Its name in the definitions.
    features : tuple of str
        Texts of the inputs; 1 to 16.
    clusters : int
        How many clusters at most; 1 to 64.
    transforms : tuple of str
        Per feature one of `segstream.core.scaling.TRANSFORMS`; left out, ``log`` for all.
    model : str
        A key of `segstream.models.clusterers.CLUSTERERS`.
    seed : int
        Decides the first centres.

    Raises
    ------
    ValueError
        If a number is outside its range, or the transforms do not fit the features.

    Examples
    --------
    >>> Recipe("behaviour", ("orders", "revenue"), clusters=3).transforms
    ('log', 'log')
    """

    name: str
    features: tuple[str, ...]
    clusters: int
    transforms: tuple[str, ...] = ()
    model: str = "kmeans"
    seed: int = 0

    def __post_init__(self) -> None:
        """Fill in the transforms and check the ranges."""
        object.__setattr__(self, "transforms", self.transforms or ("log",) * len(self.features))
        if not 1 <= len(self.features) <= MAX_FEATURES:
            message = f"{self.name}: {len(self.features)} features; 1 to {MAX_FEATURES} can be used"
            raise ValueError(message)
        if not 1 <= self.clusters <= MAX_CLUSTERS:
            message = f"{self.name}: {self.clusters} clusters; 1 to {MAX_CLUSTERS} can be made"
            raise ValueError(message)
        if len(self.transforms) != len(self.features) or not set(self.transforms) <= set(TRANSFORMS):
            message = (
                f"{self.name}: transforms are {', '.join(TRANSFORMS)}, one per feature; got {self.transforms}"
            )
            raise ValueError(message)

    @property
    def fingerprint(self) -> str:
        """Tell recipes apart in 16 characters: a sample marked with it is never learned under another recipe."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and texts."""
        return {**asdict(self), "features": list(self.features), "transforms": list(self.transforms)}
