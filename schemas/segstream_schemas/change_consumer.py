"""Users' changes from Kafka, typed, once each, in order per user."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import ValidationError

from segstream_schemas.changes import Change
from segstream_schemas.errors import ChangesError
from segstream_schemas.sequences import REMEMBERED, Gap, Sequences

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

_log: Final = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
"""Of the changes; within it fields are only added."""

FETCH: Final = 500
"""Records taken over from aiokafka at a time."""

_WAIT_MS: Final = 1_000
_OURS: Final = {"group_id", "isolation_level", "enable_auto_commit", "auto_offset_reset"}


class ChangeConsumer:
    """Reads the topic ``segment-changes``: only what was committed, each change once, in order per user.

    A repeat, such as after a rebalance, is known by (incarnation, sequence) and dropped. What a consumer has seen is kept in
    memory only: after a restart it gets again what it had not committed. So do nothing that a repeat would spoil, or keep each
    user's last (incarnation, sequence) beside what you made of it.

    Needs aiokafka: ``pip install 'segstream[consumer]'``. Its errors (a server that is not there, a wrong password)
    pass through.

    Parameters
    ----------
    bootstrap_servers : str
        ``host:port``, several joined by commas.
    group : str, optional
        Consumer group: its members share the partitions, and `commit` keeps its position. Without one, all
        partitions are read from `start`.
    topic : str
        ``SEGSTREAM_TOPIC_CHANGES`` of the worker.
    start : {"earliest", "latest"}
        Where to begin without a committed position.
    on_gap : callable, optional
        Called with each `Gap`, before the change behind it is handed out; it may raise. Gaps are logged as warnings as
        well, without the user's id.
    remember : int
        Users whose last change is kept in memory, about 250 bytes each. Of those it was longest ago of, repeats and
        gaps are not seen any more.
    **options
        For ``aiokafka.AIOKafkaConsumer``, such as ``security_protocol``.

    Raises
    ------
    ModuleNotFoundError
        If aiokafka is not installed.
    ChangesError
        When iterating: a record is not a change. Iterating once more goes on behind it. On entering: the topic is
        not there.

    Examples
    --------
    ::

        async with ChangeConsumer("localhost:9092", group="campaigns") as changes:
            async for change in changes:
                await handle(change)
                await changes.commit()
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        group: str | None = None,
        topic: str = "segment-changes",
        start: Literal["earliest", "latest"] = "earliest",
        on_gap: Callable[[Gap], object] | None = None,
        remember: int = REMEMBERED,
        **options: Any,
    ) -> None:
        if taken := sorted(_OURS & options.keys()):
            message = f"{', '.join(taken)}: set by ChangeConsumer; use group, start and commit()"
            raise TypeError(message)
        self._servers, self._group, self._topic = bootstrap_servers, group, topic
        self._options = {
            **options,
            "group_id": group,
            "isolation_level": "read_committed",
            # It would commit what has been fetched but not yet handed out.
            "enable_auto_commit": False,
            "auto_offset_reset": start,
        }
        self._on_gap = on_gap
        self._seen = Sequences(remember)
        self._fetched: deque[tuple[TopicPartition, Any]] = deque()
        self._handed: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        _aiokafka()  # said now rather than when it is entered

    async def __aenter__(self) -> Self:
        aiokafka = _aiokafka()
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=self._servers, **self._options)
        consumer.subscribe([self._topic], listener=_listener(self))
        try:
            await consumer.start()
        except BaseException as error:
            await consumer.stop()
            if isinstance(error, aiokafka.errors.UnknownTopicOrPartitionError):
                raise ChangesError(
                    f"there is no topic {self._topic} on {self._servers}; is it the worker's Kafka, and the topic the"
                    " one that SEGSTREAM_TOPIC_CHANGES says? `segstream topics` creates what is missing"
                ) from error
            raise
        self._consumer = consumer
        return self

    async def __aexit__(self, *_: object) -> None:
        consumer, self._consumer = self._consumer, None
        self._fetched.clear()
        if consumer is not None:
            await consumer.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        consumer = self._opened()
        while True:
            while self._fetched:
                where, record = self._fetched[0]
                try:
                    change = _change(record)
                except ChangesError:
                    self._hand_out(where, record)
                    raise
                place = record.partition, record.offset, change.user_id, change.incarnation, change.sequence
                # Where on_gap raises, the change has not been handed out and comes with the next iteration.
                self._tell(self._seen.gap(*place))
                self._hand_out(where, record)
                if self._seen.is_news(*place):
                    return change
            found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=FETCH)
            for where, records in found.items():
                self._fetched.extend((where, record) for record in records)

    async def commit(self) -> None:
        """Keep the group's position behind the last change handed out: what came before is not delivered again.

        Raises
        ------
        RuntimeError
            Without a group, or outside of ``async with``.
        aiokafka.errors.CommitFailedError
            The partitions have been given to another member, which reads them from the last commit on.
        """
        consumer = self._opened()
        if self._group is None:
            message = "commit() needs a group: ChangeConsumer(..., group='campaigns')"
            raise RuntimeError(message)
        if self._handed:
            await consumer.commit(dict(self._handed))

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what was fetched of partitions that go to another member; aiokafka calls this."""
        gone = set(partitions)
        self._fetched = deque(pair for pair in self._fetched if pair[0] not in gone)
        for where in gone:
            self._handed.pop(where, None)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Look out for what others have read of partitions meanwhile; aiokafka calls this."""
        for where in partitions:
            self._seen.resume(where.partition)

    def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            message = "a ChangeConsumer is used within `async with`"
            raise RuntimeError(message)
        return self._consumer

    def _hand_out(self, where: TopicPartition, record: Any) -> None:
        self._fetched.popleft()
        self._handed[where] = record.offset + 1

    def _tell(self, gap: Gap | None) -> None:
        if gap is None:
            return
        _log.warning(
            "%s partition %d: before offset %d the changes %d to %d of incarnation %d of user %s are missing",
            *(self._topic, gap.partition, gap.offset, gap.first, gap.last, gap.incarnation),
            "sha256:" + hashlib.sha256(gap.user_id.encode()).hexdigest()[:12],
        )
        _log.debug("the user whose changes are missing is %s", gap.user_id)
        if self._on_gap is not None:
            self._on_gap(gap)


def _aiokafka() -> Any:
    try:
        import aiokafka  # noqa: PLC0415 - an extra that who only reads Redis has not
        import aiokafka.errors  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed: pip install 'segstream[consumer]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return aiokafka


def _listener(consumer: ChangeConsumer) -> Any:
    from aiokafka.abc import ConsumerRebalanceListener  # noqa: PLC0415 - see above

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
        async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            consumer.revoked(revoked)

        async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            consumer.assigned(assigned)

    return Listener()


def _change(record: Any) -> Change:
    where = f"{record.topic} partition {record.partition} offset {record.offset}"
    if record.value is None:
        raise ChangesError(f"{where} has no value: it is not a change; is it the right topic?")
    try:
        change = Change.model_validate_json(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        what = f"{field}: {first['msg']}" if field else first["msg"]
        raise ChangesError(f"{where} is not a change: {what}; is it the right topic?") from error
    if change.schema_version > SCHEMA_VERSION:
        raise ChangesError(
            f"{where} is of schema version {change.schema_version}, and this package knows {SCHEMA_VERSION}: install a"
            " newer segstream"
        )
    return change
