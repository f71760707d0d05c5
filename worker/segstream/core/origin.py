"""From where in the log a partition's state follows: what a recount has to know besides the log itself.

Kept in the partition's meta as JSON, and written when it changes: where each topic was begun, and how far each had been
applied when a version of the definitions came into force.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Adoption(NamedTuple):
    """A version of the definitions coming into force.

    Parameters
    ----------
    version : int
        Its number.
    at : int
        The moment, in ms.
    offsets : dict of str to int
        Highest offset applied of each topic: what lies beyond was decided by this version.
    """

    version: int
    at: int
    offsets: Mapping[str, int]


class Origin(NamedTuple):
    """Where a state comes from.

    Parameters
    ----------
    begun : dict of str to int
        The first offset read of each topic.
    adoptions : tuple of Adoption
        In order.
    broken : str
        Why the log alone does not lead to the state any more; empty if it does.

    Examples
    --------
    >>> origin = Origin.load("").begin({"events": 0}).adopt(Adoption(1, 0, {}))
    >>> origin.dump()
    '[{"events":0},[[1,0,{}]],""]'
    >>> Origin.load(origin.dump()) == origin
    True
    """

    begun: Mapping[str, int]
    adoptions: tuple[Adoption, ...]
    broken: str

    @classmethod
    def load(cls, text: str) -> Origin:
        """Read what `dump` wrote; an empty text is an origin of which nothing is known."""
        begun, adoptions, broken = json.loads(text or '[{},[],""]')
        return cls(begun, tuple(Adoption(*each) for each in adoptions), broken)

    def dump(self) -> str:
        """Write it as JSON."""
        told: list[Any] = [self.begun, self.adoptions, self.broken]
        return json.dumps(told, separators=(",", ":"))

    def begin(self, begun: Mapping[str, int]) -> Origin:
        """Note the first offset of topics that are read for the first time."""
        return self._replace(begun={**self.begun, **begun})

    def adopt(self, adoption: Adoption) -> Origin:
        """Note a version that comes into force."""
        return self._replace(adoptions=(*self.adoptions, adoption))

    def break_off(self, why: str) -> Origin:
        """Note that the log alone does not lead to the state any more; the first reason stays."""
        return self._replace(broken=self.broken or why)
