"""``segstream dead-letters``: records that could not be applied, listed and shown."""

from __future__ import annotations

import heapq
import json as json_module
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segstream.cli.arguments import Json
from segstream.cli.letter_options import Reason, Since, Topic, Until, User, tell_foreign, wanted_by
from segstream.cli.replay import replay
from segstream.cli.running import run
from segstream.errors import SegstreamError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstream.core.letters import Letter, Wanted
    from segstream.settings import Settings

SUMMARY: Final = "List, show and send again the records that could not be applied."

MOST: Final = 200
"""Letters listed at once, each up to 1 MB; `--json` without a limit has all, and holds none of them."""


def list_(
    *,
    reason: Reason = None,
    topic: Topic = None,
    user: User = None,
    since: Since = None,
    until: Until = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those whose record was not sent again.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="The newest so many; by default 20, with --json all."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Only how many there are, by reason and topic.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, the original in it as base64.")
    ] = False,
) -> None:
    """List dead letters in the order they were published, the newest at the end, then count all by reason."""
    from segstream.settings import load_settings

    wanted = wanted_by(reason, topic, user, since, until)
    most = 0 if summary else limit if limit is not None or json else 20
    run(_list(load_settings(), wanted, waiting=waiting, most=most, json=json))


async def _list(settings: Settings, wanted: Wanted, *, waiting: bool, most: int | None, json: bool) -> None:
    from segstream.adapters.connections import kafka_settings
    from segstream.adapters.kafka.letters import LetterLog, marks_topic, read_marks
    from segstream.cli.progress import reading
    from segstream.core.letters import mark

    kafka, name = kafka_settings(settings), settings.topic_dead_letters
    again = {found.known_by async for found in read_marks(kafka, marks_topic(name))}
    counts: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, str]] = Counter()
    newest: list[tuple[tuple[int, int, int], Any]] = []
    with reading("reading dead letters") as progress:
        async with LetterLog(kafka, name) as log:
            async for letters in log.letters(wanted.since):
                for letter in letters:
                    sent = mark(letter) in again
                    if not wanted.fits(letter) or (waiting and sent):
                        continue
                    kind = letter.content.reason, letter.content.topic
                    counts[kind] += 1
                    left[kind] += not sent
                    if json and most is None:
                        typer.echo(json_module.dumps(_document(letter, sent=sent), ensure_ascii=False))
                    elif most:
                        shown = _document(letter, sent=sent) if json else _row(letter, sent=sent)
                        heapq.heappush(newest, ((letter.at, letter.partition, letter.offset), shown))
                        if len(newest) > most:
                            heapq.heappop(newest)
                progress(log.passed, log.total)
    tell_foreign(log.foreign)
    _print(
        [shown for _, shown in sorted(newest, key=lambda pair: pair[0])], counts, left, json=json, most=most
    )


def _print(
    newest: list[Any],
    counts: Counter[tuple[str, str]],
    left: Counter[tuple[str, str]],
    *,
    json: bool,
    most: int | None,
) -> None:
    from segstream.cli.tables import print_table

    kinds = [(*kind, count, left[kind]) for kind, count in counts.most_common()]
    if json and most == 0:
        names = ("reason", "topic", "letters", "waiting")
        typer.echo(json_module.dumps({"reasons": [dict(zip(names, kind, strict=True)) for kind in kinds]}))
    elif json:
        for document in newest:
            typer.echo(json_module.dumps(document, ensure_ascii=False))
    elif not kinds:
        typer.echo("no dead letters")
    else:
        if newest:
            print_table(("letter", "told", "reason", "record", "key", "where", "sent again"), newest, fold=4)
            typer.echo()
        rows = [(reason, topic, f"{count:,}", f"{waiting:,}") for reason, topic, count, waiting in kinds]
        print_table(("reason", "topic", "letters", "waiting"), rows, right=(2, 3))


def _row(letter: Letter, *, sent: bool) -> tuple[str, ...]:
    from segstream.core.time import format_time

    content = letter.content
    return (
        letter.place,
        format_time(letter.at),
        content.reason,
        letter.origin,
        _text(_key(letter)),
        content.where,
        "yes" if sent else "no",
    )


