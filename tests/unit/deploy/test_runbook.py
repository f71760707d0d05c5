"""deploy/README.md: what it names is there, and it has an answer to every alert."""

from __future__ import annotations

import re
from typing import Final

import jq  # type: ignore[import-not-found]  # it ships no types
import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
import pytest

from segstream.settings import Settings
from tests.manifests import OVERLAYS, ROOT, documents, one, read_yaml

DEPLOY: Final = ROOT / "deploy"
TEXT: Final = (DEPLOY / "README.md").read_text(encoding="utf-8")


def test_every_alert_has_a_row_and_every_row_an_alert() -> None:
    """By name, in the table of the runbook."""
    (rules,) = read_yaml((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
    # On their own, or within the object of Prometheus' operator.
    groups = rules.get("spec", rules)["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts
    assert set(re.findall(r"^\| `(Segstream\w+)` \|", TEXT, re.MULTILINE)) == alerts


def test_every_file_that_is_named_is_there() -> None:
    """In the table at its beginning, and where folders are told."""
    named = set(re.findall(r"`([\w./-]+\.(?:acl|yaml|json|yml|lock)|Dockerfile|kubernetes/)`", TEXT))
    assert {"redis.acl", "Dockerfile", "../docker-compose.yml"} <= named
    # The user's own.
    assert [name for name in named - {"definitions.yaml"} if not (DEPLOY / name).exists()] == []
    for overlay in OVERLAYS:
        assert f"| `{overlay}` |" in TEXT


def test_the_secrets_it_makes_are_those_that_are_mounted() -> None:
    """With their keys."""
    made = {
        (name, key)
        for name, files in re.findall(r"create secret generic (\S+) (.*)", TEXT)
        for key in re.findall(r"--from-file=([\w.]+)=", files)
    }
    spec = one("production", "StatefulSet", "segstream")["spec"]["template"]["spec"]
    (volume,) = [each for each in spec["volumes"] if "projected" in each]
    mounted = {
        (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert made == mounted


def test_each_overlay_is_named_with_its_namespace() -> None:
    """Commands have to name it."""
    for overlay in OVERLAYS:
        assert (
            f"| `{overlay}` | `{one(overlay, 'StatefulSet', 'segstream')['metadata']['namespace']}`" in TEXT
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pod_for_commands_has_the_workers_settings_and_is_none_of_them(overlay: str) -> None:
    """Valid, restricted as they are, let out by the same policy; no Service sends to it, no setting makes it a worker."""
    workers = one(overlay, "StatefulSet", "segstream")
    (program,) = set(re.findall(r"jq --from-file deploy/(\S+)", TEXT))
    pod = jq.compile((DEPLOY / program).read_text(encoding="utf-8")).input_value(workers).first()
    kubernetes_validate.validate(pod, "1.30", strict=True)
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    assert f"pod/{pod['metadata']['name']}\n" in TEXT
    assert f"{pod['metadata']['name']} -- segstream reset" in TEXT
    chosen = {
        (each["kind"], each["metadata"]["name"]): selector.items() <= labels.items()
        for each in documents(overlay)
        for found in [each.get("spec", {}).get("podSelector", each.get("spec", {}).get("selector"))]
        if found is not None
        for selector in [found.get("matchLabels", found)]
    }
    assert {name for name, is_chosen in chosen.items() if is_chosen} == {("NetworkPolicy", "segstream")}
    assert len(chosen) >= 5
    before = workers["spec"]["template"]["spec"]
    (container,), (worker,) = spec["containers"], before["containers"]
    for same in ("image", "envFrom", "resources", "securityContext", "volumeMounts"):
        assert container[same] == worker[same]
    for same in (
        "securityContext",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "serviceAccountName",
    ):
        assert spec[same] == before[same]
    # Kubernetes lets `env` win over what comes from the ConfigMap.
    given = one(overlay, "ConfigMap", "segstream-settings")["data"]
    given |= {each["name"]: each["value"] for each in container.get("env", ())}
    login = (
        "segstream-operator"
        if Settings.model_validate(_named(given)).kafka_security.startswith("SASL")
        else None
    )
    assert given.get("SEGSTREAM_KAFKA_USERNAME") == login
    secrets = next(volume for volume in spec["volumes"] if volume["name"] == "secrets")
    sources = [each["secret"] for each in secrets.get("projected", {}).get("sources", ())]
    assert [each["items"] for each in sources if each["name"] == login] == (
        [[{"key": "password", "path": given["SEGSTREAM_KAFKA_PASSWORD_FILE"].rsplit("/", 1)[-1]}]]
        if login
        else []
    )


def _named(settings: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("SEGSTREAM_").lower(): value for name, value in settings.items()}


def test_the_jobs_it_deletes_are_all_there_are() -> None:
    """A Job that stays would refuse the next version of itself."""
    (names,) = re.findall(r"delete job ([\w -]+?) --ignore-not-found", TEXT)
    for name in names.split():
        assert one("production", "Job", name)
    assert len(names.split()) == 2
