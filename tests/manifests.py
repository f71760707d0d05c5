"""The Kubernetes manifests as Kustomize renders them. ``python -m tests.manifests`` renders them anew.

They are kept under ``deploy/kubernetes/rendered``, so that they can be read, and tested, where there is no Kustomize;
each says from which sources it was made.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

ROOT: Final = Path(__file__).parents[1]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
RENDERED: Final = KUBERNETES / "rendered"
OVERLAYS: Final = ("dev", "production", "strimzi")

_RENDER_SECONDS: Final = 60
_HEAD: Final = """\
# Made by `python -m tests.manifests` from deploy/kubernetes/overlays/{overlay}: change that.
# sources: {digest}
"""

Document = dict[str, Any]


def read_yaml(text: str) -> list[Document]:
    """Return the documents in a text."""
    return [document for document in YAML(typ="safe", pure=True).load_all(text) if document]


def sources() -> str:
    """Return one digest of all that goes into the rendered manifests."""
    digest = hashlib.sha256()
    for file in sorted(KUBERNETES.rglob("*")):
        if file.is_file() and RENDERED not in file.parents:
            digest.update(f"{file.relative_to(KUBERNETES).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def kustomize() -> list[str] | None:
    """Return the command that renders a folder, None where there is none."""
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0]):
            return command
    return None


def render(overlay: str) -> str:
    """Render an overlay; only where there is a `kustomize`.

    Raises
    ------
    subprocess.CalledProcessError
        Kustomize refuses it.
    """
    command = kustomize()
    if command is None:
        raise FileNotFoundError("neither kustomize nor kubectl is on PATH; install one of them")
    return subprocess.run(
        [*command, str(KUBERNETES / "overlays" / overlay)],
        capture_output=True, text=True, timeout=_RENDER_SECONDS, check=True,
    ).stdout  # fmt: skip


def kept(overlay: str) -> str:
    """Return the rendered manifests as they are checked in."""
    return (RENDERED / f"{overlay}.yaml").read_text(encoding="utf-8")


def made_from(text: str) -> str:
    """Return the digest of the sources that a rendered text names."""
    found = re.search(r"^# sources: (\w+)$", text, re.MULTILINE)
    assert found, "no digest"
    return found[1]


def documents(overlay: str) -> list[Document]:
    """Return the objects of an overlay."""
    return read_yaml(kept(overlay))


def one(overlay: str, kind: str, name: str) -> Document:
    """Return the object of this kind with this name, or the only one whose name begins so: Kustomize adds hashes."""
    begun = {
        document["metadata"]["name"]: document
        for document in documents(overlay)
        if document["kind"] == kind and document["metadata"]["name"].startswith(name)
    }
    if name in begun:
        return begun[name]
    (found,) = begun.values()
    return found


def pods(overlay: str) -> Iterator[tuple[str, Document]]:
    """Yield each pod's name and template."""
    for document in documents(overlay):
        if template := document.get("spec", {}).get("template"):
            yield document["metadata"]["name"], template


def main() -> None:
    """Render all of them."""
    RENDERED.mkdir(exist_ok=True)
    digest = sources()
    for overlay in OVERLAYS:
        head = _HEAD.format(overlay=overlay, digest=digest)
        (RENDERED / f"{overlay}.yaml").write_text(head + render(overlay), encoding="utf-8")


if __name__ == "__main__":
    main()