def _key(letter: Letter) -> bytes | None:
    from segstream.core.letters import opened

    return opened(letter.content.key)


def _text(content: bytes | None, most: int = 60) -> str:
    if content is None:
        return "(none)"
    text = content.decode("utf-8", "backslashreplace")
    return text if len(text) <= most else f"{text[:most]}…"


def _document(letter: Letter, *, sent: bool) -> dict[str, Any]:
    from segstream.core.time import format_time

    told = {"letter": letter.place, "at": format_time(letter.at), "sent_again": sent}
    return told | letter.content.model_dump(mode="json")


# ---------------------------------------------------------------------------------------------------- show


def show(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE", help="The letter's own, such as 3-17, or the record's, such as events-3-1042."
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Show a dead letter: what is wrong and where, what to do, and the record as it was sent."""
    from segstream.settings import load_settings

    parts = place.rsplit("-", 2)
    if len(parts) not in (2, 3) or not all(part.isdigit() for part in parts[-2:]):
        raise UsageError(
            f"{place!r} is no place; write the letter's, such as 3-17, or the record's: events-3-1042"
        )
    settings = load_settings()
    found = run(_find(settings, place, own=len(parts) == 2))  # noqa: PLR2004 - partition and offset
    if found is None:
        raise SegstreamError(
            f"{settings.topic_dead_letters} has no letter at {place}, or no more; `segstream dead-letters list` shows them"
        )
    letter, sent = found
    if json:
        typer.echo(json_module.dumps(_document(letter, sent=sent), ensure_ascii=False, indent=2))
    else:
        _show(settings, letter, sent=sent)


async def _find(settings: Settings, place: str, *, own: bool) -> tuple[Letter, bool] | None:
    """Return the last letter at a place, and whether its record was sent again."""
    from segstream.adapters.connections import kafka_settings
    from segstream.adapters.kafka.letters import LetterLog, marks_topic, read_marks
    from segstream.cli.progress import reading
    from segstream.core.letters import mark

    kafka, found = kafka_settings(settings), None
    with reading("reading dead letters") as progress:
        async with LetterLog(kafka, settings.topic_dead_letters) as log:
            async for letters in log.letters():
                for letter in letters:
                    if (letter.place if own else letter.origin) == place:
                        found = letter
                progress(log.passed, log.total)
    tell_foreign(log.foreign)
    if found is None:
        return None
    again = {each.known_by async for each in read_marks(kafka, marks_topic(settings.topic_dead_letters))}
    return found, mark(found) in again


def _show(settings: Settings, letter: Letter, *, sent: bool) -> None:
    from segstream.cli.tables import visible
    from segstream.core.letters import excerpt, opened, shown
    from segstream.core.time import format_time

    content = letter.content
    value = opened(content.value)
    lines = [
        f"{settings.topic_dead_letters}, letter {letter.place}, told {format_time(letter.at)}",
        "",
        f"reason      {content.reason}" + (f", at {content.where}" if content.where else ""),
        f"what to do  {content.message}",
        *(f"            {line}" for line in excerpt(value, content.where)),
        f"record      {letter.origin}",
        f"key         {_text(_key(letter), 512)}",
        *(f"header      {name}: {_text(opened(held), 512)}" for name, held in content.headers),
        f"sent again  {'yes' if sent else 'no'}",
        f"value       {'none' if value is None else f'{content.value_length:,} bytes'}"
        + (f", of which {len(value or b''):,} are kept" if content.truncated else ""),
    ]
    for line in lines:
        typer.echo(visible(line))
    if value:
        typer.echo()
        for line in shown(value).split("\n"):
            typer.echo(visible(line))


COMMANDS: Final[tuple[tuple[str, Callable[..., None], str], ...]] = (
    ("list", list_, "segstream dead-letters list --since 24h --reason bad_timestamp"),
    ("show", show, "segstream dead-letters show events-3-1042"),
    ("replay", replay, "segstream dead-letters replay --reason future_timestamp --dry-run"),
)
"""Name, function and example of each."""
