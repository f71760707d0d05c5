"""What the demo looks like: progress on stderr, changes and the table on stdout."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from segstream.demo.telling import tell
from segstream.settings import PREFIX

if TYPE_CHECKING:
    from types import TracebackType

    from segstream.core.definitions import Definitions
    from segstream.demo.listen import Listener
    from segstream.demo.outcome import Outcome
    from segstream.demo.stage import Stage

SHOWN_PER_SECOND: Final = 8.0
"""As many lines as can be read while they scroll by: a small part of all changes, of every kind some."""

PLAIN_SECONDS: Final = 5.0
"""Between two lines of progress where stderr is no terminal."""

WIDTH: Final = 110
"""Columns of the table where stdout is no terminal."""


class Screen:
    """Shows a demo; use it in a ``with`` statement.

    Parameters
    ----------
    total : int
        How many events there are.
    definitions : Definitions
    json : bool
        Print one JSON object instead of changes and table.
    """

    def __init__(self, total: int, definitions: Definitions, *, json: bool = False) -> None:
        self._total, self._json = total, json
        self._conditions = {
            segment.name: {part.source for part in (segment.when, segment.leave_when) if part is not None}
            for segment in definitions.segments
        }
        self._err = Console(stderr=True, highlight=False)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("events"),
            TimeElapsedColumn(),
            console=self._err,
            transient=True,
            # What goes to a terminal must go past the bar; what goes elsewhere must not.
            redirect_stdout=sys.stdout.isatty(),
            disable=not self._err.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)
        self._doing = ""
        self._next_line = self._next_plain = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def phase(self, doing: str) -> None:
        """Say what is being done now."""
        if doing == self._doing:
            return
        self._doing = doing
        self._bar.update(self._task, description=doing)

    def look(self, applied: int, listener: Listener) -> None:
        """Show how far it is, and a change of those read lately."""
        self._bar.update(self._task, completed=applied)
        now = time.monotonic()
        if not self._err.is_terminal and now >= self._next_plain:
            self._next_plain = now + PLAIN_SECONDS
            text = f"{self._doing}: {applied:,} of {self._total:,} events applied, {listener.changes:,} changes published"
            self._say(f"{now - self._started:4.0f} s  {text}")
        if not self._json and now >= self._next_line and (change := listener.next_to_show()) is not None:
            self._next_line = now + 1 / SHOWN_PER_SECOND
            self._change(change)

    def result(self, outcome: Outcome) -> None:
        """Print what came out."""
        self._bar.stop()
        if outcome.missed:
            self._say(
                f"{outcome.missed:,} changes were gone before the demo read them: entries and exits lack them"
            )
        if self._json:
            print(orjson.dumps(outcome.document(), option=orjson.OPT_INDENT_2).decode(), flush=True)  # noqa: T201
            return
        console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
        console.print()
        console.print(_table(outcome))
        revenue = "" if outcome.revenue is None else f", revenue {outcome.revenue:,.2f}"
        console.print(
            f"{outcome.events:,} events of {outcome.users:,} users{revenue}; {outcome.changes:,} changes, "
            f"{outcome.dead_letters:,} dead letters; {outcome.seconds:.1f} s"
        )
        sys.stdout.flush()

    def kept(self, stage: Stage) -> None:
        """Say where everything is and how to look around."""
        variables = " ".join(
            f"{PREFIX}{name.upper()}={shlex.quote(value)}" for name, value in stage.found_by().items()
        )
        self._say(
            _ADDRESSES.format(
                kafka=stage.kafka_address, redis=stage.redis_url, log=stage.worker.log, variables=variables
            )
        )

    def _change(self, change: dict[str, Any]) -> None:
        line = tell(change, self._conditions)
        if sys.stdout.isatty():
            style = {"entered": "green", "exited": "yellow"}.get(change["change"], "")
            Console(highlight=False).print(line, style=style, markup=False, soft_wrap=True)
        else:
            print(line, flush=True)  # noqa: T201 - this is the program's output

    def _say(self, text: str) -> None:
        self._err.print(text, markup=False, soft_wrap=True)


_ADDRESSES: Final = """
Everything goes on running; Ctrl-C ends it.

  Kafka   {kafka}   topics events, segment-changes, segment-memberships, segment-dead-letters
  Redis   {redis}
  log     {log}

In another terminal, first of all:
  export {variables}

  which segments is a user in?   redis-cli -u $SEGSTREAM_REDIS HGETALL segments:user:00042
  who is in a segment?           redis-cli -u $SEGSTREAM_REDIS ZREVRANGE 'segments:members:at_risk:{{0}}' 0 9 WITHSCORES
  what is known of a user?       segstream user 00042
  what was told of a user?       segstream changes --user 00042 --from earliest
  other definitions              segstream apply FILE
"""


def _table(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("segment", no_wrap=True)
    for name in ("size", "share", "entries", "exits"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    kind = None
    for row in outcome.rows:
        if kind is not None and row.kind != kind:
            table.add_row()
        kind = row.kind
        share = f"{row.size / outcome.users:.1%}" if outcome.users else ""
        about = f"{row.label} ({row.group})" if row.kind == "rule" and row.group else row.label
        table.add_row(row.name, f"{row.size:,}", share, f"{row.entries:,}", f"{row.exits:,}", about)
    return table
