"""What the command prints, and with which code it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from segstream.cli import main
from segstream.cli.main_app import app

GOOD = """\
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  loyal: {when: "orders >= 3", min_dwell: 1d}
"""
BAD = """\
version: 1
features:
  orders: {op: count, event: Order Completed}
segments:
  loyal: {when: "orderz >= 3"}
  rare:  {when: "orders >= '3'"}
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return str(file)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    return str(file)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is set on this machine from deciding."""
    for name in ("SEGSTREAM_REDIS", "SEGSTREAM_KAFKA", "SEGSTREAM_SETTINGS", "SEGSTREAM_CLOCK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", sorted(get_group(app).commands))
def test_each_command_has_help_with_an_example(command: str) -> None:
    """Nobody should have to guess."""
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"segstream {command}" in result.output
    assert "Example:" in result.output


def test_valid_definitions_are_shown_as_they_are_understood(
    good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, and each part in one line, on stdout."""
    assert main(["validate", good]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == [
        f"{good}: valid",
        "  1 feature",
        '    orders = count event "Order Completed"',
        "  1 segment",
        "    loyal: orders >= 3; stays 1d at least",
    ]


def test_definitions_without_segments_are_shown_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are valid, to begin with; a file that was cut short is not to look whole."""
    file = tmp_path / "cut.yaml"
    file.write_text(GOOD.partition("segments:")[0] + "segments: null\n")
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  no segments"


def test_every_mistake_is_told_with_its_place_and_a_caret(
    bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All at once, on stderr, and the exit code is 1."""
    assert main(["validate", bad]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0].startswith(f"{bad}:5:18: unknown name 'orderz'")
    assert lines[1] == '    loyal: {when: "orderz >= 3"}'
    assert lines[2].index("^") == lines[1].index("orderz")
    assert lines[3].startswith(f"{bad}:6:")
    assert lines[-1] == "2 mistakes"


def test_the_schema_for_editors_is_the_published_one(capsys: pytest.CaptureFixture[str]) -> None:
    """``--schema`` needs no file and prints what ``schemas/json`` has."""
    assert main(["validate", "--schema"]) == 0
    published = Path(__file__).parents[3] / "schemas" / "json" / "definitions.schema.json"
    assert json.loads(capsys.readouterr().out) == json.loads(published.read_text("utf-8"))


def test_validate_tells_the_same_as_json(good: str, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object for all files, for programs."""
    assert main(["validate", "--json", good, bad]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is False
    assert [file["valid"] for file in document["files"]] == [True, False]
    assert document["files"][0]["definitions"]["segments"]["loyal"]["when"] == "orders >= 3"
    assert (document["files"][1]["mistakes"][0]["line"], document["files"][1]["mistakes"][0]["column"]) == (
        5,
        18,
    )


def test_applying_a_faulty_file_shows_the_place(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before any server is asked: one line, and the excerpt with a caret."""
    assert main(["apply", bad]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"segstream: {bad}:5:18: ")
    assert lines[2].index("^") == lines[1].index("orderz")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--note", "n\udcff"], "--note 'n\\udcff' is not UTF-8; write it as that"),
        (["--author", "\udcff"], "--author '\\udcff' is not UTF-8; write it as that"),
        (["--timeout", "ten"], "--timeout: 'ten' is not a duration; write for instance 90s, 15m, 1h or 7d"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_published(
    good: str, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any server is asked, needed or not."""
    assert main(["apply", good, "--yes", *options]) == 2
    assert capsys.readouterr().err == f"segstream: {told}\n"


def test_of_a_file_that_is_far_too_long_only_the_beginning_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody may name a log, or the events, in place of the definitions: `/dev/zero` never ends."""
    assert main(["validate", "/dev/zero"]) == 1
    assert capsys.readouterr().err.startswith("/dev/zero:1:1048577: the file has more than 1,048,576 bytes,")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_place_of_a_byte_that_is_no_text_counts_lines_and_characters(
    end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However lines end, and however far down it is."""
    file = tmp_path / "latin.yaml"
    file.write_bytes(f"# ü{end}".encode() * 5_000 + b"a: \xfc")
    assert main(["validate", str(file)]) == 1
    assert capsys.readouterr().err.splitlines()[0].startswith(f"{file}:5001:4: not UTF-8 (byte ")


def test_a_file_with_the_line_ends_of_windows_is_read_like_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the mark at its beginning that editors there write."""
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + BAD.replace("\n", "\r\n").encode())
    assert main(["validate", str(file)]) == 1
    assert capsys.readouterr().err.splitlines()[0].startswith(f"{file}:5:18: unknown name 'orderz'")


def test_a_server_that_is_not_there_is_one_line(
    good: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, and the exit code is 1."""
    monkeypatch.setenv("SEGSTREAM_REDIS", "redis://127.0.0.1:1/0")
    assert main(["apply", good, "--yes"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("segstream: Redis at 127.0.0.1:1")


def test_a_worker_with_a_wrong_setting_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not start."""
    monkeypatch.setenv("SEGSTREAM_CLOCK", "sundial")
    assert main(["worker"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("segstream: SEGSTREAM_CLOCK: ")


def test_a_time_that_is_none_is_wrong_usage(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named, and an example given."""
    assert main(["apply", good, "--at", "tomorrow"]) == 2
    assert capsys.readouterr().err.startswith(
        "segstream: --at: 'tomorrow' is not a time; write for instance "
    )


def test_with_debug_an_error_is_raised_as_it_is(bad: str) -> None:
    """Wherever the option stands."""
    with pytest.raises(Exception, match="orderz"):
        main(["apply", bad, "--debug"])


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """For people, and as JSON."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("segstream ")
    assert main(["version", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"segstream", "python"}
