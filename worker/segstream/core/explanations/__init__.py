"""Why a user is or is not in a segment, worked out from the state alone, by the same functions that decide.

`Explainer` takes a user's state to a moment by the engine itself, so that what it tells is what the engine holds then
if no event comes. `conditions` takes a condition apart, `changing` says what would turn a comparison, `clusters`
measures the distances to the centres of a discovered segmentation.
"""

from segstream.core.explanations.clusters import Centre, Nearest
from segstream.core.explanations.conditions import Part, explain
from segstream.core.explanations.explainer import Explainer, TooEarlyError
from segstream.core.explanations.rules import Because, Rival, Rule

__all__ = ["Because", "Centre", "Explainer", "Nearest", "Part", "Rival", "Rule", "TooEarlyError", "explain"]
