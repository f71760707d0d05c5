"""docker-compose.yml: valid under the Compose Specification, and of one piece."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from segstream.core.definitions import find_mistakes
from segstream.core.time import parse_duration
from segstream.settings import Settings
from tests.manifests import ROOT, read_yaml

SCHEMA: Final = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())
(COMPOSE,) = read_yaml((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = [name for name, service in SERVICES.items() if "build" in service]


def test_the_file_is_valid_under_the_compose_specification() -> None:
    """Every field is known and of its kind; a misspelt one would not be."""
    validator = Draft202012Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid(COMPOSE | {"services": {"worker": {"imagee": "segstream"}}})


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version(name: str) -> None:
    """Ours has the project's."""
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+(-\w+)?", image)
    if name in OURS:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert image == f"segstream:{project['version']}"
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come_about(name: str) -> None:
    """Healthy needs a health check, completed a service that ends; and health is known of all that stay."""
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"
    ends = service["restart"] == "no"
    # The worker's is the image's own.
    assert ends or name == "worker" or "test" in service["healthcheck"]
    assert not ends or service["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    """Nothing here has a password."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing_they_need_not(name: str) -> None:
    """No capabilities, no new privileges, a file system that is only read but for /tmp."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [each.partition(":")[0] for each in service["tmpfs"]] == ["/tmp"]  # noqa: S108 - within the container


@pytest.mark.parametrize("name", OURS)
def test_settings_name_the_servers_of_this_file(name: str) -> None:
    """Kafka at a listener that it tells its clients, Redis at its port; all values can be read."""
    environment = {
        key: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value)
        for key, value in SERVICES[name]["environment"].items()
        if key != "SEGSTREAM_DEFINITIONS"
    }
    given: dict[str, Any] = {
        key.removeprefix("SEGSTREAM_").lower(): value for key, value in environment.items()
    }
    settings = Settings(**given)
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert settings.kafka in {listener.partition("://")[2] for listener in listeners}
    assert settings.redis.get_secret_value() == "redis://redis:6379/0"


def test_kafka_listens_where_it_says_and_where_clients_outside_are_sent() -> None:
    """The broker's settings fit each other and the published port."""
    kafka = SERVICES["kafka"]["environment"]

    def ports(name: str) -> dict[str, str]:
        listed = [each.partition("://") for each in kafka[name].split(",")]
        return {listener: address.rpartition(":")[2] for listener, _, address in listed}

    listens, told = ports("KAFKA_LISTENERS"), ports("KAFKA_ADVERTISED_LISTENERS")
    assert told.items() <= listens.items()
    protocols = dict(each.split(":") for each in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(protocols) == set(listens)
    assert {kafka["KAFKA_INTER_BROKER_LISTENER_NAME"], kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]} <= set(
        listens
    )
    voter, _, controller = kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"].partition("@")
    assert voter == kafka["KAFKA_NODE_ID"]
    assert (
        controller == f"{SERVICES['kafka']['hostname']}:{listens[kafka['KAFKA_CONTROLLER_LISTENER_NAMES']]}"
    )
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1:{told['OUTSIDE']}:{listens['OUTSIDE']}"]
    assert SERVICES["kafka"]["volumes"] == [f"kafka:{kafka['KAFKA_LOG_DIRS']}"]


def test_redis_keeps_what_it_acknowledges_and_never_evicts() -> None:
    """Both are what the promises rest on."""
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_two_workers_have_ports_memory_and_time_to_drain() -> None:
    """As many published ports at least, a cache and an inbox that fit, and longer to stop than the worker takes."""
    worker = SERVICES["worker"]
    assert worker["deploy"]["replicas"] == 2
    (published,) = worker["ports"]
    first, last, inside = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):(\d+)", published).groups()  # type: ignore[union-attr]
    assert int(last) - int(first) + 1 >= worker["deploy"]["replicas"]
    assert int(inside) == Settings.model_fields["web_port"].default
    inbox = worker["environment"].get("SEGSTREAM_INBOX_MB", Settings.model_fields["inbox_mb"].default)
    command = SERVICES["topics"]["command"]
    libraries, in_hand = 170, 60 * int(command[command.index("--partitions") + 1])
    assert int(worker["environment"]["SEGSTREAM_CACHE_MB"]) + int(inbox) + libraries + in_hand <= 1000
    assert worker["deploy"]["resources"]["limits"]["memory"] == "1G"
    drain = parse_duration(worker["environment"]["SEGSTREAM_DRAIN_TIMEOUT"])
    assert parse_duration(worker["stop_grace_period"]) >= 1.33 * drain


def test_the_definitions_that_are_mounted_are_there_and_valid() -> None:
    """Those of the demo, at the place that the setting names."""
    (mount,) = SERVICES["worker"]["volumes"]
    source, target, how = mount.split(":")
    assert how == "ro"
    assert target == SERVICES["worker"]["environment"]["SEGSTREAM_DEFINITIONS"]
    assert find_mistakes((ROOT / source).read_text(encoding="utf-8"), source) == []


def test_the_loader_is_started_only_when_asked_for() -> None:
    """By its profile; the module it runs is in the wheel."""
    loader = SERVICES["load"]
    assert loader["profiles"] == ["demo"]
    assert loader["entrypoint"][:2] == ["python", "-m"]
    assert importlib.util.find_spec(loader["entrypoint"][2]) is not None


def test_volumes_are_declared_and_used() -> None:
    """No data in a container's own layer."""
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert used == set(COMPOSE["volumes"])
