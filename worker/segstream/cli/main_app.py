"""The command's groups put together, and what every command does alike: errors and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

from segstream.cli import dead_letters
from segstream.cli.changes import changes
from segstream.cli.definitions import apply, plan, validate
from segstream.cli.demo import demo
from segstream.cli.explain import explain
from segstream.cli.local import local
from segstream.cli.rebuild import rebuild
from segstream.cli.reset import reset
from segstream.cli.segments import segments
from segstream.cli.settings import settings
from segstream.cli.topics import topics
from segstream.cli.user import user
from segstream.cli.verify import verify
from segstream.cli.version import version
from segstream.cli.versions import diff, history, rollback
from segstream.cli.worker import worker
from segstream.errors import DefinitionError, SegstreamError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _plain(parameters: list[Any]) -> list[Any]:
    """Make flags that nobody gave false: typer's own are None, and to look at that it imports pydantic.

    That would be half the time that `segstream version`, or a completion, takes.
    """
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.default is None:
            parameter.default = False
    return parameters


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters."""
        return _plain(super().get_params(ctx))


class Commands(TyperGroup):
    """All of them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters."""
        return _plain(super().get_params(ctx))


app = typer.Typer(
    name="segstream",
    cls=Commands,
    help="Keeps every user's segments right, second by second.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if asked:
        version()
        raise typer.Exit


@app.callback(epilog="Example: segstream demo")
def _options(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the program's version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the program an error was raised.")
    ] = False,
) -> None:
    """Keeps every user's segments right, second by second."""  # noqa: D401 - the program's description


def _add(function: Callable[..., None], example: str) -> None:
    app.command(cls=Command, epilog=f"Example: {example}")(function)


def _add_group(name: str, summary: str, commands: Sequence[tuple[str, Callable[..., None], str]]) -> None:
    group = typer.Typer(cls=Commands, help=summary, epilog=f"Example: {commands[0][2]}")
    for command, function, example in commands:
        group.command(command, cls=Command, epilog=f"Example: {example}")(function)
    app.add_typer(group, name=name)


_add(worker, "SEGSTREAM_KAFKA=one:9092 SEGSTREAM_DEFINITIONS=shop.yaml segstream worker")
_add(validate, "segstream validate shop.yaml")
_add(plan, "segstream plan shop.yaml --sample 5")
_add(apply, "segstream apply shop.yaml --note 'at_risk after 45 days'")
_add(history, "segstream history --json")
_add(diff, "segstream diff active shop.yaml")
_add(rollback, "segstream rollback 3 --note 'too many in at_risk'")
_add(demo, "segstream demo --definitions my.yaml")
_add(local, "segstream local --kafka apache")
_add(topics, "segstream topics --check")
_add(user, "segstream user 00042")
_add(explain, "segstream explain 00042 at_risk")
_add(segments, "segstream segments --since 24h")
_add(changes, "segstream changes --follow --segment at_risk")
_add_group("dead-letters", dead_letters.SUMMARY, dead_letters.COMMANDS)
_add(rebuild, "segstream rebuild --timeout 1h")
_add(reset, "segstream reset --partition 3 --to earliest")
_add(verify, "segstream verify --partition 3")
_add(settings, "segstream settings --json")
_add(version, "segstream version --json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process otherwise.
    """
    arguments, debug = _without_debug(list(sys.argv[1:] if argv is None else argv))
    if not debug:
        # Kafka's client logs what it then raises; errors are told in one line. (The worker sets up logging itself.)
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        # Without standing alone typer leaves errors to us, and returns what a command exits with.
        code = app(args=arguments or ["--help"], prog_name="segstream", standalone_mode=False)
    except SystemExit as end:  # completion ends the process itself
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except typer.Abort:
        sys.stderr.write("segstream: aborted\n")
        return 1
    except TyperException as error:
        sys.stderr.write(f"segstream: {_usage(error, arguments)}\n")
        return error.exit_code
    except SegstreamError as error:
        if debug:
            raise
        report(error)
        return 2 if isinstance(error, UsageError) else 1
    if not arguments:
        return 2
    return code if isinstance(code, int) else 0


def report(error: SegstreamError) -> None:
    """Write an error for a person to stderr: one line, and the place in the definitions where there is one."""
    sys.stderr.write(f"segstream: {error}\n")
    if isinstance(error, DefinitionError) and (excerpt := error.excerpt()):
        sys.stderr.write("".join(f"  {line}\n" for line in excerpt.splitlines()))


def _usage(error: TyperException, arguments: Sequence[str]) -> str:
    """Return what is wrong with the call in one line, with the help to ask for."""
    text = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    text = f"{text[:1].lower()}{text[1:]}" + ("" if text.endswith("?") else ";")
    # Not every error of typer's knows which command it is about.
    here: Any = get_group(app)
    named = ["segstream"]
    for word in arguments:
        if word in getattr(here, "commands", ()):
            here = here.commands[word]
            named.append(word)
    return f"{text} `{' '.join(named)} --help` says more"


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out, wherever it stands: who adds it afterwards adds it at the end."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    head = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*head, *arguments[end:]], len(head) < end
