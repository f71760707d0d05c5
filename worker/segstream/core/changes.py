"""Why a segment changed, and the record that says so.

"Before" is the moment before the cause: the features without the event, one millisecond earlier, unless the user's
last decision was at this very moment; then it is that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from segstream.core.time import NEVER, format_duration, format_time
from segstream.core.types import ValueKind
from segstream_schemas.changes import change_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segstream.core.definitions import Segment
    from segstream.core.expressions import Condition, Input, Number
    from segstream.core.types import State, Value
    from segstream.core.user import User

    Document = dict[str, Any]

CHANGE_SCHEMA: Final = 1


class Former(NamedTuple):
    """What was so before, where other definitions decided: only they can tell.

    Parameters
    ----------
    segments : mapping of str to Segment
        Theirs, by name.
    inputs : mapping of str to Input or Number
        What their conditions read, and their features, by text.
    states : sequence of State
        Feature states as they kept them.
    """

    segments: Mapping[str, Segment]
    inputs: Mapping[str, Input | Number]
    states: Sequence[State]


Before: TypeAlias = "Sequence[State] | Former | None"
"""What was so before a cause: feature states, under other definitions a `Former`, None where it cannot be told."""


def shown(value: Value, kind: ValueKind) -> Value:
    """Return a value as people read it: times as RFC 3339, durations as ``60d``.

    Examples
    --------
    >>> shown(5_184_000_001, ValueKind.DURATION)
    '60d1ms'
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is ValueKind.DURATION:
            return format_duration(int(value))
        if kind is ValueKind.TIME:
            return format_time(int(value))
    return value


def inputs_of(
    inputs: Iterable[Input | Number],
    before: Before,
    after: Sequence[State],
    moments: tuple[int, int],
) -> dict[str, dict[str, Value]]:
    """Return the value of each input before and after the cause.

    Parameters
    ----------
    inputs : iterable of Input or Number
        What a condition or a model reads.
    before : sequence of State, Former or None
        Feature states without the cause. Under other definitions, an input of the same text is what it was there.
    after : sequence of State
        Those with it.
    moments : (int, int)
        The moment before and that of the decision, in ms.
    """
    earlier, at = moments
    return {
        item.text: {
            "before": _earlier(item, before, earlier),
            "after": shown(item.read(after, at), item.kind),
        }
        for item in inputs
    }


def _earlier(item: Input | Number, before: Before, at: int) -> Value:
    if not isinstance(before, Former):
        return None if before is None else shown(item.read(before, at), item.kind)
    former = before.inputs.get(item.text)
    return None if former is None else shown(former.read(before.states, at), former.kind)


def reasons_for(
    segments: Iterable[Segment],
    before: Before,
    after: Sequence[State],
    moments: tuple[int, int],
) -> list[Document]:
    """Return the conditions of ``segments`` that flipped, with their inputs before and after.

    Under other definitions than ``before``, and where that is None, every condition is told. Before is then the truth
    of what stood in the same place of the same segment.
    """
    earlier, at = moments
    other = before is None or isinstance(before, Former)
    found: list[Document] = []
    for segment in segments:
        conditions = segment.when, segment.leave_when
        for condition, former in zip(conditions, _formerly(segment, before), strict=True):
            if condition is not None:
                was: bool | None = None
                if isinstance(before, Former):
                    was = None if former is None else former.truth(before.states, earlier)
                elif before is not None:
                    was = condition.truth(before, earlier)
                now = condition.truth(after, at)
                if other or was is not now:
                    inputs = inputs_of(condition.inputs, before, after, moments)
                    found.append(
                        {"condition": condition.source, "before": was, "after": now, "inputs": inputs}
                    )
    return found


def _formerly(segment: Segment, before: Before) -> tuple[Condition | None, Condition | None]:
    """Return what former definitions have in place of a segment's conditions."""
    if not isinstance(before, Former):
        return None, None
    former = before.segments.get(segment.name) or before.segments.get(segment.renamed_from or "")
    return (None, None) if former is None else (former.when, former.leave_when)


def over(what: str, length: int, segment: str) -> Document:
    """Return the reason of a change that anti-flap had held back.

    Parameters
    ----------
    what : str
        ``min_dwell``, ``cooldown`` or ``confirm_for``.
    length : int
        How long it is, in ms.
    segment : str
        Whose it is.

    Examples
    --------
    >>> over("min_dwell", 86_400_000, "at_risk")["condition"]
    'min_dwell 1d of at_risk is over'
    """
    text = f"{what} {format_duration(length)} of {segment} is over"
    return {"condition": text, "before": False, "after": True, "inputs": {}}


def change_document(
    user: User,
    *,
    segment: str | None,
    kind: str | None,
    group: str | None,
    change: str,
    previous: str | None,
    at: int,
    expires: int,
    cause: Document,
    reasons: list[Document],
    segments: list[str],
    definitions_version: int,
    model_version: dict[str, int],
) -> Document:
    """Return the record of one transition as the contract says; ``processed_at`` is filled in at the commit.

    Raises the user's ``sequence`` by one.
    """
    user.sequence += 1
    return {
        "schema_version": CHANGE_SCHEMA,
        "id": change_id(user.name, user.incarnation, user.sequence),
        "user_id": user.name,
        "incarnation": user.incarnation,
        "sequence": user.sequence,
        "segment": segment,
        "kind": kind,
        "group": group,
        "change": change,
        "previous": previous,
        "at": format_time(at),
        "processed_at": None,
        "expires_at": None if expires >= NEVER else format_time(expires),
        "cause": cause,
        "reasons": reasons,
        "segments": segments,
        "definitions_version": definitions_version,
        "model_version": model_version,
    }
