"""What the discovered segmentations of a definitions file are to be learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from segstream.core.types import ValueKind
from segstream.models.recipe import Recipe

if TYPE_CHECKING:
    from segstream.core.definitions import Definitions

TRANSFORMS: Final = {ValueKind.NUMBER: "log", ValueKind.DURATION: "log_days"}
"""Numbers and durations spread over orders of magnitude; whatever else there is stays as it is."""


def recipes_of(definitions: Definitions, seed: int) -> dict[str, Recipe]:
    """Return the recipe of each discovered segmentation by its name.

    Parameters
    ----------
    definitions : Definitions
    seed : int
        Decides the first centres.
    """
    return {
        model.name: Recipe(
            name=model.name,
            features=tuple(item.text for item in model.inputs),
            clusters=model.clusters,
            model=model.model,
            transforms=tuple(TRANSFORMS.get(item.kind, "linear") for item in model.inputs),
            seed=seed,
        )
        for model in definitions.discovered
    }
