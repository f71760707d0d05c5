"""Why a segment changed, and the record that says so.

"Before" is the moment before the cause: the features without the event, one millisecond earlier, unless the user's
last decision was at this very moment; then it is that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from segstream.core.time import NEVER, format_duration, format_time
from segstream.core.types import ValueKind
from segstream_schemas.changes import change_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segstream.core.definitions import Segment
    from segstream.core.expressions import Input, Number
    from segstream.core.types import State, Value
    from segstream.core.user import User

    Document = dict[str, Any]

CHANGE_SCHEMA: Final = 1


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
    before: Sequence[State] | None,
    after: Sequence[State],
    moments: tuple[int, int],
) -> dict[str, dict[str, Value]]:
    """Return the value of each input before and after the cause.

    Parameters
    ----------
    inputs : iterable of Input or Number
        What a condition or a model reads.
    before, after : sequence of State
        Feature states without and with the cause; ``before`` is None when they cannot be compared.
    moments : (int, int)
        The moment before and that of the decision, in ms.
    """
    earlier, at = moments
    return {
        item.text: {
            "before": None if before is None else shown(item.read(before, earlier), item.kind),
            "after": shown(item.read(after, at), item.kind),
        }
        for item in inputs
    }


def reasons_for(
    segments: Iterable[Segment],
    before: Sequence[State] | None,
    after: Sequence[State],
    moments: tuple[int, int],
) -> list[Document]:
    """Return the conditions of ``segments`` that flipped, with their inputs before and after.

    Where ``before`` is None (other definitions decided the last time) every condition is told.
    """
    earlier, at = moments
    found: list[Document] = []
    for segment in segments:
        for condition in (segment.when, segment.leave_when):
            if condition is not None:
                was = None if before is None else condition.truth(before, earlier)
                now = condition.truth(after, at)
                if before is None or was is not now:
                    inputs = inputs_of(condition.inputs, before, after, moments)
                    found.append(
                        {"condition": condition.source, "before": was, "after": now, "inputs": inputs}
                    )
    return found


def dwell_over(segment: Segment) -> Document:
    """Return the reason of a change that ``min_dwell`` had held back."""
    text = f"min_dwell {format_duration(segment.min_dwell)} of {segment.name} is over"
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
