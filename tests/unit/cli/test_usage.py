"""Wrong usage is told in one line, with the help to ask for, and ends with 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segstream.cli import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["setings"], "no such command 'setings'. Did you mean 'settings'? `segstream --help` says more"),
        (["--bogus"], "no such option: --bogus; `segstream --help` says more"),
        (["demo", "--bogus"], "no such option: --bogus; `segstream demo --help` says more"),
        (["validate"], "missing argument 'FILE...'; `segstream validate --help` says more"),
        (
            ["changes", "--limit"],
            "option '--limit' requires an argument; `segstream changes --help` says more",
        ),
        (
            ["demo", "--kafka", "other"],
            "invalid value for '--kafka': 'other' is not one of 'embedded', 'apache'; `segstream demo --help` says more",
        ),
        (["version", "now"], "got unexpected extra argument(s) (now); `segstream version --help` says more"),
        (
            ["changes", "--since", "1h", "--from", "earliest"],
            "--since and --from exclude each other; give one of them",
        ),
        (
            ["changes", "--since", "soon"],
            "--since: 'soon' is not a duration; write for instance 90s, 15m, 1h or 7d",
        ),
        (
            ["changes", "--from", "dawn"],
            "--from: 'dawn' is not a time; write for instance 1998-06-30T00:00:00Z",
        ),
        (
            ["reset", "--to", "2099-01-01T00:00Z", "--yes"],
            "--to: '2099-01-01T00:00Z' is still to come; `--to latest` goes on with what arrives from now on",
        ),
        (
            ["rebuild", "--no-wait", "--timeout", "5"],
            "--timeout: '5' is not a duration; write for instance 90s, 15m, 1h or 7d",
        ),
        (["user", "\udcff"], "the user '\\udcff' is not UTF-8; write it as that"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, without a frame; the exit code is 2."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"segstream: {told}\n")


@pytest.mark.parametrize(
    "arguments",
    [["validate", "/does/not/exist"], ["topics", "--partitions", "0"], ["topics", "--partitions", "x"]],
)
def test_a_value_that_is_not_allowed_names_the_option(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The words are typer's; they stand in one line all the same."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("segstream: invalid value for '")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--version"], ["--debug", "--version"], ["--version", "demo"]])
def test_the_version_is_also_an_option(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Of most programs one asks so; whatever else is given does not run."""
    assert main(["version"]) == 0
    command = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == command != ""


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """It is no success: a script that has lost its arguments should notice."""
    assert main([]) == 2
    assert "Usage: segstream" in capsys.readouterr().out


def test_a_listener_that_goes_away_is_no_traceback() -> None:
    """`segstream settings | head -1` closes the pipe before all is written."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "segstream", "settings"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [["settings"], ["--help"], ["version", "--json"]])
def test_a_full_disk_is_told_in_one_line(arguments: list[str]) -> None:
    """`segstream settings > file` where nothing fits any more: no traceback, and 1, since nobody has the output."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "segstream", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "segstream: cannot write the output (No space left on device); free space or write elsewhere; what the command "
        "was to do may have been done\n"
    )


def test_a_table_on_a_closed_output_is_no_error() -> None:
    """`>&-` says that nobody wants it."""
    program = "from segstream.cli import main; import sys; from segstream.cli.tables import print_table\n"
    program += "code = main(['version']); print_table(('a',), [('b',)]); sys.exit(code)"
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" >&- <&-', sys.executable, program],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
