"""Feature vectors on their way to the trainer; they may be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiokafka import AIOKafkaProducer

from segstream.adapters.kafka.errors import kafka_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from segstream.adapters.holdings import Holdings
    from segstream.models.recipe import Recipe

VECTORS: Final = 500
"""Feature vectors per record: with 16 numbers each, some 160 KB."""


class SampleSender:
    """Sends what the partitions have sampled to the samples topic.

    Parameters
    ----------
    holdings : Holdings
    make_producer : callable
        Returns a plain producer, not started.
    recipes : callable
        Returns the recipes of the discovered segments in force.
    topic : str
        Its one partition has one trainer.
    """

    def __init__(
        self,
        holdings: Holdings,
        make_producer: Callable[[], AIOKafkaProducer],
        recipes: Callable[[], Mapping[str, Recipe]],
        topic: str,
    ) -> None:
        self._holdings, self._make_producer, self._recipes, self._topic = (
            holdings,
            make_producer,
            recipes,
            topic,
        )
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect to Kafka; raises ``ServerError`` if that fails."""
        self._producer = self._make_producer()
        with kafka_errors("connect a producer"):
            await self._producer.start()

    async def stop(self) -> None:
        """Send what is on its way, and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def send(self) -> None:
        """Send the feature vectors sampled since the last time."""
        if self._producer is None:
            return
        recipes = self._recipes()
        for name, found in self._sampled().items():
            if name in recipes:
                for first in range(0, len(found), VECTORS):
                    part = found[first : first + VECTORS]
                    sample = {"model": name, "recipe": recipes[name].fingerprint, "vectors": part}
                    await self._producer.send(self._topic, orjson.dumps(sample), partition=0)

    def _sampled(self) -> dict[str, list[list[float | None]]]:
        vectors: dict[str, list[list[float | None]]] = {}
        for runner in self._holdings.runners.values():
            if runner.flow is not None:
                samples = runner.flow.partition.samples
                while samples:
                    name, vector = samples.popleft()
                    vectors.setdefault(name, []).append(vector)
        return vectors
