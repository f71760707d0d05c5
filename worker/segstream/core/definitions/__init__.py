"""From the definitions file to what decides: checked, compiled, hashed.

Examples
--------
>>> shop = read_definitions(
...     '''
... version: 1
... features: {orders: {op: count, event: Order Completed}}
... segments: {loyal: {when: orders >= 3}}
... ''',
...     "shop.yaml",
... )
>>> (
...     [segment.name for segment in shop.segments],
...     [feature.name for feature in shop.routes("track", "Order Completed", "")],
... )
(['loyal'], ['orders'])
>>> [
...     str(mistake)
...     for mistake in find_mistakes("{version: 1, segments: {loyal: {when: orders > 3}}}", "shop.yaml")
... ]
["shop.yaml:1:39: unknown name 'orders'; no features are defined"]
"""

from segstream.core.definitions.build import Builder
from segstream.core.definitions.model import Definitions, Discovered, Feature, Group, Segment, Selector
from segstream.core.definitions.source import Source, parse
from segstream.core.definitions.structure import read_document
from segstream.errors import DefinitionError

__all__ = [
    "Definitions",
    "Discovered",
    "Feature",
    "Group",
    "Segment",
    "Selector",
    "find_mistakes",
    "read_definitions",
]


def read_definitions(text: str, file: str = "<definitions>") -> Definitions:
    """Read, check and compile a definitions file.

    Parameters
    ----------
    text : str
        YAML 1.2.
    file : str
        Its name, for the errors.

    Raises
    ------
    DefinitionError
        The first mistake in the file; `find_mistakes` tells them all.
    """
    source, definitions = _read(text, file)
    if definitions is None:
        raise _ordered(source)[0]
    return definitions


def find_mistakes(text: str, file: str = "<definitions>") -> list[DefinitionError]:
    """Return the mistakes of a definitions file, from top to bottom.

    What reads a feature or segment that is wrong itself is not blamed for it, and of one condition the first mistake is
    told. While the YAML is no YAML, or a whole section is out of shape, nothing further is looked for.
    """
    return _ordered(_read(text, file)[0])


def _read(text: str, file: str) -> tuple[Source, Definitions | None]:
    source = parse(text, file)
    if source.data is None:
        return source, None
    document = read_document(source)
    return source, None if document is None else Builder(source, document).build()


def _ordered(source: Source) -> list[DefinitionError]:
    """Return the mistakes from top to bottom, the first at each place: what follows there is a consequence."""
    first: dict[tuple[int, int], DefinitionError] = {}
    for mistake in source.mistakes:
        first.setdefault((mistake.line, mistake.column), mistake)
    return [first[place] for place in sorted(first)]
