"""Help, version and completion are quick: they import none of what the commands need to run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = [
    "aiokafka", "annotated_types", "asyncio", "confluent_kafka", "faust", "lark", "msgpack", "numpy", "orjson", "pydantic",
    "pydantic_settings", "redis", "river", "ruamel", "segstream_schemas", "structlog",
]  # fmt: skip

PROGRAM = """
import sys
from segstream.cli import main
code = main(sys.argv[1:])
sys.stderr.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def imported(*arguments: str, shell: str = "", **variables: str) -> tuple[str, set[str]]:
    """Return what a command prints, run by a line of bash's if one is given, and the packages that it has imported."""
    within = ["bash", "-c", shell] if shell else []
    done = subprocess.run(
        [*within, sys.executable, "-c", PROGRAM, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["version", "--json"], ["changes", "--help"]])
def test_looking_around_imports_nothing_heavy(arguments: list[str]) -> None:
    """Not even pydantic, which typer asks for where a flag has no default."""
    printed, modules = imported(*arguments)
    assert printed
    assert modules & set(HEAVY) == set()


def test_completion_imports_nothing_heavy_and_completes() -> None:
    """A shell asks at every Tab: names of commands, then options of the one that was typed."""
    words = {"_SEGSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": "segstream se", "COMP_CWORD": "1"}
    printed, modules = imported(**words)
    assert printed.split() == ["segments", "settings"]
    assert modules & set(HEAVY) == set()
    printed, modules = imported(**words | {"COMP_WORDS": "segstream changes --f", "COMP_CWORD": "2"})
    assert printed.split() == ["--follow", "--from"]
    # Typer's own way to look at options that are no flags.
    assert modules & set(HEAVY) <= {"pydantic", "annotated_types"}


def test_completion_can_be_shown_for_a_shell() -> None:
    """`segstream --install-completion` writes the same into the shell's own file."""
    # The shell is found among the processes above, of which a test run need not have one.
    line, detected = '"$0" "$@"; exit $?', {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": ""}
    printed, _ = imported("--show-completion", shell=line, **detected)
    assert "segstream" in printed
