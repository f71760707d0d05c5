"""What a run has broken and what came of it, as JSON lines: `tests.faults.table` makes the README's table of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.checker import Stories

VARIABLE: Final = "SEGSTREAM_TEST_LEDGER"
"""The file that `make faults` gathers the results in; without it nothing is written."""

SAME: Final = "as undisturbed"
"""The result of most: the same changes in the same order with the same times, and one answer everywhere."""


@dataclass
class Row:
    """One fault and its result.

    Parameters
    ----------
    fault, done : str
        What happened, and how it was brought about.
    seed : int
        By which the events were drawn, see `seeds`.
    times : int
        How often.
    events, changes : int
        Records read and changes told.
    incarnations : list of int
        Those that occur in the changes.
    result : str
    seconds : float
        What the scenario took.
    """

    fault: str
    done: str
    seed: int
    times: int = 1
    events: int = 0
    changes: int = 0
    incarnations: tuple[int, ...] = ()
    result: str = SAME
    seconds: float = 0.0

    def tell(self, told: Stories, events: int) -> None:
        """Take over what was told of so many events."""
        changes = [change for changes in told.values() for change in changes]
        self.events, self.changes = events, len(changes)
        self.incarnations = tuple(sorted({change["incarnation"] for change in changes}))


@contextmanager
def entry(fault: str, done: str, times: int = 1, *, seed: int) -> Iterator[Row]:
    """Note a scenario's result, also when it fails."""
    row, begun = Row(fault, done, seed, times), time.monotonic()
    try:
        yield row
    except BaseException as error:
        row.result = f"FAILED: {type(error).__name__}"
        raise
    finally:
        row.seconds = round(time.monotonic() - begun, 1)
        if path := os.environ.get(VARIABLE):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
