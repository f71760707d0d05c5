"""Whether the worker is alive and ready, and what it is: in plain words, and without a word about any user."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from segstream.core.time import format_time
from segstream.runner import TAKING_OVER

if TYPE_CHECKING:
    from segstream.adapters.fetcher import Fetcher
    from segstream.adapters.holdings import Holdings
    from segstream.adapters.rivals import Rivals
    from segstream.adapters.steps import Steps
    from segstream.adapters.vitals import Vitals
    from segstream.library import Library
    from segstream.runner import Runner

LIVE_LIMIT: Final = 30.0
"""Seconds without a look at Kafka after which the process counts as stuck: a hundred times the usual wait."""

SILENT_LIMIT: Final = 20.0
"""Seconds without an answer from Kafka after which a worker is not ready; it is asked once a second."""

UNTOLD_LIMIT: Final = 10.0
"""Seconds without a transaction done, while something waits to be told, after which a partition is not ready."""

CHECK_REDIS: Final = "check_redis"
"""The step that finds out whether Redis takes writes."""


class Report(NamedTuple):
    """An answer to the question whether all is well.

    Parameters
    ----------
    well : bool
    body : dict
        JSON, with the reasons.
    """

    well: bool
    body: dict[str, Any]


class Health:
    """Answers from what the worker knows of itself: nothing is asked of a server, so it answers in an outage too.

    Parameters
    ----------
    holdings : Holdings
    fetcher : Fetcher
    vitals : Vitals
    steps : Steps
        One of which is `CHECK_REDIS`.
    library : Library
    rivals : Rivals
    """

    def __init__(
        self,
        holdings: Holdings,
        fetcher: Fetcher,
        vitals: Vitals,
        steps: Steps,
        library: Library,
        rivals: Rivals,
    ) -> None:
        self._holdings, self._fetcher, self._vitals = holdings, fetcher, vitals
        self._steps, self._library, self._rivals = steps, library, rivals

    def live(self) -> Report:
        """Tell whether the loop that asks Kafka for records comes round; if not, only a restart helps.

        It comes round in an outage of Kafka or Redis too, since a restart would not end that. A worker that is stopping
        asks for none, and ends by itself.
        """
        seconds = self._vitals.since_poll()
        well = seconds < LIVE_LIMIT or self._vitals.stopping
        return Report(well, {"live": well, "polled_seconds_ago": round(seconds, 1)})

    def ready(self) -> Report:
        """Tell whether the worker is a member of its group and works on all that it was given; if not, why not.

        Partitions from which no more is fetched for the moment are named, with what they wait for. That alone is no
        trouble: whoever has much to catch up with works at the limit of something.
        """
        runners = self._holdings.runners
        troubles = self._troubles()
        body: dict[str, Any] = {"ready": not troubles, "partitions": sorted(runners), "troubles": troubles}
        if paused := {str(number): runners[number].waits_for() for number in sorted(self._fetcher.paused)}:
            body["paused"] = paused
        return Report(not troubles, body)

    def _troubles(self) -> dict[str, str]:
        if self._vitals.stopping:
            return {"worker": "is stopping: it finishes what is in hand, then leaves the group"}
        troubles = {}
        if group := self._group_trouble():
            troubles["group"] = group
        silence = self._vitals.since_answer()
        if self._vitals.joined and silence > SILENT_LIMIT:
            troubles["kafka"] = f"no answer for {silence:.0f} s; check the brokers"
        if (error := self._steps.failing.get(CHECK_REDIS)) is not None:
            troubles["redis"] = error
        for number, runner in sorted(self._holdings.runners.items()):
            if trouble := trouble_of(runner, self._fetcher):
                troubles[str(number)] = trouble
            elif (untold := runner.untold_for()) > UNTOLD_LIMIT:
                troubles[str(number)] = (
                    f"Kafka has taken nothing that is to be published for {untold:.0f} s; check brokers and output topics"
                )
        return troubles

    def _group_trouble(self) -> str:
        if known := self._vitals.refused or self._rivals.trouble:
            return known
        return "" if self._vitals.joined else "has not been given partitions yet"

    def info(self) -> dict[str, Any]:
        """Return versions, and where each partition owned stands."""
        latest, readable = self._library.latest, self._library.readable
        definitions = self._library.definitions(readable) if readable else None
        return {
            "segstream": program_version(),
            "python": platform.python_version(),
            "definitions": {
                "version": latest,
                "content_hash": None
                if definitions is None or readable < latest
                else definitions.content_hash,
            },
            "models": {} if definitions is None else self._library.newest_models(readable, {}),
            "partitions": {
                str(number): _partition_info(runner, trouble_of(runner, self._fetcher))
                for number, runner in sorted(self._holdings.runners.items())
            },
        }


def trouble_of(runner: Runner, fetcher: Fetcher) -> str:
    """Return why a partition owned is not at work, or stands before what cannot be read; empty if neither is so."""
    return runner.trouble or fetcher.unreadable.get(runner.number, "")


def state_of(trouble: str) -> str:
    """Return which of `STATES` a partition with this trouble is in."""
    if not trouble:
        return "ready"
    return "taking_over" if trouble == TAKING_OVER else "troubled"


STATES: Final = ("taking_over", "ready", "troubled")
"""What a partition owned can be in."""


def program_version() -> str:
    """Return the version of this distribution, ``unknown`` where it runs without being installed."""
    try:
        return metadata.version("segstream")
    except metadata.PackageNotFoundError:
        return "unknown"


def _partition_info(runner: Runner, trouble: str) -> dict[str, Any]:
    found: dict[str, Any] = {"state": state_of(trouble)}
    if trouble:
        found["trouble"] = trouble
    if runner.flow is not None and runner.flow.partition.bases:
        partition = runner.flow.partition
        meta, basis = partition.meta, partition.bases[-1]
        found |= {
            "clock": format_time(meta.clock) if meta.clock else None,
            "epoch": meta.epoch,
            "incarnation": meta.incarnation,
            "definitions_version": basis.definitions,
            "model_version": basis.models,
            "sweeping": bool(meta.sweep),
            "offsets": dict(sorted(partition.applied.items())),
            # Highest offset of each source partition whose records were forwarded here.
            **({"forwarded": dict(meta.forwarded)} if meta.forwarded else {}),
        }
    return found
