"""The bill of materials that `make sbom` writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.sbom import LOCK, ROOT, locked


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the target's command writes."""
    recipe = re.search(
        r"^\t\$\(BIN\)/python (-m tests\.sbom) ", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert recipe is not None
    file = tmp_path_factory.mktemp("dist") / "below" / "sbom.json"
    subprocess.run([sys.executable, *recipe[1].split(), file], cwd=ROOT, check=True, timeout=120)
    return json.loads(file.read_bytes())


def test_it_is_valid_cyclonedx(bill: Any) -> None:
    """By the schema of the version that it names; of some packages, since all would take seven seconds."""
    assert bill["specVersion"] == "1.6"
    some = json.dumps(bill | {"components": bill["components"][::10]})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(some) is None


def test_every_locked_package_is_in_it_with_version_licence_and_hashes(bill: Any) -> None:
    """And nothing else: no tool of development goes into the image."""
    found = {canonicalize_name(each["name"]): each for each in bill["components"]}
    assert {name: each["version"] for name, each in found.items()} == locked()
    assert {"aiokafka", "faust-streaming", "redis", "river"} <= set(found)
    assert not {"pytest", "ruff", "cyclonedx-bom"} & set(found)
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", LOCK.read_text(encoding="utf-8")))
    for name, each in found.items():
        kind, _, place = each["purl"].partition("/")
        assert (kind, canonicalize_name(place)) == (
            "pkg:pypi",
            canonicalize_name(f"{name}@{each['version']}"),
        )
        assert each["licenses"], name
        known = [
            digest["content"] for other in each["externalReferences"] for digest in other.get("hashes", [])
        ]
        assert known, name
        assert set(known) <= hashes, name


def test_it_says_what_it_is_of_and_who_depends_on_whom(bill: Any) -> None:
    """The program's own name, version and licence at the root of the graph; no path of the machine that wrote it."""
    root = bill["metadata"]["component"]
    assert (root["name"], root["licenses"][0]["license"]["id"]) == ("segstream", "Apache-2.0")
    graph = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert any(ref.startswith("aiokafka==") for ref in graph[root["bom-ref"]])
    assert {ref for refs in graph.values() for ref in refs} <= set(graph)
    assert str(ROOT) not in json.dumps(bill)
