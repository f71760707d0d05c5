"""What the topic ``segment-changes`` carries: every entry and exit, once, in order per user, explained."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from segstream_schemas.times import Time

NAMESPACE: Final = UUID("c2836156-6c09-4227-b262-3919b6030751")
"""The UUID namespace of change ids. Never alter it: consumers recognise repeats by the ids."""

_NAMESPACE: Final = NAMESPACE.bytes
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def change_id(user_id: str, incarnation: int, sequence: int) -> str:
    """Return the id of a change: the same for the same change, whoever computes it, whenever.

    It is ``uuid.uuid5(NAMESPACE, f"{incarnation}/{user_id}/{sequence}")`` (RFC 9562, 5.5), written out
    because it is needed for every change and the standard library takes twice as long.

    Examples
    --------
    >>> import uuid
    >>> change_id("00042", 1, 7)
    '4c54243b-3841-5bed-9a8d-d7869bf681b3'
    >>> change_id("00042", 1, 7) == str(uuid.uuid5(NAMESPACE, "1/00042/7"))
    True
    """
    name = f"{incarnation}/{user_id}/{sequence}".encode()
    h = hashlib.sha1(_NAMESPACE + name, usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def _absent(value: object) -> bool:
    return value is None


class Cause(BaseModel):
    """What made the worker decide. Which of the fields are there depends on ``type``.

    ==============  ==============================================  ==========================================
    type            fields                                          meaning
    ==============  ==============================================  ==========================================
    ``event``       ``message_id``, ``topic``, ``partition``,       this event of the user
                    ``offset``
    ``timer``       ``due``                                         time alone: the moment a condition turned
    ``definition``  ``version``                                     new definitions were adopted
    ``model``       ``version``                                     a new snapshot of a model was adopted
    ``recovery``    none                                            Redis had lost its tail; all is restated
    ==============  ==============================================  ==========================================

    More types and fields may come; unknown ones are accepted and kept.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> Cause(type="timer", due=datetime(1997, 6, 11, tzinfo=UTC)).model_dump_json()
    '{"type":"timer","due":"1997-06-11T00:00:00.000Z"}'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    message_id: str | None = Field(default=None, exclude_if=_absent)
    topic: str | None = Field(default=None, exclude_if=_absent)
    partition: int | None = Field(default=None, exclude_if=_absent)
    offset: int | None = Field(default=None, exclude_if=_absent)
    due: Time | None = Field(default=None, exclude_if=_absent)
    version: int | None = Field(default=None, exclude_if=_absent)


class InputValues(BaseModel):
    """What a part of a condition was worth before and after; None: unknown.

    Examples
    --------
    >>> InputValues(before=2, after=3.5).model_dump_json()
    '{"before":2,"after":3.5}'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    before: bool | int | float | str | None
    after: bool | int | float | str | None


class Reason(BaseModel):
    """A condition of the segment, its truth before and after, and what went into it; None: unknown.

    Where new definitions are the cause, before is what the former ones said in the same place: of the segment's
    condition as it was, and of inputs of the same text.

    Examples
    --------
    >>> Reason(
    ...     condition="orders >= 2",
    ...     before=False,
    ...     after=True,
    ...     inputs={"orders": InputValues(before=1, after=2)},
    ... ).inputs["orders"].after
    2
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    condition: str
    before: bool | None
    after: bool | None
    inputs: dict[str, InputValues]


class Change(BaseModel):
    """One record of ``segment-changes``, keyed by user.

    Readers accept unknown fields and unknown values of ``kind``, ``change`` and ``cause.type``.

    Parameters
    ----------
    schema_version : int
        1. Within a version fields are only added.
    id : str
        See `change_id`; the same when the record is delivered again.
    user_id : str
        ``userId`` of the events, or ``anon:`` and their ``anonymousId``.
    incarnation, sequence : int
        Order of a user's changes; compare the pair. ``sequence`` has no gaps within an incarnation.
    segment : str or None
        Which one; None when ``change`` is ``restated``: such a record restates the whole answer.
    kind : str or None
        ``rule``, ``discovered``, ``prediction`` ...; None when restated.
    group : str or None
        The group the segment belongs to.
    change : str
        ``entered``, ``exited``, ``renamed`` or ``restated``. When ``renamed``, the user stays in what was called
        ``previous`` until now, since the same moment: nobody entered and nobody left.
    previous : str or None
        The segment of the same group (or of the same discovery) held before; when renamed, the former name.
    at : datetime
        When it became true.
    processed_at : datetime
        When the worker decided it. The only field that differs when a worker catches up.
    expires_at : datetime or None
        When the membership ends if nothing happens; None when that is not known exactly.
    cause : Cause
        What made the worker decide.
    reasons : tuple of Reason
        The conditions that flipped.
    segments : tuple of str
        The user's whole answer after this record, sorted.
    definitions_version : int
        The definitions that decided.
    model_version : dict of str to int
        The snapshot that decided, by discovery or prediction.

    Examples
    --------
    >>> text = (
    ...     '{"schema_version":1,"id":"4c54243b-3841-5bed-9a8d-d7869bf681b3","user_id":"00042",'
    ...     '"incarnation":1,"sequence":7,"segment":"at_risk","kind":"rule","group":"lifecycle",'
    ...     '"change":"entered","previous":"active","at":"1997-06-11T00:00:00.001Z",'
    ...     '"processed_at":"1997-06-11T00:00:00.020Z",'
    ...     '"expires_at":null,"cause":{"type":"timer","due":"1997-06-11T00:00:00.001Z"},'
    ...     '"reasons":[{"condition":"orders >= 2 and since(last_order) > 60d","before":false,"after":true,'
    ...     '"inputs":{"orders":{"before":2,"after":2}}}],'
    ...     '"segments":["at_risk","behaviour.c3","high_value"],"definitions_version":3,'
    ...     '"model_version":{"behaviour":12}}'
    ... )
    >>> change = Change.model_validate_json(text)
    >>> change.segment, change.change, change.at.isoformat()
    ('at_risk', 'entered', '1997-06-11T00:00:00.001000+00:00')
    >>> change.model_dump_json() == text
    True
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = 1
    id: str
    user_id: str
    incarnation: int
    sequence: int
    segment: str | None
    kind: str | None
    group: str | None
    change: str
    previous: str | None
    at: Time
    processed_at: Time
    expires_at: Time | None
    cause: Cause
    reasons: tuple[Reason, ...]
    segments: tuple[str, ...]
    definitions_version: int
    model_version: dict[str, int]
