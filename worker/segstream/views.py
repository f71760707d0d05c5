"""A user's answer as others see it: the fields of its hash in Redis, and the compacted topic's record.

Both are written down once, while all they are made of is at hand, and kept as bytes until they have gone out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import msgpack
import orjson

from segstream.core.time import DAY, NEVER, format_time
from segstream.ports import EncodedView, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.decider import Decider
    from segstream.core.engine import Touched
    from segstream.core.types import State, Value

Parts: TypeAlias = tuple[
    str,
    int,
    int,
    int,
    int,
    int,
    dict[str, int],
    dict[str, tuple[int, int | None]],
    dict[str, "Value"],
    dict[str, int],
    list[str],
    tuple[int, int, dict[str, int]] | None,
]
"""What a `View` holds, in its order."""

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
    return _encode(*view)


def encoded_view(
    touched: Touched, sequence: int, at: int, decider: Decider, states: Sequence[State]
) -> EncodedView:
    """Return a user's answer after a batch as it goes out; the parameters are those of `parts_of`."""
    return _encode(*parts_of(touched, sequence, at, decider, states))


def _encode(
    user: str,
    incarnation: int,
    partition_sequence: int,
    sequence: int,
    at: int,
    version: int,
    models: dict[str, int],
    segments: dict[str, tuple[int, int | None]],
    features: dict[str, Value],
    entered: dict[str, int],
    left: list[str],
    moved: tuple[int, int, dict[str, int]] | None,
) -> EncodedView:
    as_of, models_text = format_time(at), _models(tuple(models.items()))
    # fmt: off
    words: list[bytes | str] = [
        "v", f"{incarnation}:{partition_sequence}", "sequence", f"{sequence}", "as_of", as_of,
        "definitions_version", f"{version}", "model_version", models_text,
    ]
    # fmt: on
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
        moment, version, told = moved
        if told is not models:
            models_text = _models(tuple(told.items()))
        record = (
            f'{{"schema_version":{MEMBERSHIPS_SCHEMA},"user_id":{orjson.dumps(user).decode()},'
            f'"incarnation":{incarnation},"sequence":{sequence},"segments":{{{",".join(stays)}}},'
            f'"at":"{as_of if moment == at else format_time(moment)}","definitions_version":{version},'
            f'"model_version":{models_text}}}'
        ).encode()
    lifetime = 0 if segments or features else TOMBSTONE
    answer = _pack((incarnation, partition_sequence, lifetime, words))
    # A named tuple's own constructor takes twice the time, and this is on the way of every event.
    return tuple.__new__(EncodedView, (user, answer, record, moved is not None, entered, left))


def exposed_values(decider: Decider, states: Sequence[State], at: int) -> dict[str, Value]:
    """Return what others may read of a user's features at a moment (ms)."""
    return {feature.name: feature.accumulator.value(states[feature.index], at) for feature in decider.exposed}


def untold(decider: Decider, states: Sequence[State]) -> bool:
    """Tell whether no exposed feature has counted anything of a user yet.

    Such a user who is in no segment has no answer either: else a hash would stay for every visitor.
    """
    return all(states[feature.index] == feature.accumulator.zero() for feature in decider.exposed)


def parts_of(touched: Touched, sequence: int, at: int, decider: Decider, states: Sequence[State]) -> Parts:
    """Return what a user's `View` holds after a batch, with what was entered and left since before it.

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
    features = exposed_values(decider, states, at) if segments or not untold(decider, states) else {}
    # fmt: off
    return (
        user.name, user.incarnation, sequence, user.sequence, at, basis.definitions, basis.models,
        segments, features, entered, left, moved,
    )
    # fmt: on
