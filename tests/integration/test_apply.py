"""`segstream apply` on a real Redis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segstream.cli import main
from segstream.core.time import format_time, parse_time
from tests.redis_users import worker_url

pytestmark = pytest.mark.integration

LOYAL = "version: 1\nfeatures: {{orders: {{op: count}}}}\nsegments: {{loyal: {{when: orders >= {}}}}}\n"


@pytest.fixture(autouse=True)
def settings(redis_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the command at the test's Redis and at keys of its own."""
    monkeypatch.setenv("SEGSTREAM_REDIS", worker_url(redis_url))
    monkeypatch.setenv("SEGSTREAM_REDIS_PREFIX", redis_prefix.rstrip(":"))


def apply(file: Path, text: str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Write and apply a file; return what was printed."""
    file.write_text(text)
    assert main(["apply", str(file), "--yes", *options]) == 0
    return capsys.readouterr().out


def test_versions_count_up_and_what_means_the_same_is_no_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comment more is nothing new."""
    file = tmp_path / "shop.yaml"
    first = apply(file, LOYAL.format(3), capsys, "--at", "2026-01-31T12:00Z")
    assert first.endswith("\nversion 1, in force from 2026-01-31T12:00:00.000Z\n")
    again = apply(file, "# hello\n" + LOYAL.format(3), capsys)
    assert again == "version 1 already: nothing differs in meaning, nothing was published\n"
    assert apply(file, LOYAL.format(5), capsys).splitlines()[-1].startswith("version 2, in force from ")


def test_a_version_counts_in_five_seconds_and_at_once_in_a_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live workers need a moment to hear of it; in a replay the clock stands in the past."""
    file = tmp_path / "shop.yaml"
    told = json.loads(apply(file, LOYAL.format(3), capsys, "--json"))
    assert told["version"] == 1
    assert told["changed"] is True
    assert format_time(parse_time(told["effective_at"])) == told["effective_at"]
    monkeypatch.setenv("SEGSTREAM_CLOCK", "event")
    assert apply(file, LOYAL.format(4), capsys).endswith("\nversion 2, in force at once\n")
