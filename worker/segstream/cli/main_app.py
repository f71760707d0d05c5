"""The command's groups put together, and what every command does alike: errors and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from segstream.cli.definitions import apply, validate
from segstream.cli.demo import demo
from segstream.cli.setup import settings, topics
from segstream.cli.version import version
from segstream.cli.worker import worker
from segstream.errors import DefinitionError, SegstreamError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="segstream",
    help="Keeps every user's segments right, second by second.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(epilog="Example: segstream demo")
def _options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the program an error was raised.")
    ] = False,
) -> None:
    """Keeps every user's segments right, second by second."""  # noqa: D401 - the program's description


app.command(epilog="Example: SEGSTREAM_KAFKA=one:9092 SEGSTREAM_DEFINITIONS=shop.yaml segstream worker")(
    worker
)
app.command(epilog="Example: segstream validate shop.yaml")(validate)
app.command(epilog="Example: segstream apply shop.yaml --note 'at_risk after 45 days'")(apply)
app.command(epilog="Example: segstream demo --definitions my.yaml")(demo)
app.command(epilog="Example: segstream settings --json")(settings)
app.command(epilog="Example: segstream topics --partitions 12 --replication 3")(topics)
app.command(epilog="Example: segstream version --json")(version)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process otherwise.
    """
    arguments, debug = _without_debug(list(sys.argv[1:] if argv is None else argv))
    try:
        app(args=arguments, prog_name="segstream")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except SegstreamError as error:
        if debug:
            raise
        report(error)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def report(error: SegstreamError) -> None:
    """Write an error for a person to stderr: one line, and the place in the definitions where there is one."""
    sys.stderr.write(f"segstream: {error}\n")
    if isinstance(error, DefinitionError) and (excerpt := error.excerpt()):
        sys.stderr.write("".join(f"  {line}\n" for line in excerpt.splitlines()))


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out, wherever it stands: who adds it afterwards adds it at the end."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    head = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*head, *arguments[end:]], len(head) < end
