"""A record of the log as it comes, and what is said of one that cannot be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream_schemas.dead_letters import RejectionReason


class Record(Protocol):
    """What is needed of a Kafka record; aiokafka's ``ConsumerRecord`` is one as it stands."""

    @property
    def topic(self) -> str:
        """Where it lies, with `partition` and `offset`."""

    @property
    def partition(self) -> int:
        """Number of the partition."""

    @property
    def offset(self) -> int:
        """Position in the partition."""

    @property
    def timestamp(self) -> int:
        """Arrival in milliseconds since 1970, UTC."""

    @property
    def key(self) -> bytes | None:
        """The raw user id, or whatever a producer put there."""

    @property
    def value(self) -> bytes | None:
        """The event as JSON, or whatever a producer put there."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Names and values in order; a name may come more than once."""


class LogRecord(NamedTuple):
    """A `Record` kept in memory; the attributes mean the same."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Rejected(NamedTuple):
    """Why a record cannot be applied.

    Parameters
    ----------
    reason : RejectionReason
        The code.
    message : str
        What is wrong and what to do. Never quotes values of the record: they may be personal data.
    where : str
        Field (``properties``) or place (``line 1 column 17``); empty for the record as a whole.
    """

    reason: RejectionReason
    message: str
    where: str = ""
