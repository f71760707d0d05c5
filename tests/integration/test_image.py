"""The image, as far as it goes without a container engine: the Dockerfile's steps taken in folders, and run from there.

What is not tried by this: the base image, and that an engine takes the steps as they are taken here.
"""

from __future__ import annotations

import ast
import asyncio
import http
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from segstream.local.ports import LOOPBACK, free_port
from tests.checker import stories
from tests.deployments import SHOP, Deployments, orders
from tests.dockerfile import DOCKERFILE, ROOT, Image
from tests.manifests import one
from tests.workers import applied, send

PARTITIONS = 2
WAIT = 90

pytestmark = pytest.mark.timeout(600)
"""The first one takes the Dockerfile's steps: half a minute with pip's cache and two idle cores, more without."""

LOCK = ROOT / "deploy" / "requirements-worker.lock"


class Containers:
    """Starts processes as the image would: its environment, its user where we may change to it, a root of no interest.

    Parameters
    ----------
    image : Image
    user : int or None
        None where this process may not change its user.
    """

    def __init__(self, image: Image, user: int | None) -> None:
        self.image, self._user = image, user

    def run(
        self, words: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.image.command([*words]), **self._options(settings), capture_output=True, text=True,
            timeout=WAIT, check=False,
        )  # fmt: skip

    @contextmanager
    def started(
        self, words: Sequence[str], settings: Mapping[str, str], log: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command, and kill it at the end if it still runs."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.image.command([*words]), **self._options(settings), stdout=output, stderr=output
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _options(self, settings: Mapping[str, str] | None) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": "/", "env": self.image.variables() | dict(settings or {})}
        if self._user is not None:
            options |= {"user": self._user, "group": self._user, "extra_groups": []}
        return options


def _interpreter(user: int | None) -> Path:
    """Return one of this Python's version that the user may run."""
    own = sys._base_executable  # type: ignore[attr-defined]  # the one below this environment
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in filter(None, (shutil.which(name, path="/usr/local/bin:/usr/bin"), own)):
        # Debian has venv without what it needs in a package of its own.
        tried = subprocess.run(
            [python, "-c", "import ensurepip, venv"], cwd="/", user=user, capture_output=True, check=False, env={}
        )  # fmt: skip
        if tried.returncode == 0:
            return Path(python)
    return Path(own)


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """Take the Dockerfile's steps."""
    # Not pytest's folders: those are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="segstream-image-"))
    try:
        folder.chmod(0o755)
        dockerfile = DOCKERFILE.read_text(encoding="utf-8")
        user = int(re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE)[-1]) if os.geteuid() == 0 else None
        image = Image(folder, _interpreter(user), dockerfile)
        image.build()
        yield Containers(image, user)
    finally:
        shutil.rmtree(folder)


def test_the_image_tells_its_version(containers: Containers) -> None:
    """By the command that is its entry point, found on its PATH."""
    done = containers.run([*containers.image.final.last("ENTRYPOINT").words(), "version", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["segstream"] == "0.1.0"


def test_the_image_holds_what_is_locked_and_nothing_else(containers: Containers) -> None:
    """Every distribution in its environment is in the lock in that version: no installer, no build tool."""
    code = "import json; from importlib.metadata import distributions as d; print(json.dumps([[x.name, x.version] for x in d()]))"
    found = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in json.loads(
        containers.run(["python", "-c", code]).stdout)}  # fmt: skip
    locked = set(re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    assert found.pop("segstream") == "0.1.0"
    assert set(found.items()) <= locked
    # Those that are missing belong to another platform or version of Python.
    conditional = set(re.findall(r"^([\w.-]+)==\S+ ;", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name for name, _ in locked} - set(found) <= conditional


def test_the_last_stage_only_takes_from_the_base_image(containers: Containers) -> None:
    """Its commands are not run here, so there must be no other than the one that removes pip."""
    assert [step.text.split()[:4] for step in containers.image.not_run] == [
        ["python", "-m", "pip", "uninstall"]
    ]


def test_a_worker_from_the_image_says_in_one_line_that_kafka_is_not_there(containers: Containers) -> None:
    """And ends with 1, as any other: nothing that it needs to say so is missing."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    settings = {"SEGSTREAM_KAFKA": nowhere, "SEGSTREAM_WEB_PORT": "0", "SEGSTREAM_LOG_LEVEL": "ERROR"}
    done = containers.run(["segstream", "worker"], settings)
    assert done.returncode == 1
    assert nowhere in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


async def test_a_worker_from_the_image_does_its_work_and_answers_the_probes(
    containers: Containers, deployments: Deployments, tmp_path: Path
) -> None:
    """Events become changes; the manifests' probes and the image's own check are answered; SIGTERM ends it with 0."""
    events = await deployments.inputs("events", partitions=PARTITIONS)
    scene = await deployments.scene("image", events, PARTITIONS)
    # Anybody may read it, as a mounted ConfigMap.
    definitions = containers.image.root / "definitions.yaml"
    definitions.write_text(SHOP)
    port = free_port()
    settings = scene.environment(definitions, web_port=port, web_host=LOOPBACK)
    await send(scene, orders(500, seed=1))
    log = tmp_path / "worker.log"
    entry = containers.image.final
    command = entry.last("ENTRYPOINT").words() + entry.last("CMD").words()
    with containers.started(command, settings, log) as process:
        await applied(scene, [], WAIT)
        probed = one("production", "StatefulSet", "segstream")["spec"]["template"]["spec"]["containers"][0]
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            await asyncio.to_thread(
                _answered, f"http://{LOOPBACK}:{port}{probed[name]['httpGet']['path']}", log
            )
        check = entry.last("HEALTHCHECK").text
        done = await asyncio.to_thread(containers.run, ast.literal_eval(check[check.index("[") :]), settings)
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, WAIT) == 0, log.read_text()
    assert await stories(scene)
    # With nobody there the check fails.
    done = containers.run(ast.literal_eval(check[check.index("[") :]), settings)
    assert done.returncode != 0


def _answered(url: str, log: Path) -> None:
    """Ask until the answer is 200."""
    deadline = time.monotonic() + WAIT
    while (answer := _status(url)) != http.HTTPStatus.OK:
        if time.monotonic() > deadline:
            pytest.fail(f"{url}: {answer}\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


def _status(url: str) -> int | str:
    """Return the status of the answer, or why there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)
