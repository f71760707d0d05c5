"""The README's table of faults is of the scenarios that there are."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from importlib import import_module
from itertools import product
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.faults.ledger import Row
from tests.faults.table import HEAD, main, shown, table
from tests.readme import README, ROOT

Values = Mapping[str, object]


def cases(test: Callable[..., Any]) -> Iterator[Values]:
    """Yield what each case of a test is given by its ``parametrize`` marks."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    for values in product(*(mark.args[1] for mark in marks)):
        given: dict[str, object] = {}
        for mark, value in zip(marks, values, strict=True):
            names = mark.args[0]
            given.update({names: value} if isinstance(names, str) else zip(names, value, strict=True))
        yield given


def pattern(name: ast.expr, given: Values) -> str:
    """Return an expression for the text that code makes: what it works out for itself may be anything."""
    match name:
        case ast.Constant(value=text):
            return re.escape(str(text))
        case ast.JoinedStr(values=parts):
            return "".join(pattern(part, given) for part in parts)
        case ast.FormattedValue(value=part):
            return pattern(part, given)
        case ast.Name(id=word) if word in given:
            return re.escape(str(given[word]))
    return ".+"


def scenarios() -> Iterator[str]:
    """Yield an expression for the name of each case of each test in ``tests/faults`` that makes an entry."""
    for file in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        module = import_module(f"tests.faults.{file.stem}")
        for test in [each for word, each in vars(module).items() if word.startswith("test_")]:
            for call in ast.walk(ast.parse(dedent(inspect.getsource(test)))):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "entry":
                    yield from (pattern(call.args[0], given) for given in cases(test))


def test_the_table_of_faults_has_a_row_for_every_scenario_and_no_other() -> None:
    """``make outages`` prints it; a scenario that is new, renamed or gone makes it out of date.

    ``python -m tests.faults.table build/faults.jsonl README.md`` puts it there.
    """
    rows, expected = shown(README.read_text(encoding="utf-8")), list(scenarios())
    assert len(expected) > 20
    assert [name for name in expected if not any(re.fullmatch(name, row) for row in rows)] == []
    assert [row for row in rows if not any(re.fullmatch(name, row) for name in expected)] == []
    assert len(rows) == len(set(rows)) == len(expected)


def test_each_row_of_the_table_has_the_seed_by_which_its_events_come_again() -> None:
    """What has passed can be looked into, too: ``SEGSTREAM_TEST_SEED`` takes it."""
    text = README.read_text(encoding="utf-8")
    assert HEAD in text
    rows = text.partition(HEAD)[2].partition("<!-- faults: end -->")[0].splitlines()
    place = [name.strip() for name in HEAD.splitlines()[0].split("|")].index("seed")
    assert [row for row in rows if not row.split("|")[place].strip().isdigit()] == []


LINE = json.dumps(asdict(Row("broker gone", "SIGKILL", seed=4711)))
PAGE = "Before.\n<!-- faults: begin -->\nanother table\n<!-- faults: end -->\nAfter.\n"


def test_the_table_of_a_run_is_put_into_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In place of the one that stands there, and printed; nothing else changes."""
    ledger, page = tmp_path / "faults.jsonl", tmp_path / "README.md"
    ledger.write_text(f"{LINE}\n")
    page.write_text(PAGE)
    assert main([str(ledger), str(page)]) == 0
    assert page.read_text() == PAGE.replace("another table\n", table([LINE]))
    assert capsys.readouterr().out == table([LINE])


@pytest.mark.parametrize("lines", ["", LINE.replace("as undisturbed", "FAILED: AssertionError")])
def test_a_run_that_failed_leaves_the_page_alone(lines: str, tmp_path: Path) -> None:
    """Or one of which there is nothing."""
    ledger, page = tmp_path / "faults.jsonl", tmp_path / "README.md"
    ledger.write_text(lines)
    page.write_text(PAGE)
    assert main([str(ledger), str(page)]) == 1
    assert page.read_text() == PAGE
