"""The trainer: learns from the samples of all workers, and offers snapshots."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import structlog

from segstream.errors import Fenced, SegstreamError, StateLost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from segstream.models.recipe import Recipe
    from segstream.models.training import TrainingSession
    from segstream.ports import ModelStore

SAVE_EVERY = 5_000
"""Milliseconds between two savings of what has been learned: so much is learned again after a crash, or lost."""


class ModelTrainer:
    """Feeds one training session per discovered segmentation.

    Only the owner of the samples' one partition calls it; an owner that has lost it is fenced by its epoch.

    Parameters
    ----------
    store : ModelStore
    recipes : callable
        Returns the recipes in force by name.
    samples, interval : int
        How many samples, and how many ms, between two snapshots.
    now : callable
        Returns the time in ms.
    """

    def __init__(
        self,
        store: ModelStore,
        recipes: Callable[[], Mapping[str, Recipe]],
        samples: int,
        interval: int,
        now: Callable[[], int],
    ) -> None:
        self._store, self._recipes, self._now = store, recipes, now
        self._samples, self._interval = samples, interval
        self._sessions: dict[str, tuple[int, str, TrainingSession]] = {}
        self._saved: dict[str, tuple[int, int]] = {}
        # Learning runs in a thread: what is saved or offered meanwhile would be half of it.
        self._lock = asyncio.Lock()
        self._log = structlog.get_logger("segstream")

    def give_up(self) -> None:
        """Forget everything in memory: the samples may have another owner now."""
        self._sessions.clear()

    async def learn(self, offset: int, value: bytes) -> None:
        """Learn one record of the samples topic; one of another recipe than that in force teaches nothing."""
        try:
            sample: dict[str, Any] = json.loads(value)
            name, fingerprint, vectors = sample["model"], sample["recipe"], sample["vectors"]
        except (ValueError, KeyError, TypeError):
            self._log.warning("bad_sample", offset=offset)
            return
        recipe = self._recipes().get(name)
        if recipe is None or recipe.fingerprint != fingerprint:
            return
        try:
            async with self._lock:
                session = await self._session(recipe)
                await asyncio.to_thread(session.feed, offset, vectors)
        except (Fenced, StateLost):
            self._sessions.pop(name, None)
        except (ValueError, TypeError):
            self._log.warning("bad_sample", model=name, offset=offset)
        except SegstreamError as error:
            self._log.warning("training_interrupted", model=name, error=str(error))

    async def tick(self) -> None:
        """Offer snapshots that are due, and save what has been learned."""
        for name, (epoch, _, session) in list(self._sessions.items()):
            try:
                async with self._lock:
                    await self._offer_or_save(name, epoch, session)
            except (Fenced, StateLost):
                self._sessions.pop(name, None)
            except SegstreamError as error:
                # What was offered may be there or not: begin again from what is saved.
                self._sessions.pop(name, None)
                self._log.warning("training_not_saved", model=name, error=str(error))

    async def _offer_or_save(self, name: str, epoch: int, session: TrainingSession) -> None:
        now = self._now()
        if session.due(now, self._samples, self._interval):
            snapshot = await asyncio.to_thread(session.offer, now)
            if snapshot is not None:
                learning = json.dumps(session.to_json())
                offered = json.dumps(snapshot.to_json() | {"offered_at": now})
                await self._store.offer(name, epoch, snapshot.number, offered, learning)
                self._saved[name] = (session.offset, now)
                self._log.info("snapshot", model=name, number=snapshot.number, clusters=len(snapshot.ids))
                return
        offset, at = self._saved.get(name, (-1, 0))
        if session.offset != offset and now - at >= min(SAVE_EVERY, self._interval):
            await self._store.save(name, epoch, json.dumps(session.to_json()))
            self._saved[name] = (session.offset, now)

    async def _session(self, recipe: Recipe) -> TrainingSession:
        known = self._sessions.get(recipe.name)
        if known is not None and known[1] == recipe.fingerprint:
            return known[2]
        # River takes a second to import and 100 MB: only the trainer pays for it, and off the event loop.
        session_class = await asyncio.to_thread(_training_session)
        training = await self._store.take_over(recipe.name)
        session = session_class(recipe)
        if training.learning is not None:
            try:
                session = session_class.from_json(recipe, json.loads(training.learning))
            except ValueError as error:
                self._log.error("training_begins_anew", model=recipe.name, error=str(error))
        session.number = max(session.number, training.number)
        self._sessions[recipe.name] = (training.epoch, recipe.fingerprint, session)
        return session


def _training_session() -> type[TrainingSession]:
    from segstream.models.training import TrainingSession  # noqa: PLC0415 - see above

    return TrainingSession
