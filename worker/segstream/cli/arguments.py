"""Options that several commands share, and reading what they hold.

Importing a command must be quick, since help, completion and every other command import it too: so everything heavier
than typer is imported where a command runs.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segstream.errors import DefinitionError, UsageError

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="Definitions, in YAML."),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", exists=True, dir_okay=False, readable=True, help="Definitions, in YAML."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
At = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From when it counts, as in 2026-01-31T12:00+01:00, in UTC where no zone is given; by default 5 s from now, "
        "at once in replays.",
    ),
]
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why.")]
Author = Annotated[str | None, typer.Option(metavar="NAME", help="Who; by default this machine's user.")]
Sample = Annotated[
    int, typer.Option(min=0, max=1000, help="How many users to show of those who enter or leave a segment.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
Look = Annotated[
    bool, typer.Option("--plan/--no-plan", help="Whether to look at all users first, and show what changes.")
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Whether to wait until all users are brought up to date.")
]
Timeout = Annotated[
    str, typer.Option(metavar="DURATION", help="How long to wait at most; it goes on all the same.")
]


class Broker(StrEnum):
    """Which Kafka of our own to start."""

    EMBEDDED = "embedded"
    APACHE = "apache"


Kafka = Annotated[
    Broker,
    typer.Option(help="embedded: librdkafka's mock cluster, at once; apache: Apache Kafka, run by Java."),
]


def read(file: Path) -> str:
    r"""Return a file's text.

    Line breaks are ``\n``. Of a file that is far too long only as much is read as shows that it is.

    Raises
    ------
    DefinitionError
        If it is not UTF-8.
    UsageError
        If it cannot be read.
    """
    from segstream.core.definitions.source import MAX_BYTES

    most = 2 * MAX_BYTES + 4  # a break may take two bytes, a mark at the beginning three
    try:
        with file.open("rb") as opened:
            content = opened.read(most)
        text = content.decode("utf-8", "strict" if len(content) < most else "replace")
    except UnicodeDecodeError as error:
        before = _unified(error.object[: error.start].decode())
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"not UTF-8 (byte {error.start}); save the file as UTF-8"
        raise DefinitionError(message, str(file), line, column, before[before.rfind("\n") + 1 :]) from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    return _unified(text)


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def moment(text: str, option: str) -> int:
    """Return the time (ms) that an option holds.

    Raises
    ------
    UsageError
        If it is not a time.

    Examples
    --------
    >>> moment("1998-06-30", "--until")
    899164800000
    """
    from segstream.core.time import parse_time

    try:
        return parse_time(text)
    except ValueError:
        raise UsageError(
            f"{option}: {text!r} is not a time; write for instance 1998-06-30T00:00:00Z"
        ) from None


def duration(text: str, option: str) -> int:
    """Return the duration (ms) that an option holds.

    Raises
    ------
    UsageError
        If it is not a duration.

    Examples
    --------
    >>> duration("1h", "--since")
    3600000
    """
    from segstream.core.time import parse_duration

    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(
            f"{option}: {text!r} is not a duration; write for instance 90s, 15m, 1h or 7d"
        ) from None


def user_id(text: str) -> str:
    """Return a user's id as given.

    Raises
    ------
    UsageError
        If it is no text: no event can have had it.
    """
    check_text(text, "the user")
    return text


def check_text(text: str, what: str) -> None:
    """Check that what was given is text.

    Raises
    ------
    UsageError
        If it is not: the terminal or script that called is set to another encoding.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {text!r} is not UTF-8; write it as that") from None


def since(text: str) -> int:
    """Return the moment (ms) from which on ``--since`` counts; Kafka knows none before 1970.

    Raises
    ------
    UsageError
        If it is not a duration.
    """
    import time

    return max(0, time.time_ns() // 1_000_000 - duration(text, "--since"))
