"""What deploy/ and docker-compose.yml name exists: settings, commands and their options, commands and keys of Redis."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
import pytest
import trustme
from typer.main import get_group

from segstream.adapters.kafka.letters import marks_topic
from segstream.cli.main_app import app
from segstream.settings import PREFIX, Settings, load_settings
from tests.manifests import OVERLAYS, ROOT, documents, one, pods, read_yaml

FILES: Final = [
    file
    for file in [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy").rglob("*"))]
    if file.is_file() and file.suffix != ".lock"
]
SETTINGS: Final = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}SETTINGS"}


def _commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = get_group(app).commands  # type: ignore[assignment]  # typer brings its own click
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_setting_that_is_named_exists(file: Path) -> None:
    """In code, comments and prose alike."""
    named = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b", file.read_text(encoding="utf-8")))
    assert named <= SETTINGS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_can_read_the_settings_it_is_given(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value is allowed, and they go together; the files they name are there."""
    certificate = trustme.CA().cert_pem.bytes().decode()
    for name, value in one(overlay, "ConfigMap", "segstream-settings")["data"].items():
        if name.endswith("_FILE"):
            here = tmp_path / Path(value).name
            here.write_text(certificate if here.suffix == ".crt" else "a password\n")
            monkeypatch.setenv(name, str(here))
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("SEGSTREAM_INSTANCE_ID", "segstream-0")
    settings = load_settings()
    assert settings.instance_id == "segstream-0"
    assert settings.clock == "arrival"


