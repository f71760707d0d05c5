"""A user's answer as the fields of a hash: what engines that read Redis see."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

from segstream.core.time import DAY, format_time
from segstream.ports import View

TOMBSTONE: Final = DAY
"""How long, in ms, an answer without segments and features stays, so that no late writer puts back an older one."""


@lru_cache(maxsize=256)
def _models(versions: tuple[tuple[str, int], ...]) -> bytes:
    return orjson.dumps(dict(versions))


def fields(view: View) -> list[bytes | str]:
    """Return names and values of the hash, in turn.

    Examples
    --------
    >>> view = View(
    ...     "00042", 1, 9, 7, 865987200001, 3, {}, {"at_risk": (865987200001, None)}, {"orders": 2}, {}, []
    ... )
    >>> for name, value in zip(*[iter(fields(view))] * 2):
    ...     print(name, value)
    v 1:9
    sequence 7
    as_of 1997-06-11T00:00:00.001Z
    definitions_version 3
    model_version b'{}'
    s:at_risk {"since":"1997-06-11T00:00:00.001Z","expires_at":null}
    f:orders b'2'
    """
    found: list[bytes | str] = [
        *("v", f"{view.incarnation}:{view.partition_sequence}", "sequence", str(view.sequence)),
        *("as_of", format_time(view.at), "definitions_version", str(view.definitions_version)),
        *("model_version", _models(tuple(view.model_version.items()))),
    ]
    for name, (since, until) in view.segments.items():
        ends = "null" if until is None else f'"{format_time(until)}"'
        found += ("s:" + name, f'{{"since":"{format_time(since)}","expires_at":{ends}}}')
    for name, value in view.features.items():
        found += ("f:" + name, orjson.dumps(value))
    return found


def lifetime(view: View) -> int:
    """Return after how many ms an answer may go; 0: it stays."""
    return 0 if view.segments or view.features else TOMBSTONE
