"""A user's answer as others see it: the fields of its hash in Redis, and the compacted topic's record.

Both are written down once, while all they are made of is at hand, and kept as bytes until they have gone out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgpack
import orjson

from segstream.core.time import DAY, NEVER, format_time
from segstream.ports import EncodedView, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.decider import Decider
    from segstream.core.engine import Touched
    from segstream.core.types import State

TOMBSTONE: Final = DAY
"""How long, in ms, an answer without segments and features stays, so that no late writer puts back an older one."""

MEMBERSHIPS_SCHEMA: Final = 1

_pack = msgpack.Packer(use_bin_type=False, autoreset=True).pack  # the kinds that Lua knows


@lru_cache(maxsize=256)
def _models(versions: tuple[tuple[str, int], ...]) -> str:
    return orjson.dumps(dict(versions)).decode()


def encode(view: View) -> EncodedView:
    """Write an answer down as it goes out.

    Examples
    --------
    >>> view = View(
    ...     *(
    ...         "00042",
    ...         1,
    ...         9,
    ...         7,
    ...         865987200001,
    ...         3,
    ...         {},
    ...         {"at_risk": (865987200001, None)},
    ...         {"orders": 2},
    ...         {},
    ...         [],
    ...     ),
    ...     moved=(865987200001, 3, {}),
    ... )
    >>> incarnation, partition_sequence, lifetime, words = msgpack.unpackb(encode(view).answer)
    >>> incarnation, partition_sequence, lifetime
    (1, 9, 0)
    >>> for name, value in zip(*[iter(words)] * 2):
    ...     print(name, value)
    v 1:9
    sequence 7
    as_of 1997-06-11T00:00:00.001Z
    definitions_version 3
    model_version {}
    s:at_risk {"since":"1997-06-11T00:00:00.001Z","expires_at":null}
    f:orders 2
    >>> encode(view).record.decode()  # doctest: +NORMALIZE_WHITESPACE
    '{"schema_version":1,"user_id":"00042","incarnation":1,"sequence":7,"segments":{"at_risk":{"since":"1997-06-11T00:00:00.001Z","expires_at":null}},"at":"1997-06-11T00:00:00.001Z","definitions_version":3,"model_version":{}}'
    >>> encode(view._replace(segments={})).record is None
    True
    """
    (
        user,
        incarnation,
        partition_sequence,
        sequence,
        at,
        version,
        models,
        segments,
        features,
        entered,
        left,
        moved,
    ) = view
    as_of = format_time(at)
    words: list[bytes | str] = [
        *("v", f"{incarnation}:{partition_sequence}", "sequence", str(sequence), "as_of", as_of),
        *("definitions_version", str(version), "model_version", _models(tuple(models.items()))),
    ]
    stays = []
    for name, (since, until) in segments.items():
        ends = "null" if until is None else f'"{format_time(until)}"'
        stay = f'{{"since":"{format_time(since)}","expires_at":{ends}}}'
        words += ("s:" + name, stay)
        stays.append(f'"{name}":{stay}')
    for name, value in features.items():
        words += ("f:" + name, orjson.dumps(value))
    record = None
    if moved is not None and segments:
        moment, version, models = moved
        record = (
            f'{{"schema_version":{MEMBERSHIPS_SCHEMA},"user_id":{orjson.dumps(user).decode()},'
            f'"incarnation":{incarnation},"sequence":{sequence},"segments":{{{",".join(stays)}}},'
            f'"at":"{as_of if moment == at else format_time(moment)}","definitions_version":{version},'
            f'"model_version":{_models(tuple(models.items()))}}}'
        ).encode()
    lifetime = 0 if segments or features else TOMBSTONE
    answer = _pack((incarnation, partition_sequence, lifetime, words))
    return EncodedView(user, answer, record, moved is not None, entered, left)


def view_of(touched: Touched, sequence: int, at: int, decider: Decider, states: Sequence[State]) -> View:
    """Return a user's answer after a batch, with what was entered and left since before it.

    Parameters
    ----------
    touched : Touched
        The user.
    sequence : int
        Partition sequence that the answer is versioned by.
    at, decider, states
        The last decision that changed the answer, see ``Touched.told``.
    """
    user = touched.user
    segments: dict[str, tuple[int, int | None]] = {
        name: (since, None if ends >= NEVER else ends) for name, (since, ends) in user.held.items()
    }
    for model, (cluster, since) in user.assigned.items():
        segments[f"{model}.{cluster}"] = since, None
    entered: dict[str, int] = {}
    left: list[str] = []
    restated = user.incarnation != touched.incarnation
    if user.sequence != touched.sequence or restated:  # else only the ends of the same stays may have moved
        before = {name: since for name, (since, _) in touched.held.items()}
        before |= {f"{model}.{cluster}": since for model, (cluster, since) in touched.assigned.items()}
        entered = {
            name: since for name, (since, _) in segments.items() if restated or before.get(name) != since
        }
        left = [name for name in before if name not in segments]
    moved = None
    if touched.moved is not None:
        moment, decided_by = touched.moved
        moved = moment, decided_by.basis.definitions, decided_by.basis.models
    basis = decider.basis
    features = {
        feature.name: feature.accumulator.value(states[feature.index], at) for feature in decider.exposed
    }
    return View(
        *(user.name, user.incarnation, sequence, user.sequence, at, basis.definitions, basis.models),
        *(segments, features, entered, left, moved),
    )
