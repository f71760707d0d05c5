"""Which way an event goes when some features count it only if their filter passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segstream.core.decider import Route
    from segstream.core.definitions import Feature

MOST_WAYS: Final = 256
"""Combinations of passed filters whose route is kept; beyond it, a route is laid out anew for each event."""


class Filtered:
    """The routes of one kind of event, one for each combination of filters that pass.

    Each filter is asked once an event, however many features share it, and a feature whose filter does not pass is not
    on the route: it costs nothing more.

    Parameters
    ----------
    features : sequence of Feature
        Those that select the event.
    lay_out : callable
        ``lay_out(features) -> Route``.
    """

    __slots__ = ("_features", "_filters", "_lay_out", "_places", "_ways")

    def __init__(self, features: Sequence[Feature], lay_out: Callable[[Sequence[Feature]], Route]) -> None:
        self._features, self._lay_out = features, lay_out
        filters = {feature.where.text: feature.where.passes for feature in features if feature.where}
        self._filters = tuple(filters.values())
        self._places = {text: place for place, text in enumerate(filters)}
        self._ways: dict[tuple[bool, ...], Route] = {}

    def __call__(self, document: dict[str, Any]) -> Route:
        """Return what an event does to the features."""
        passed = tuple([passes(document) for passes in self._filters])
        way = self._ways.get(passed)
        if way is None:
            way = self._lay_out(
                [
                    feature
                    for feature in self._features
                    if feature.where is None or passed[self._places[feature.where.text]]
                ]
            )
            if len(self._ways) < MOST_WAYS:
                self._ways[passed] = way
        return way
