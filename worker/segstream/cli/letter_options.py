"""What the commands about dead letters have in common: which are meant, and what to say of records that are none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from segstream.cli.arguments import moment, user_id
from segstream.errors import UsageError

if TYPE_CHECKING:
    from segstream.adapters.kafka.letters import Foreign
    from segstream.core.letters import Wanted

Reason = Annotated[
    list[str] | None,
    typer.Option(
        "--reason", metavar="CODE", help="Only this reason, such as bad_timestamp; may be repeated."
    ),
]
Topic = Annotated[str | None, typer.Option(metavar="NAME", help="Only records of this topic.")]
User = Annotated[
    str | None, typer.Option("--user", metavar="ID", help="Only records that this user's id is the key of.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Published since then: 15m, 7d, or a time such as 2026-01-31T12:00Z."),
]
Until = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Published before then, written the same way.")
]


def _when(text: str | None, option: str) -> int | None:
    """Return a moment (ms), given as one or as how long ago."""
    from segstream.core.time import parse_duration

    if text is None:
        return None
    try:
        ago = parse_duration(text)
    except ValueError:
        return max(0, moment(text, option))  # Kafka knows no time before 1970
    return max(0, time.time_ns() // 1_000_000 - ago)


def wanted_by(
    reason: list[str] | None, topic: str | None, user: str | None, since: str | None, until: str | None
) -> Wanted:
    """Return which letters the options mean.

    Raises
    ------
    UsageError
        One of them is not what it should be.
    """
    from segstream.core.events import raw_id
    from segstream.core.letters import Wanted

    for each in reason or ():
        _check_reason(each)
    key = None if user is None else raw_id(user_id(user))
    return Wanted(frozenset(reason or ()), topic, key, _when(since, "--since"), _when(until, "--until"))


def _check_reason(reason: str) -> None:
    from segstream.core.closest import closest
    from segstream_schemas import RejectionReason

    known = [each.value for each in RejectionReason]
    if reason not in known:
        close = closest(reason, known)
        hint = f"did you mean {close!r}? There" if close else "there"
        raise UsageError(f"--reason: there is no reason {reason!r}; {hint} are {', '.join(known)}")


def tell_foreign(foreign: Foreign) -> None:
    """Say on stderr that there are records which are no dead letters, if there are any."""
    if foreign.records:
        typer.echo(str(foreign), err=True)
