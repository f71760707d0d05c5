"""`segstream settings`: what is set, where it is from, and nothing secret."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from segstream.cli import main
from segstream.settings import Settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is set on this machine from deciding."""
    for name in [name for name in os.environ if name.startswith("SEGSTREAM_")]:
        monkeypatch.delenv(name)


def test_each_setting_is_listed_with_its_value_and_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a variable is written, so that a line can be copied; what is not at its default says since where."""
    monkeypatch.setenv("SEGSTREAM_CLOCK", "event")
    assert main(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(Settings.model_fields)
    place = lines.index("SEGSTREAM_CLOCK=event")
    assert lines[place + 1].endswith("(from environment; default arrival)")
    assert "SEGSTREAM_SESSION_TIMEOUT=10s" in lines
    assert "SEGSTREAM_KAFKA_CHECK_CRCS=true" in lines
    assert "SEGSTREAM_KAFKA_USERNAME=" in lines


def test_as_json_each_has_value_default_source_and_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment wins over the file, the file over the default."""
    file = tmp_path / "segstream.toml"
    file.write_text('group = "shop"\nclock = "arrival"\n')
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    monkeypatch.setenv("SEGSTREAM_CLOCK", "event")
    assert main(["settings", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = {
        name: (told[name]["value"], told[name]["default"], told[name]["source"])
        for name in ("SEGSTREAM_CLOCK", "SEGSTREAM_GROUP", "SEGSTREAM_BATCH", "SEGSTREAM_KAFKA_USERNAME")
    }
    assert found == {
        "SEGSTREAM_CLOCK": ("event", "arrival", "environment"),
        "SEGSTREAM_GROUP": ("shop", "segstream", str(file)),
        "SEGSTREAM_BATCH": ("1000", "1000", "default"),
        "SEGSTREAM_KAFKA_USERNAME": (None, None, "default"),
    }
    assert all(setting["meaning"] for setting in told.values())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://someone:hunter2@localhost/0", "redis://**********@localhost/0"),
        ("rediss://:hunter2@one:6380/1?password=hunter2", "rediss://**********@one:6380/1"),
        ("redis://u:hunter2/x@localhost/0", "**********"),
        ("redis://:hunter2#1@localhost/0", "**********"),
        ("redis://localhost:6379/0?password=hunter2", "redis://localhost:6379/0"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_secret_is_shown(
    url: str,
    shown: str,
    options: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where Redis is may be read, the password not; not even where it was not written as a URL has it."""
    monkeypatch.setenv("SEGSTREAM_REDIS", url)
    monkeypatch.setenv("SEGSTREAM_KAFKA_SECURITY", "SASL_PLAINTEXT")
    monkeypatch.setenv("SEGSTREAM_KAFKA_USERNAME", "someone")
    monkeypatch.setenv("SEGSTREAM_KAFKA_PASSWORD", "hunter2")
    code = main(["settings", *options])
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err
    assert code == 1 or shown in told.out


def test_a_mistake_is_told_after_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says to look at this list, so it must come: with the defaults, as what is set cannot be read."""
    monkeypatch.setenv("SEGSTREAM_CLOK", "event")
    assert main(["settings"]) == 1
    told = capsys.readouterr()
    assert "SEGSTREAM_CLOCK=arrival\n" in told.out
    assert told.err == (
        "segstream: there is no setting SEGSTREAM_CLOK; did you mean SEGSTREAM_CLOCK? `segstream settings` lists all\n"
    )
    assert main(["settings", "--json"]) == 1
    assert capsys.readouterr().out == ""


def test_the_settings_come_as_the_table_of_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    """Defaults as they are written, not as they are kept; nothing of this machine."""
    assert main(["settings", "--markdown"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.startswith("| `SEGSTREAM_SESSION_TIMEOUT` | `10s` | duration, from 6s | ") for row in rows)
    assert main(["settings", "--markdown", "--json"]) == 2
