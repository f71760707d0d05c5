"""The parts of README.md and the other documents that follow from the code. ``python -m tests.readme`` renews them.

========================================  =====================================================================
``<!-- settings: begin -->`` to ``end``   a table made here; so are ``features reasons commands metrics``
``<!-- file: NAME -->``                   the next code block is a file of that name for the commands below it
``<!-- output: COMMAND -->``              the next code block is what the command prints, beside those files
``<!-- record: MODEL -->``                the next code block is a record of that model
``<!-- live -->``                         the next code block is run beside a deployment that has applied the demo's
                                          purchases (``tests/integration/test_readme_examples.py``): see `Example`
========================================  =====================================================================
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from typer.main import get_group

from segstream.adapters.metrics.catalogue import table as metrics
from segstream.cli import main
from segstream.cli.main_app import app
from segstream.cli.settings_list import settings_table
from segstream.core.features.registry import REGISTRY
from segstream_schemas import RejectionReason

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
DOCUMENTS: Final = (
    README,
    *sorted({*ROOT.glob("*.md")} - {README}),
    *sorted(
        page for folder in ("deploy", "schemas", "tests", "worker") for page in (ROOT / folder).rglob("*.md")
    ),
)
"""All that is Markdown here, README.md first."""

_ONE: Final = "one number"
_EXACT: Final = "exact"
_MEANINGS: Final = {
    "count": ("how many; with `of`: only those that hold a value there", "0", _ONE, _EXACT),
    "sum": ("their numbers added up", "0", _ONE, "exact to six decimals"),
    "mean": ("the average of their numbers", "", "two numbers", "exact to six decimals"),
    "min": ("the least number", "", _ONE, _EXACT),
    "max": ("the greatest number", "", _ONE, _EXACT),
    "first": ("what the earliest told", "", "one value", _EXACT),
    "last": ("what the latest told", "", "one value", _EXACT),
    "first_time": ("when the earliest was", "", "one time", _EXACT),
    "last_time": ("when the latest was", "", "one time", _EXACT),
    "rate": ("how often lately, per unit of time", "0", "65 numbers", "to 2⁻³³"),
    "distinct": (
        "how many different values",
        "0",
        "8 bytes a value, up to 2 KB",
        "exact up to 256, then 6.3 %",
    ),
    "top": ("the most frequent value", "", "100 values and counts", "exact or unknown"),
    "share": ("which part of them is so, 0 to 1", "", "two numbers", _EXACT),
    "days_active": ("on how many different days (UTC)", "0", "7 numbers a year", _EXACT),
}
"""Of each operation what it keeps, what it begins with, what it takes per user (or bucket), and how exact it is."""

_LIVE: Final = r"<!-- live -->\n```(?P<language>\w+)\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?"
_BLOCK: Final = r"<!-- {kind}: (?P<name>.+?) -->\n```\w*\n(?P<body>.*?)```\n"


def settings() -> str:
    """Return the table of settings, as `segstream settings --markdown` prints it."""
    return settings_table()


def features() -> str:
    """Return the table of operations: what each keeps, needs and takes."""
    rows = [
        "| op | keeps of the events selected | needs | takes | begins with | per user (in a window: and bucket) | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for op, operation in REGISTRY.items():
        keeps, begins, size, error = _MEANINGS[op]
        takes = [option for option in operation.takes if option != "kind"]
        options = (" ".join(f"`{name}`" for name in names) for names in (operation.needs, takes))
        rows.append(f"| `{op}` | {' | '.join((keeps, *options, begins or 'unknown', size, error))} |")
    return "\n".join(rows)


def reasons() -> str:
    """Return the table of reason codes, from the docstring of their enum."""
    meanings: dict[str, str] = {}
    code = ""
    for line in (inspect.getdoc(RejectionReason) or "").splitlines():
        found = re.match(r"``(\w+)``\s+(.*)", line)
        if found:
            code, meanings[found[1]] = found[1], found[2]
        elif code and line.startswith(" " * 24):
            meanings[code] += " " + line.strip()
        else:
            code = ""
    rows = ["| code | the record |", "|---|---|"]
    rows += [
        f"| `{reason.value}` | {meanings[reason.value].replace('``', '`')} |" for reason in RejectionReason
    ]
    return "\n".join(rows)


def commands() -> str:
    """Return the table of commands, from their help."""
    rows = ["| command | |", "|---|---|"]
    for name, command in get_group(app).commands.items():
        summary = (command.help or "").partition("\n\n")[0].replace("\n", " ")
        rows.append(f"| `segstream {name}` | {summary} |")
    return "\n".join(rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "settings": settings,
    "features": features,
    "reasons": reasons,
    "commands": commands,
    "metrics": metrics,
}


class Example(NamedTuple):
    """An example that needs servers, with what a user sees.

    Parameters
    ----------
    language : str
        ``python`` or ``console``.
    code : str
        The program, or one command of a shell.
    shown : tuple of str
        Lines of its output, in their order. ``...`` stands for lines left out, and at a line's end for the rest of it.
    """

    language: str
    code: str
    shown: tuple[str, ...]


def blocks(text: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of the code blocks that are marked as of a kind."""
    for found in re.finditer(_BLOCK.format(kind=kind), text, re.DOTALL):
        yield found["name"], found["body"]


def live(text: str) -> Iterator[Example]:
    r"""Yield the examples that need servers.

    A ``python`` block's output is the ``text`` block behind it; in a ``console`` block each line that begins with ``$``
    is a command, and its output follows.

    Examples
    --------
    >>> block = "<!-- live -->\n```console\n$ echo 1\n1\n$ echo 2\n2\n```\n"
    >>> [tuple(example) for example in live(block)]
    [('console', 'echo 1', ('1',)), ('console', 'echo 2', ('2',))]
    """
    for found in re.finditer(_LIVE, text, re.DOTALL):
        if found["language"] == "python":
            yield Example("python", found["code"], tuple((found["output"] or "").splitlines()))
            continue
        for part in re.split(r"^\$ ", found["code"], flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Example("console", command, tuple(output.splitlines()))


def printed(command: str, files: dict[str, str]) -> str:
    """Return what a command of ours prints, stdout and stderr, where these files are."""
    program, *arguments = shlex.split(command)
    if program != "segstream":
        message = f"only segstream's commands are run, not {program}"
        raise ValueError(message)
    out = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.chdir(directory),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        for name, content in files.items():
            Path(name).write_text(content, encoding="utf-8")
        main(arguments)
    return out.getvalue()


def renewed(text: str) -> str:
    """Return a document with all that follows from the code as it is now."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        if found:
            text = f"{before}{begin}{table()}\n{end}{rest.partition(end)[2]}"
    files = dict(blocks(text, "file"))

    def run(found: re.Match[str]) -> str:
        head = found[0][: found.start("body") - found.start()]
        return f"{head}{printed(found['name'], files)}```\n"

    return re.sub(_BLOCK.format(kind="output"), run, text, flags=re.DOTALL)


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    for page in DOCUMENTS:
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{len(DOCUMENTS)} documents are up to date\n")
