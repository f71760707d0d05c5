"""What others program against: events in, changes and memberships out, and readers of both.

Frozen pydantic models. Within a schema version fields are only added, so readers accept unknown fields and
unknown values of open enums; times are RFC 3339 UTC with milliseconds and ``Z``, ids are strings.

Examples
--------
>>> from segstream_schemas import Published
>>> Published.model_validate_json('{"incarnation": 1, "epoch": 4, "partition_sequence": 9}').epoch
4
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from segstream_schemas.changes import Cause, Change, InputValues, Reason, change_id
from segstream_schemas.dead_letters import DeadLetter, RejectionReason
from segstream_schemas.definitions import DefinitionsDocument
from segstream_schemas.errors import ChangesError, ContractError, ReadModelError
from segstream_schemas.events import Event
from segstream_schemas.keys import ReadModelKeys
from segstream_schemas.memberships import Membership, Memberships
from segstream_schemas.published import Published
from segstream_schemas.read_model import Answer, Catalog, DiscoveryInfo, FeatureValue, Member, SegmentInfo
from segstream_schemas.sequences import Gap
from segstream_schemas.times import Time

if TYPE_CHECKING:
    from segstream_schemas.async_reader import AsyncSegmentReader
    from segstream_schemas.change_consumer import ChangeConsumer
    from segstream_schemas.reader import SegmentReader

__all__ = [
    "Answer",
    "AsyncSegmentReader",
    "Catalog",
    "Cause",
    "Change",
    "ChangeConsumer",
    "ChangesError",
    "ContractError",
    "DeadLetter",
    "DefinitionsDocument",
    "DiscoveryInfo",
    "Event",
    "FeatureValue",
    "Gap",
    "InputValues",
    "Member",
    "Membership",
    "Memberships",
    "Published",
    "ReadModelError",
    "ReadModelKeys",
    "Reason",
    "RejectionReason",
    "SegmentInfo",
    "SegmentReader",
    "Time",
    "change_id",
]

# Who only wants the models need not wait a fifth of a second for redis-py.
_LATER: Final = {
    "AsyncSegmentReader": "async_reader",
    "ChangeConsumer": "change_consumer",
    "SegmentReader": "reader",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
