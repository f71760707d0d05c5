"""When the demo is done: everything sent is applied, told, and decided by the newest models, and stays so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from segstream.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segstream.adapters.redis.progress import Progress, Standing, Training
    from segstream.demo.listen import Listener

STALLED_SECONDS: Final = 60.0
"""Without any step forward for so long, something is broken: the slowest step, joining a group, takes 10 s."""

SETTLING_SECONDS: Final = 600.0
"""Everything after the last event takes some 10 s; models that never come to rest are not waited for."""

STEADY_SECONDS: Final = 1.3
"""A worker sends samples once a second: what it still holds may lead to another snapshot."""


class Patience:
    """Raises an error when nothing goes forward any more.

    Parameters
    ----------
    seconds : float
        How long nothing may happen.
    """

    def __init__(self, seconds: float = STALLED_SECONDS) -> None:
        self._seconds, self._seen, self._since = seconds, object(), time.monotonic()

    def check(self, state: object, doing: str) -> None:
        """Note the state of things.

        Raises
        ------
        ServerError
            It has been the same for too long.
        """
        now = time.monotonic()
        if state != self._seen:
            self._seen, self._since = state, now
        elif now - self._since > self._seconds:
            raise ServerError(f"{doing}: no progress for {self._seconds:.0f} s")


class Settling:
    """Tells whether nothing is left to be done.

    Parameters
    ----------
    progress : Progress
    listener : Listener
    models : sequence of str
        The discovered segmentations.
    samples_topic : str
    model_samples : int
        As set for the worker.
    """

    def __init__(
        self,
        progress: Progress,
        listener: Listener,
        models: Sequence[str],
        samples_topic: str,
        model_samples: int,
    ) -> None:
        self._progress, self._listener, self._models = progress, listener, models
        self._samples_topic, self._model_samples = samples_topic, model_samples
        # The trainer saves each model's state every few seconds only; with one model its own tells when.
        self._steady = STEADY_SECONDS if len(models) < 2 else 3 * STEADY_SECONDS  # noqa: PLR2004
        self._since: float | None = None
        self._seen: object = None
        self.left = ""
        """What is not done yet, for a person."""

    def done(self, standings: Sequence[Standing], controls: Mapping[int, int]) -> bool:
        """Tell whether all is done, and has been for a while.

        Parameters
        ----------
        standings : sequence of Standing
            Of all partitions, as just read.
        controls : mapping of int to int
            Offset of each partition's control record.
        """
        trainings = {name: self._progress.training(name) for name in self._models}
        self.left = self._what_is_left(standings, controls, trainings)
        seen = (list(standings), trainings)
        now = time.monotonic()
        if self.left or seen != self._seen:
            self._since, self._seen = None, seen
        if self.left:
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= (self._steady if self._models else 0)

    def _what_is_left(
        self, standings: Sequence[Standing], controls: Mapping[int, int], trainings: Mapping[str, Training]
    ) -> str:
        newest = {name: training.number for name, training in trainings.items() if training.number}
        pairs = list(enumerate(standings))
        unlearned = self._listener.end(self._samples_topic, 0) - 1 if trainings else -1
        checks = {
            "applying the last records": any(here.applied < controls[number] for number, here in pairs),
            "firing timers": any(here.next_due <= here.clock for _, here in pairs),
            "training": any(training.waiting >= self._model_samples for training in trainings.values())
            or max((training.offset for training in trainings.values()), default=-1) < unlearned,
            "bringing users up to date": any(here.sweeping or here.models != newest for _, here in pairs),
            "publishing": any(here.outbox for _, here in pairs),
        }
        left = next((doing for doing, unfinished in checks.items() if unfinished), "")
        return left or ("" if self._listener.caught_up() else "reading what was published")
