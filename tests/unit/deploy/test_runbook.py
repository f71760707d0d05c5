"""deploy/README.md: what it names is there, and it has an answer to every alert."""

from __future__ import annotations

import re
from typing import Final

from tests.manifests import OVERLAYS, ROOT, one, read_yaml

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


def test_the_jobs_it_deletes_are_all_there_are() -> None:
    """A Job that stays would refuse the next version of itself."""
    (names,) = re.findall(r"delete job ([\w -]+?) --ignore-not-found", TEXT)
    for name in names.split():
        assert one("production", "Job", name)
    assert len(names.split()) == 2
