"""The wheel as a service installs it that only reads: without extras, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from redis import Redis

from segstream_schemas import ReadModelKeys
from tests.schemas import ROOT

pytestmark = pytest.mark.integration

HEAVY: Final = ("aiokafka", "faust", "mode", "numpy", "orjson", "river", "structlog", "typer")
_SECONDS: Final = 120

READ: Final = """
import importlib.util, json, sys
import segstream
from segstream import SegmentReader

url, prefix = sys.argv[1:]
with SegmentReader.from_url(url, prefix=prefix) as reader:
    found = {
        "segments": {name: held.since.isoformat() for name, held in reader.segments_of("00042").items()},
        "features": reader.features_of("00042"),
        "in": reader.in_segment("00042", "loyal"),
        "many": sorted(reader.many(["00042", "7"])),
        "members": [member.user_id for member in reader.members("loyal")],
        "sizes": reader.sizes(),
    }
try:
    segstream.ChangeConsumer("localhost:1")
except ModuleNotFoundError as error:
    found["consumer"] = str(error)
missing = object()
unknown = getattr(segstream, "no_such_name", missing) is missing
found["names"] = unknown and all(hasattr(segstream, name) for name in segstream.__all__)
found["found"] = [name for name in HEAVY if importlib.util.find_spec(name)]
found["where"] = segstream.__file__
print(json.dumps(found))
"""


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command away from the repository, with nothing of ours in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        env=clean,
        **options,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, with the build backend that is installed: no network."""
    place = tmp_path_factory.mktemp("wheel")
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    built = run(sys.executable, "-m", "pip", "wheel", *flags, "--wheel-dir", place, ROOT, cwd=place)
    assert built.returncode == 0, built.stderr
    (found,) = place.glob("segstream-*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with the wheel and what its metadata asks for without extras; return its folder."""
    place = tmp_path_factory.mktemp("environment")
    made = run(sys.executable, "-m", "venv", "--without-pip", place)
    assert made.returncode == 0, made.stderr
    pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python", "--disable-pip-version-check")
    installed = run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=place)
    assert installed.returncode == 0, installed.stderr
    (packages,) = place.glob("lib/python*/site-packages")
    (own,) = packages.glob("segstream-*.dist-info")
    for needed in required(PathDistribution(own)):
        copy(needed, packages)
    return place


def required(of: Distribution) -> Iterator[Distribution]:
    """Yield what a distribution needs without extras, and what that needs in turn, as installed here."""
    waiting, known = [of], set[str]()
    while waiting:
        for line in waiting.pop().requires or ():
            requirement = Requirement(line)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and requirement.name not in known:
                known.add(requirement.name)
                found = distribution(requirement.name)
                waiting.append(found)
                yield found


def copy(package: Distribution, packages: Path) -> None:
    """Copy an installed distribution's files."""
    for file in package.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), packages / file)


def test_both_packages_are_in_the_wheel_with_their_types(wheel: Path) -> None:
    """And nothing of the tests, nor a package of a name that others may have."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {"segstream/py.typed", "segstream_schemas/py.typed"} <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"segstream", "segstream_schemas"}


def test_segments_are_read_without_any_extra(environment: Path, redis_url: str, redis_prefix: str) -> None:
    """By `import segstream` alone; no Faust, River, numpy or aiokafka is there."""
    keys = ReadModelKeys(redis_prefix)
    since = "1997-06-11T00:00:00.001Z"
    with Redis.from_url(redis_url) as client:
        client.hset(
            keys.user("00042"),
            mapping={
                "v": "1:9",
                "sequence": "7",
                "as_of": since,
                "definitions_version": "3",
                "model_version": "{}",
                "s:loyal": json.dumps({"since": since, "expires_at": None}),
                "f:orders": "2",
            },
        )
        client.zadd(keys.members("loyal", 1), {"00042": 865_987_200_001})
        catalog = {"schema_version": "1", "partitions": "2", "definitions_version": "3"}
        client.hset(keys.catalog, mapping=catalog | {"segment:loyal": '{"kind": "rule", "label": "Loyal"}'})
    done = run(
        environment / "bin" / "python", "-c", f"{HEAVY = }\n{READ}", redis_url, redis_prefix, cwd=environment
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found.pop("where")).is_relative_to(environment)
    assert found == {
        "segments": {"loyal": "1997-06-11T00:00:00.001000+00:00"},
        "features": {"orders": 2},
        "in": True,
        "many": ["00042", "7"],
        "members": ["00042"],
        "sizes": {"loyal": 1},
        "consumer": "aiokafka is not installed: pip install 'segstream[consumer]'",
        "names": True,
        "found": [],
    }


def test_without_extras_the_command_says_what_to_install(environment: Path) -> None:
    """One line, no traceback, exit code 1."""
    done = run(environment / "bin" / "segstream", "version", cwd=environment)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'segstream[worker]'" in done.stderr
