"""All segments at a glance: sizes as Redis has them, recent entries and exits as Kafka has them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import orjson

from segstream.adapters.connections import kafka_settings, redis_settings
from segstream.adapters.kafka.changes import ChangeLog
from segstream.adapters.redis.connection import address, connect
from segstream.adapters.redis.errors import redis_errors
from segstream.adapters.redis.look import Look
from segstream.errors import ServerError
from segstream_schemas import AsyncSegmentReader, Catalog
from segstream_schemas.errors import ContractError

if TYPE_CHECKING:
    from segstream.settings import Settings


class Row(NamedTuple):
    """A segment.

    Parameters
    ----------
    name : str
    size : int
        How many users are in it.
    entries, exits : int or None
        How many were published since the moment asked for; None where none was.
    label, group, kind : str or None
        As the catalog has them; ``kind`` None for a segment that is not in it any more.
    """

    name: str
    size: int
    entries: int | None
    exits: int | None
    label: str | None
    group: str | None
    kind: str | None


class Overview(NamedTuple):
    """All of them.

    Parameters
    ----------
    users : int
        How many users have a state, whether in a segment or not.
    rows : list of Row
        Those outside any group first, then group by group, discovered ones last; by name.
    """

    users: int
    rows: list[Row]


async def survey(
    settings: Settings, since: int | None, progress: Callable[[int, int], object] | None = None
) -> Overview:
    """Return all segments.

    Parameters
    ----------
    settings : Settings
    since : int or None
        From when on (ms) published entries and exits are counted; None: Kafka is not asked.
    progress : callable, optional
        Told how many offsets are read, of how many.

    Raises
    ------
    LayoutError
        The topic of changes is missing.
    ServerError
        A server cannot be reached, refuses, or holds something else than a worker of this version writes.
    """
    catalog, sizes, users = await _sizes(settings)
    entries, exits = Counter[str](), Counter[str]()
    if since is not None:
        entries, exits = await _moves(settings, since, progress)
    gone = sorted({*entries, *exits} - {*sizes})
    rows = []
    for name in (*sizes, *gone):
        info = catalog.segments.get(name)
        label, group, kind = (info.label, info.group, info.kind) if info else (None, None, None)
        came, went = (None, None) if since is None else (entries[name], exits[name])
        rows.append(Row(name, sizes.get(name, 0), came, went, label, group, kind))
    return Overview(users, sorted(rows, key=_place))


def _place(row: Row) -> tuple[object, ...]:
    # c10 comes after c2.
    parts = [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", row.name)]
    return row.kind is None, row.kind != "rule", row.group or "", parts


async def _sizes(settings: Settings) -> tuple[Catalog, dict[str, int], int]:
    client = connect(redis_settings(settings))
    look = Look(client, settings.redis_prefix)
    try:
        with redis_errors(address(client)):
            reader = AsyncSegmentReader(client, prefix=settings.segments_prefix)
            catalog, sizes = await reader.catalog(), await reader.sizes()
        return catalog, sizes, await look.users(catalog.partitions)
    except ContractError as error:
        raise ServerError(str(error)) from error
    finally:
        await look.close()
        await client.aclose()


async def _moves(
    settings: Settings, since: int, progress: Callable[[int, int], object] | None
) -> tuple[Counter[str], Counter[str]]:
    """Return entries and exits by segment; memory does not grow with how many there are."""
    entries, exits = Counter[str](), Counter[str]()
    counters = {"entered": entries, "exited": exits}
    async with ChangeLog(kafka_settings(settings), settings.topic_changes) as log:
        await log.start(since)
        async for records in log.batches():
            for record in records:
                try:
                    change = orjson.loads(record.value or b"")
                    segment, counter = change["segment"], counters.get(change["change"])
                except (ValueError, KeyError, TypeError):
                    raise ServerError(
                        f"{record.topic}-{record.partition}, offset {record.offset}: not a change; does another program "
                        "write to this topic?"
                    ) from None
                if segment is not None and counter is not None:
                    counter[segment] += 1
            if progress is not None:
                progress(log.passed, log.total)
    return entries, exits