def _invocations() -> Iterator[tuple[str, list[str]]]:
    """Yield where, and the words behind ``segstream``, of each command that is given."""
    for overlay in OVERLAYS:
        for name, template in pods(overlay):
            yield f"{overlay}/{name}", template["spec"]["containers"][0]["args"]
    (compose,) = read_yaml((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    for name, service in compose["services"].items():
        if "build" in service and "command" in service:
            yield f"docker-compose.yml/{name}", service["command"]
    for file in FILES:
        if file.suffix == ".md":
            text = file.read_text(encoding="utf-8")
            for line in re.findall(
                r"(?:^|`|^\$ )segstream ((?:[a-z]+)(?: [^`\n|;&)]*)?)[`\n]", text, re.MULTILINE
            ):
                yield file.name, line.split()


def test_every_command_that_is_given_exists() -> None:
    """With its options."""
    commands, seen = _commands(), set()
    for where, words in _invocations():
        assert words[0] in commands, f"{where}: segstream {' '.join(words)}"
        known = {option for parameter in commands[words[0]].params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        assert given <= known | {"--help"}, f"{where}: segstream {' '.join(words)}"
        seen.add(words[0])
    assert {"worker", "topics", "apply"} <= seen


def _redis_rights() -> dict[str, set[str]]:
    """Return the commands that each user of ``redis.acl`` may give."""
    rights = {}
    for line in (ROOT / "deploy" / "redis.acl").read_text(encoding="utf-8").splitlines():
        _, user, *rules = line.split()
        rights[user] = {rule[1:].upper() for rule in rules if rule.startswith("+")}
    return rights


def test_the_worker_may_give_every_command_that_is_in_its_scripts_and_adapters() -> None:
    """Scripts act with the rights of their caller, so what is in them counts too."""
    folder = ROOT / "worker" / "segstream" / "adapters" / "redis"
    scripts = "\n".join(file.read_text(encoding="utf-8") for file in folder.glob("lua/*.lua"))
    used = set(re.findall(r"(?:redis\.p?call|\ball)\('([A-Z]+)'", scripts))
    for file in folder.glob("*.py"):
        code = file.read_text(encoding="utf-8")
        used |= set(re.findall(r"[\[(]\"([A-Z]{3,})\",", code))
    used -= {"LIMIT"}  # not a command: a range's option, kept in a tuple of its own
    used = {"SCRIPT|LOAD" if command == "SCRIPT" else command for command in used}
    assert len(used) > 20
    assert used <= _redis_rights()["segstream"]


def test_the_reader_may_give_every_command_that_reading_segments_takes() -> None:
    """`SegmentReader` says them in one place."""
    code = (ROOT / "schemas" / "segstream_schemas" / "queries.py").read_text(encoding="utf-8")
    used = {command.upper() for command in re.findall(r"Command\(\"([a-z]+)\"", code)}
    assert "HEXISTS" in used
    assert used <= _redis_rights()["segments-reader"]


@pytest.mark.parametrize("user", ["segstream", "segments-reader"])
def test_nobody_in_redis_may_do_what_would_harm_others(user: str) -> None:
    """No administration, no looking through all keys, no login before a password is set."""
    text = (ROOT / "deploy" / "redis.acl").read_text(encoding="utf-8")
    (line,) = [each for each in text.splitlines() if each.startswith(f"user {user} ")]
    assert "-@all" in line.split()
    assert "resetpass" in line.split()
    assert not {"nopass", "~*", "allkeys"} & set(line.split())
    harmful = {
        "KEYS",
        "SCAN",
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG",
        "ACL",
        "EVAL",
        "SCRIPT",
        "DEBUG",
        "SHUTDOWN",
        "MONITOR",
    }
    assert not harmful & _redis_rights()[user]
    if user == "segments-reader":
        assert "~segstream:*" not in line


def _may(user: str) -> Callable[[str, str, str], bool]:
    """Return what tells whether a KafkaUser may do something."""
    rules = one("strimzi", "KafkaUser", user)["spec"]["authorization"]["acls"]

    def may(kind: str, name: str, operation: str) -> bool:
        return any(
            rule["resource"]["type"] == kind
            and operation in rule["operations"]
            and (name == rule["resource"]["name"] or (
                rule["resource"]["patternType"] == "prefix" and name.startswith(rule["resource"]["name"])))
            for rule in rules
        )  # fmt: skip

    return may


def test_the_kafka_users_rights_cover_the_names_that_a_worker_uses() -> None:
    """Topics, both groups and transactional ids, under the settings of the same overlay."""
    settings, may = Settings(), _may("segstream")
    assert all(may("topic", topic, "Read") for topic in settings.topics)
    for topic in (settings.topic_changes, settings.topic_memberships, settings.topic_dead_letters):
        assert may("topic", topic, "Write")
        assert not may("topic", topic, "Read")
    for topic in (settings.topic_rerouted, settings.topic_published, settings.topic_samples):
        assert may("topic", topic, "Read")
        assert may("topic", topic, "Write")
    assert may("group", settings.group, "Read")
    assert may("group", f"{settings.group}-control", "Read")
    assert may("transactionalId", f"{settings.group}-11", "Write")
    assert not any(may("topic", topic, "Write") for topic in settings.topics)


def test_the_operators_rights_cover_the_names_that_commands_use_and_leave_the_group_alone() -> None:
    """All topics, the mark of what was sent again, and the transactional ids of workers and replays."""
    settings, may = Settings(), _may("segstream-operator")
    outputs = (settings.topic_changes, settings.topic_memberships, settings.topic_dead_letters)
    own = (settings.topic_rerouted, settings.topic_published, settings.topic_samples)
    for topic in (*settings.topics, *outputs, *own, marks_topic(settings.topic_dead_letters)):
        assert may("topic", topic, "Read")
        assert may("topic", topic, "Write")
    assert may("group", settings.group, "Describe")
    assert not may("group", settings.group, "Read")
    assert all(may("transactionalId", f"{settings.group}-{end}", "Write") for end in (11, "dead-letters"))


def test_no_kafka_user_may_administrate() -> None:
    """Make, change or delete anything; by a rule on the cluster, or by one that allows all."""
    users = [document for document in documents("strimzi") if document["kind"] == "KafkaUser"]
    assert {user["metadata"]["name"] for user in users} == {"segstream", "segstream-operator"}
    for user in users:
        rules = user["spec"]["authorization"]["acls"]
        assert {operation for rule in rules for operation in rule["operations"]} <= {
            "Read",
            "Write",
            "Describe",
            "DescribeConfigs",
        }
        assert {rule["resource"]["type"] for rule in rules} == {"topic", "group", "transactionalId"}
