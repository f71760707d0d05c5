"""What the topic ``segment-dead-letters`` carries: records that could not be applied, and why."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class RejectionReason(StrEnum):
    """Why a record became a dead letter. Codes are stable; more may come, so treat unknown ones as text.

    ======================  ==============================================================================
    code                    meaning
    ======================  ==============================================================================
    ``null_value``          the record has no value (a tombstone); an event topic is not a compacted topic
    ``too_large``           the value is over 256 KiB, or what a source makes of it
    ``not_utf8``            the value is not UTF-8
    ``not_json``            the value is not JSON (RFC 8259): cut off, ``NaN``, a lone surrogate, a number too
                            large for a double, a second document behind the first
    ``not_an_object``       the value is JSON, but not an object
    ``too_deep``            objects and lists are nested more than 32 deep, the event being the first
    ``missing_field``       ``type`` is missing, or ``event`` of a ``track``; or what a source has in its place
    ``wrong_type``          a field has a value of another JSON type than the Segment spec gives it, or a source
                            finds one there
    ``unknown_type``        ``type`` is none of identify, track, page, screen, group, alias
    ``no_user``             neither ``userId`` nor ``anonymousId`` is there, or both are empty; or a source finds
                            neither
    ``bad_id``              an id is over 512 bytes of UTF-8, holds a control character, or is a
                            ``userId`` that begins with ``anon:``, which is kept for users without one
    ``bad_timestamp``       the time the event is to have cannot be read as ISO 8601, or is outside the years
                            1 to 9999; or a source that says where it is finds none there
    ``future_timestamp``    the event's time is later than its arrival by more than the clock skew allowed
    ``misplaced``           the record had been forwarded to a partition where its user does not belong either: its
                            source was changed on the way, or workers have different partitioners (a record
                            that merely lies in the wrong partition is forwarded and is no dead letter)
    ``not_forwarded``       a record on ``segstream-rerouted`` that does not say where it was forwarded from
    ``unexpected_control``  a control record on a topic or in a mode that takes none
    ======================  ==============================================================================

    Examples
    --------
    >>> RejectionReason.NO_USER == "no_user"
    True
    """

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_TYPE = "unknown_type"
    NO_USER = "no_user"
    BAD_ID = "bad_id"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    MISPLACED = "misplaced"
    NOT_FORWARDED = "not_forwarded"
    UNEXPECTED_CONTROL = "unexpected_control"


class DeadLetter(BaseModel):
    """One record of ``segment-dead-letters``: the original, where it was, and what is wrong with it.

    Parameters
    ----------
    schema_version : int
        1. Within a version fields are only added.
    topic, partition, offset : str, int, int
        Where the original lies.
    reason : str
        One of `RejectionReason`, or a code newer than this package.
    message : str
        For a person: what is wrong and what to do. Holds names of fields, never their values.
    where : str
        The field (``properties``) or place (``line 1 column 17``) meant; empty for the record as a whole.
    value, key : str or None
        The original bytes in base64; None where the original had none.
    headers : tuple of (str, str or None)
        Name and value in base64, in the original's order.
    value_length : int
        Bytes of the original value; 0 when it had none.
    truncated : bool
        True when the original was too large to be sent on whole, and ``value`` (possibly ``key`` and
        ``headers``) holds only its beginning.

    Examples
    --------
    >>> letter = DeadLetter.model_validate_json(
    ...     '{"schema_version":1,"topic":"events","partition":2,"offset":17,"reason":"not_json",'
    ...     '"message":"The value is not JSON.","where":"line 1 column 1","value":"aGVsbG8=",'
    ...     '"key":"MDAwNDI=","headers":[["trace","YWI="]],"value_length":5,"truncated":false}'
    ... )
    >>> import base64
    >>> letter.reason, base64.b64decode(letter.value or "")
    ('not_json', b'hello')
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = 1
    topic: str
    partition: int
    offset: int
    reason: str
    message: str
    where: str
    value: str | None
    key: str | None
    headers: tuple[tuple[str, str | None], ...]
    value_length: int
    truncated: bool = False
