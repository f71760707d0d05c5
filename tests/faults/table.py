"""The README's table of faults: ``python -m tests.faults.table LEDGER`` prints it from the file of a run's results.

There it stands between ``<!-- faults: begin -->`` and ``<!-- faults: end -->``; `shown` reads it, and with ``README.md``
as a second argument it is put there. Of several results of one fault the last counts; the exit code is 1 if one of them
is a failure, and then nothing is put anywhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.ledger import VARIABLE

HEAD = (
    "| fault | how | times | events | changes told | incarnations | seed | result |\n"
    "|---|---|--:|--:|--:|---|--:|---|\n"
)  # fmt: skip


_PLACE = re.compile(r"<!-- faults: begin -->\n(.*?)<!-- faults: end -->", re.DOTALL)


def table(lines: Iterable[str]) -> str:
    """Return the results as Markdown.

    Examples
    --------
    >>> row = {
    ...     "fault": "broker gone",
    ...     "done": "SIGKILL",
    ...     "seed": 4711,
    ...     "times": 1,
    ...     "events": 2200,
    ...     "changes": 5904,
    ...     "incarnations": [1],
    ...     "result": "as undisturbed",
    ...     "seconds": 80.5,
    ... }
    >>> print(table([json.dumps(row)]).splitlines()[-1])
    | broker gone | SIGKILL | 1 | 2,200 | 5,904 | 1 | 4711 | as undisturbed |
    """
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        row = json.loads(line)
        rows[row["fault"]] = row
    return HEAD + "".join(
        f"| {row['fault']} | {row['done']} | {row['times']:,} | {row['events']:,} | {row['changes']:,} "
        f"| {', '.join(map(str, row['incarnations']))} | {row['seed']} | {row['result']} |\n"
        for row in rows.values()
    )


def shown(text: str) -> list[str]:
    r"""Return the faults of the table in a page, row by row.

    Raises
    ------
    ValueError
        It has none, or more than one.

    Examples
    --------
    >>> shown(f"<!-- faults: begin -->\n{HEAD}| broker gone | SIGKILL | 1 | …\n<!-- faults: end -->")
    ['broker gone']
    """
    (table,) = _PLACE.findall(text)
    return [row.split("|")[1].strip() for row in table.splitlines()[2:]]


def put(table: str, text: str) -> str:
    r"""Return a page with a table in place of its own.

    Raises
    ------
    ValueError
        It has no place for one, or more than one.

    Examples
    --------
    >>> put("new\n", "A page:\n<!-- faults: begin -->\nold\n<!-- faults: end -->\n").splitlines()
    ['A page:', '<!-- faults: begin -->', 'new', '<!-- faults: end -->']
    """
    (old,) = _PLACE.finditer(text)
    return text[: old.start(1)] + table + text[old.end(1) :]


def main(arguments: list[str]) -> int:
    """Print the table, and put it into a page; return 1 if a result is a failure, or there is none."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write(f"name the file that {VARIABLE} named during the run, and perhaps README.md\n")
        return 2
    text = table(Path(arguments[0]).read_text(encoding="utf-8").splitlines())
    sys.stdout.write(text)
    if "| FAILED" in text or text == HEAD:
        return 1
    for page in map(Path, arguments[1:]):
        page.write_text(put(text, page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
