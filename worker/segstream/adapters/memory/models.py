"""Snapshots and learning states of models, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from segstream.adapters.memory.server import MemoryRedis
from segstream.adapters.redis.models import KEPT
from segstream.errors import Fenced, StateLost
from segstream.ports import Training


@dataclass(slots=True)
class _Model:
    epoch: int = 0
    number: int = 0
    learning: str | None = None
    snapshots: dict[int, str] = field(default_factory=dict)


class MemoryModels:
    """``ModelStore``, the twin of ``RedisModels``.

    Parameters
    ----------
    server : MemoryRedis
    prefix : str
    """

    def __init__(self, server: MemoryRedis, prefix: str = "segstream") -> None:
        self._server, self._base = server, f"{prefix}:models:"

    async def take_over(self, name: str) -> Training:
        """Fence earlier trainers of ``name``, and return where training stands (see ``ModelStore``)."""
        model = self._model(name)
        model.epoch += 1
        return Training(model.epoch, model.number, model.learning)

    async def offer(self, name: str, epoch: int, number: int, snapshot: str, learning: str) -> None:
        """Make a snapshot the latest, together with the learning state behind it (see ``ModelStore``)."""
        model = self._owned(name, epoch)
        if number <= model.number:
            raise StateLost(f"model {name!r}: snapshot {model.number} is there already; take over again")
        model.learning, model.number = learning, number
        kept = {**model.snapshots, number: snapshot}
        model.snapshots = {each: text for each, text in kept.items() if each > number - KEPT}

    async def save(self, name: str, epoch: int, learning: str) -> None:
        """Keep the learning state (see ``ModelStore``)."""
        self._owned(name, epoch).learning = learning

    async def numbers(self, names: Sequence[str]) -> dict[str, int]:
        """Return the latest snapshot's number of each name, 0 without any."""
        return {name: self._model(name).number for name in names}

    async def snapshot(self, name: str, number: int) -> str | None:
        """Return a snapshot, ``None`` if it is not kept (any more)."""
        return self._model(name).snapshots.get(number)

    async def close(self) -> None:
        """Release nothing."""

    def _model(self, name: str) -> _Model:
        return self._server.value(self._base + name, _Model)

    def _owned(self, name: str, epoch: int) -> _Model:
        model = self._model(name)
        if model.epoch > epoch:
            raise Fenced(f"model {name!r}: trainer epoch {model.epoch} has taken over; this trainer stops")
        if model.epoch < epoch:
            raise StateLost(f"model {name!r}: the store holds trainer epoch {model.epoch}; take over again")
        return model
