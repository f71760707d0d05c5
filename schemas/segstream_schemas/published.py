"""What the compacted topic ``segstream-published`` carries: how far a partition's answers have been told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Published(BaseModel):
    """The record that ends every transaction of a partition; a new owner reads the last one first.

    Parameters
    ----------
    incarnation : int
        One higher each time Redis has forgotten what was told.
    epoch : int
        The owner that told it.
    partition_sequence : int
        The last entry of the outbox that was told.
    owner : str
        The owner's name; no two have the same.

    Examples
    --------
    >>> Published(incarnation=1, epoch=4, partition_sequence=1733).model_dump_json()
    '{"incarnation":1,"epoch":4,"partition_sequence":1733,"owner":""}'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    incarnation: int
    epoch: int
    partition_sequence: int
    owner: str = ""
