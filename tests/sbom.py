"""The software bill of materials of what goes into the image: ``python -m tests.sbom dist/segstream.cdx.json``.

CycloneDX's own program writes two: of the lock file, which knows the files and their hashes, and of the environment made
from it, which knows licences and who depends on whom. This puts them together, for the packages of the worker's lock
file that this Python and platform install; build it with the Python of the image.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "deploy" / "requirements-worker.lock"

Document = dict[str, Any]


def locked(lock: Path = LOCK) -> dict[NormalizedName, str]:
    """Return name and version of each package of a lock file that is for this Python and platform."""
    found: dict[NormalizedName, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                (version,) = requirement.specifier
                found[canonicalize_name(requirement.name)] = version.version
    return found


def bill() -> Document:
    """Return the bill.

    Raises
    ------
    LookupError
        A package is locked and not installed here, or in another version: run ``make setup``.
    """
    wanted = locked()
    document = _cyclonedx("environment", "--pyproject", str(ROOT / "pyproject.toml"), sys.prefix)
    installed = {canonicalize_name(each["name"]): each for each in document["components"]}
    files = {
        (canonicalize_name(each["name"]), each["version"]): each.get("externalReferences", [])
        for each in _cyclonedx("requirements", str(LOCK))["components"]
    }
    chosen: list[Document] = []
    for name, version in wanted.items():
        component = installed.get(name)
        if component is None or component["version"] != version:
            raise LookupError(f"{name} {version} is locked, but not what is installed; run `make setup`")
        component.setdefault("externalReferences", []).extend(files[name, version])
        chosen.append(component)
    known = {component["bom-ref"] for component in chosen} | {document["metadata"]["component"]["bom-ref"]}
    document["components"] = chosen
    document["dependencies"] = [
        each | {"dependsOn": [ref for ref in each.get("dependsOn", []) if ref in known]}
        for each in document["dependencies"]
        if each["ref"] in known
    ]
    return document


def _cyclonedx(*words: str) -> Document:
    program = Path(sys.executable).with_name("cyclonedx-py")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sbom.json"
        subprocess.run(
            [
                program,
                words[0],
                "--output-reproducible",
                "--no-validate",
                "--of",
                "JSON",
                "-o",
                file,
                *words[1:],
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found: Document = json.loads(file.read_bytes())
        return found


def main(place: Path) -> None:
    """Write it."""
    document = bill()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"{place}: {len(document['components'])} packages")  # noqa: T201 - what the command says


if __name__ == "__main__":
    main(Path(sys.argv[1]))
