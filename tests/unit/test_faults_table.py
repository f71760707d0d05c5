"""The README's table of faults is of the scenarios that there are."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import product
from textwrap import dedent
from typing import Any

from tests.faults.table import shown
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
    """``make outages`` prints it; a scenario that is new, renamed or gone makes it out of date."""
    rows, expected = shown(README.read_text(encoding="utf-8")), list(scenarios())
    assert len(expected) > 20
    assert [name for name in expected if not any(re.fullmatch(name, row) for row in rows)] == []
    assert [row for row in rows if not any(re.fullmatch(name, row) for name in expected)] == []
    assert len(rows) == len(set(rows)) == len(expected)
