"""Where Apache Kafka's Java and jars come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstream.errors import LocalServerError
from segstream.local.java import KAFKA_VERSION, OLDEST_JAVA, find_java, java_version, kafka_jars


def _java_saying(version: str, folder: Path) -> Path:
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return program


def test_a_java_on_path_that_is_new_enough_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else need be installed then."""
    program = _java_saying(f"{OLDEST_JAVA}.0.1", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == program


def test_an_old_java_on_path_gives_way_to_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 8 and 11 are still what many machines have."""
    _java_saying("1.8.0_292", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_java()
    assert found.parent != tmp_path
    assert java_version(found) >= OLDEST_JAVA


def test_jars_fetched_before_need_no_network(tmp_path: Path) -> None:
    """The folder is complete or not there, so its being there is enough."""
    folder = tmp_path / f"kafka-{KAFKA_VERSION}"
    folder.mkdir()
    assert kafka_jars(tmp_path) == folder


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error says where the jars should have gone."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LocalServerError, match=f"cannot store .*{blocked}"):
        kafka_jars(blocked)
