"""What the consumer group has given to this worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition

from segstream.errors import ServerError

if TYPE_CHECKING:
    from segstream.runner import Runner


class Holdings:
    """The member's consumer, a runner for each partition number owned, and what is fetched for them.

    Attributes
    ----------
    runners : dict of int to Runner
        By partition number.
    fetching : set of TopicPartition
        Whatever has been taken over; all else that is assigned is held.
    """

    def __init__(self) -> None:
        self.member: AIOKafkaConsumer | None = None
        self.runners: dict[int, Runner] = {}
        self.fetching: set[TopicPartition] = set()

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The group's consumer.

        Raises
        ------
        ServerError
            If this worker is not a member.
        """
        if self.member is None:
            raise ServerError(
                "this worker is not a member of its consumer group; it joins as soon as Kafka answers"
            )
        return self.member

    def assigned(self) -> set[TopicPartition]:
        """Return all that the group gives to this worker at the moment."""
        return set() if self.member is None else set(self.member.assignment())

    def fetched_for(self, there: TopicPartition) -> Runner | None:
        """Return the runner whose records ``there`` holds, None while nothing may be fetched from there."""
        return self.runners.get(there.partition) if there in self.fetching else None
