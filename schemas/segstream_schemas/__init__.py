"""What others program against: events in, changes and memberships out, keys to read from.

Frozen pydantic models. Within a schema version fields are only added, so readers accept unknown fields and
unknown values of open enums; times are RFC 3339 UTC with milliseconds and ``Z``, ids are strings.

Examples
--------
>>> from segstream_schemas import Published
>>> Published.model_validate_json('{"incarnation": 1, "epoch": 4, "partition_sequence": 9}').epoch
4
"""

from segstream_schemas.changes import Cause, Change, InputValues, Reason, change_id
from segstream_schemas.dead_letters import DeadLetter, RejectionReason
from segstream_schemas.events import Event
from segstream_schemas.keys import ReadModelKeys
from segstream_schemas.memberships import Membership, Memberships
from segstream_schemas.published import Published
from segstream_schemas.times import Time

__all__ = [
    "Cause",
    "Change",
    "DeadLetter",
    "Event",
    "InputValues",
    "Membership",
    "Memberships",
    "Published",
    "ReadModelKeys",
    "Reason",
    "RejectionReason",
    "Time",
    "change_id",
]
