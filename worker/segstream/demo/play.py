"""The demo from the first server to the last number."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from segstream.adapters.redis.progress import Progress
from segstream.demo.feed import Feeder
from segstream.demo.interrupts import Interrupted, Interrupts
from segstream.demo.listen import Listener
from segstream.demo.outcome import Outcome, collect
from segstream.demo.stage import PARTITIONS, TOPICS, Stage
from segstream.demo.waiting import SETTLING_SECONDS, Patience, Settling
from segstream.errors import SegstreamError, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstream.core.definitions import Definitions
    from segstream.demo.purchases import Entry

LOOK_SECONDS: Final = 0.05
"""Between two looks at Redis: some 500 events, a sixteenth of what is sent ahead."""


@dataclass(frozen=True)
class Programme:
    """What is played.

    Parameters
    ----------
    entries : sequence of Entry
        The events in the order to send them.
    end : int
        Where the clock is moved to after the last event, in ms.
    text : str
        The definitions.
    definitions : Definitions
        The same, read.
    kafka : {"embedded", "apache"}
    keep : bool
        Whether everything goes on running until somebody interrupts it.
    """

    entries: Sequence[Entry]
    end: int
    text: str
    definitions: Definitions
    kafka: Literal["embedded", "apache"] = "embedded"
    keep: bool = False


class Audience(Protocol):
    """Who watches."""

    def phase(self, doing: str) -> None:
        """Note that something else is being done now."""
        ...

    def look(self, applied: int, listener: Listener) -> None:
        """Note how many events are applied, and what the listener has read."""
        ...

    def result(self, outcome: Outcome) -> None:
        """Show what came out."""
        ...

    def kept(self, stage: Stage) -> None:
        """Note that everything goes on running."""
        ...


def play(programme: Programme, audience: Audience) -> None:
    """Play the programme, and stop and remove all it started, also when interrupted.

    1. Start Redis, Kafka and a worker.
    2. Send the events, no faster than they are applied.
    3. Send the control record that moves the clock to the end.
    4. Wait until nothing is left to be done.
    5. Count what came out.

    Raises
    ------
    Interrupted
        By Ctrl-C or SIGTERM.
    SegstreamError
        Something does not work; with the worker's last lines.
    """
    started = time.monotonic()
    models = [model.name for model in programme.definitions.discovered]
    learning = learning_for(len(programme.entries))
    stage = Stage(programme.kafka, programme.text, learning)
    with Interrupts() as interrupts, ExitStack() as stack:
        stack.callback(stage.close)
        try:
            audience.phase("starting")
            stage.open()  # 1
            progress = Progress(stage.redis_url, PARTITIONS)
            stack.callback(progress.close)
            listener = Listener(stage.kafka_address, TOPICS.changes, TOPICS.dead_letters, PARTITIONS)
            stack.callback(listener.close)
            listener.start()
            feeder = Feeder(stage.kafka_address, TOPICS.events[0], PARTITIONS, programme.entries)
            stack.callback(feeder.close)
            show = _Show(stage, progress, listener, feeder, audience)
            show.feed()  # 2
            audience.phase("moving the clock")
            feeder.end(programme.end)  # 3
            samples = int(learning["model_samples"])
            show.settle(Settling(progress, listener, models, TOPICS.samples, samples))  # 4
            outcome = collect(
                programme.definitions,
                progress,
                listener,
                progress.standings(TOPICS.events[0]),
                time.monotonic() - started,
            )  # 5
            audience.result(outcome)
            if programme.keep:
                audience.kept(stage)
                _wait_for_the_end(stage)
        finally:
            interrupts.ignore()


def learning_for(events: int) -> dict[str, str]:
    """Return the worker's settings about models, so that also a few events lead to some.

    Examples
    --------
    >>> learning_for(69_659)["sample_every"], learning_for(300)["sample_every"]
    ('10', '1')
    """
    every = min(10, max(1, events // 2_000))
    return {
        "sample_every": str(every),
        "model_samples": str(max(1, min(5_000, events // every // 2))),
        "model_interval": "2s",
    }


class _Show:
    """The loop around looks at where things stand."""

    def __init__(
        self, stage: Stage, progress: Progress, listener: Listener, feeder: Feeder, audience: Audience
    ) -> None:
        self._stage, self._progress, self._listener = stage, progress, listener
        self._feeder, self._audience = feeder, audience

    def feed(self) -> None:
        """Send all events as the worker takes them."""
        patience, feeder = Patience(), self._feeder
        started = False
        while not feeder.done:
            standings = self._progress.standings(TOPICS.events[0])
            applied = sum(here.applied + 1 for here in standings)
            if applied and not started:
                started = True
                self._audience.phase("replaying")
            feeder.feed(applied)
            self._audience.look(applied, self._listener)
            self._check(patience, standings, "the worker does not apply events")

    def settle(self, settling: Settling) -> None:
        """Wait until nothing is left to be done."""
        patience, limit = Patience(), Patience(SETTLING_SECONDS)
        controls = self._feeder.controls
        while True:
            standings = self._progress.standings(TOPICS.events[0])
            if settling.done(standings, controls):
                return
            applied = sum(here.applied + 1 for here in standings)
            self._audience.phase(settling.left or "making sure that nothing follows")
            self._audience.look(min(applied, self._feeder.sent), self._listener)
            self._check(
                patience, (standings, self._listener.changes, settling.left), f"stuck while {settling.left}"
            )
            self._check(limit, None, f"not done: still {settling.left}")

    def _check(self, patience: Patience, state: object, doing: str) -> None:
        self._stage.worker.check()
        try:
            patience.check(state, doing)
        except SegstreamError as error:
            raise ServerError(
                f"{error}; the worker's last lines:\n{self._stage.worker.last_lines()}"
            ) from None
        time.sleep(LOOK_SECONDS)


def _wait_for_the_end(stage: Stage) -> None:
    try:
        while True:
            stage.worker.check()
            time.sleep(0.5)
    except Interrupted:
        # What was asked for: it is how --keep ends.
        return
