"""Keeps every user's segments right, second by second.

For programs that read segments or consume their changes, everything of `segstream_schemas` is here too; that needs
no extra. The program itself is the extra ``worker``, and its modules are no interface.

Examples
--------
>>> import segstream
>>> segstream.ReadModelKeys().user("00042")
'segments:user:00042'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segstream_schemas import (
        Answer,
        AsyncSegmentReader,
        Catalog,
        Cause,
        Change,
        ChangeConsumer,
        ChangesError,
        ContractError,
        DeadLetter,
        DefinitionsDocument,
        DiscoveryInfo,
        Event,
        FeatureValue,
        Gap,
        InputValues,
        Member,
        Membership,
        Memberships,
        Published,
        ReadModelError,
        ReadModelKeys,
        Reason,
        RejectionReason,
        SegmentInfo,
        SegmentReader,
        Time,
        change_id,
    )

# Equal to those of segstream_schemas; written out for tools that read without running.
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


def __getattr__(name: str) -> Any:
    # Every module of the worker imports this one: what readers need is loaded when they ask.
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import segstream_schemas  # noqa: PLC0415 - see above

    found = getattr(segstream_schemas, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
