"""Settings: where they come from, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstream.errors import SettingsError
from segstream.settings import load_settings


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file holds what is common, a variable what differs."""
    file = tmp_path / "segstream.toml"
    file.write_text('kafka = "one:9092"\ntopics = ["events", "crm"]\ntimer_grace = "2s"\n')
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    monkeypatch.setenv("SEGSTREAM_KAFKA", "two:9092")
    settings = load_settings()
    assert (settings.kafka, settings.topics, settings.timer_grace) == ("two:9092", ("events", "crm"), 2_000)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SEGSTREAM_CLOCK", "wall", "SEGSTREAM_CLOCK: Input should be 'arrival' or 'event'"),
        ("SEGSTREAM_TIMER_GRACE", "2 hours", "SEGSTREAM_TIMER_GRACE"),
        ("SEGSTREAM_START_FROM", "yesterday", "SEGSTREAM_START_FROM"),
        ("SEGSTREAM_KAFKKA", "one:9092", "there is no setting SEGSTREAM_KAFKKA"),
        (
            "SEGSTREAM_SETTINGS",
            "/nowhere.toml",
            "SEGSTREAM_SETTINGS names /nowhere.toml, which is not a file",
        ),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which setting, and what it may be."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said.replace("(", r"\(")):
        load_settings()


def test_a_file_that_is_not_toml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which file, and where in it."""
    file = tmp_path / "segstream.toml"
    file.write_text("kafka: one\n")
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    with pytest.raises(SettingsError, match=r"segstream\.toml is not TOML: .*line 1"):
        load_settings()


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings as text nor an error repeats a password."""
    monkeypatch.setenv("SEGSTREAM_REDIS", "redis://someone:hunter2@one:6379/0")
    monkeypatch.setenv("SEGSTREAM_KAFKA_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("SEGSTREAM_BATCH", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
