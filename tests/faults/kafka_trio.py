"""Three nodes of Apache Kafka as one cluster: everything is kept three times, and two must have it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final, Self

from confluent_kafka.admin import AdminClient

from segstream.local.apache_kafka import ApacheKafka, new_identity
from segstream.local.ports import LOOPBACK, free_port
from tests.secure_servers import wait_until

TRANSACTION_PARTITIONS: Final = 4
START_SECONDS: Final = 120.0


class KafkaNode(ApacheKafka):
    """One of several nodes, each of them broker and controller.

    Parameters
    ----------
    number : int
        Its id.
    controllers : mapping of int to int
        Every node's controller port.
    identity : str
        The cluster's.
    """

    def __init__(self, number: int, controllers: Mapping[int, int], identity: str) -> None:
        super().__init__()
        self.number, self._controllers, self._identity = number, controllers, identity
        self.alone = True
        """Whether to wait for it when it starts: the first one cannot do anything before the second is there."""

    @property
    def up(self) -> bool:
        """Whether it has said that it is ready."""
        return super()._ready()

    def _ready(self) -> bool:
        return not self.alone or super()._ready()

    def _defaults(self, controller: int) -> dict[str, str]:  # noqa: ARG002 - the others have to know it beforehand
        own = self._controllers[self.number]
        voters = ",".join(f"{number}@{LOOPBACK}:{port}" for number, port in self._controllers.items())
        return super()._defaults(own) | {
            "node.id": str(self.number),
            "controller.quorum.voters": voters,
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "transaction.state.log.num.partitions": str(TRANSACTION_PARTITIONS),
            "share.coordinator.state.topic.replication.factor": "3",
            "share.coordinator.state.topic.min.isr": "2",
            "min.insync.replicas": "2",
            # 9 s by default until a dead broker's partitions get another leader.
            "broker.session.timeout.ms": "6000",
        }

    def _run(self, main_class: str, *arguments: str) -> list[str]:
        return [word.replace("-Xmx512m", "-Xmx256m") for word in super()._run(main_class, *arguments)]


class KafkaTrio:
    """Three nodes; use it in a ``with`` statement."""

    def __init__(self) -> None:
        identity = new_identity()
        controllers = {number: free_port() for number in (1, 2, 3)}
        self.nodes = {number: KafkaNode(number, controllers, identity) for number in controllers}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start all of them, and wait until each has found the others."""
        try:
            for node in self.nodes.values():
                node.alone = False
                self._stack.enter_context(node)
                node.alone = True
            wait_until(
                lambda: all(node.up for node in self.nodes.values()), "three nodes start", START_SECONDS
            )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        """All of them, as clients take it."""
        return ",".join(node.address for node in self.nodes.values())

    def leader(self, topic: str, partition: int) -> KafkaNode:
        """Return the node that leads a partition now."""
        return self.nodes[self._partition(topic, partition).leader]

    def coordinator(self, transactional_id: str) -> KafkaNode:
        """Return the node that coordinates a producer's transactions now."""
        number = (java_hash(transactional_id) & 0x7FFFFFFF) % TRANSACTION_PARTITIONS
        return self.leader("__transaction_state", number)

    def wait_until_whole(self, *topics: str) -> None:
        """Wait until every partition of ``topics`` is in sync on all three nodes."""

        def whole() -> bool:
            found = self._topics()
            return all(
                len(partition.isrs) == len(self.nodes)
                for topic in topics
                for partition in found[topic].partitions.values()
            )

        wait_until(whole, "all replicas are in sync", START_SECONDS)

    def _partition(self, topic: str, partition: int) -> Any:
        return self._topics()[topic].partitions[partition]

    def _topics(self) -> Any:
        return AdminClient({"bootstrap.servers": self.address}).list_topics(timeout=20).topics


def java_hash(text: str) -> int:
    """Return ``String.hashCode`` as an unsigned number, of which Kafka takes the lower 31 bits.

    Examples
    --------
    >>> java_hash("hello")
    99162322
    """
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value
