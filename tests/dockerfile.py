"""A Dockerfile's steps, taken in folders of this machine: what can be tried of an image without a container engine.

Each stage is a folder that stands for the root of a file system; commands run on this machine, with the folders that
the stage makes in place of those they name. The base image, its users and its other contents have no counterpart.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
DOCKERFILE: Final = ROOT / "deploy" / "Dockerfile"
IGNORE: Final = ROOT / ".dockerignore"

FOLDERS: Final = ("/build", "/opt/segstream")
"""The folders that the steps may name: any other would be one of this machine's."""

_STEP_SECONDS: Final = 300


class Step(NamedTuple):
    """One instruction: its name in capitals, and the rest of its line."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Return the rest as words, or as the list that it is in JSON."""
        found: list[str] = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return found


@dataclass
class Stage:
    """From one ``FROM`` to the next."""

    image: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def all(self, name: str) -> list[Step]:
        """Return its instructions of one name."""
        return [step for step in self.steps if step.name == name]

    def last(self, name: str) -> Step:
        """Return the one that counts."""
        return self.all(name)[-1]


def parse(text: str) -> tuple[list[Step], list[Stage]]:
    r"""Return what comes before the first stage, and the stages.

    Knows comments, continued lines and both forms of arguments; no here-documents, no other escape character.

    Examples
    --------
    >>> before, (stage,) = parse("ARG A=1\nFROM x:${A} AS y\nRUN a \\\n  # why\n  b")
    >>> stage.image, stage.name, stage.steps
    ('x:1', 'y', [Step(name='RUN', text='a b')])
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", "\n".join(lines))
    before: list[Step] = []
    stages: list[Stage] = []
    for line in joined.splitlines():
        name, _, rest = line.strip().partition(" ")
        step = Step(name.upper(), rest.strip())
        if step.name == "FROM":
            given = {key: value for key, _, value in (each.text.partition("=") for each in before)}
            words = _filled(step.text, given).split()
            stages.append(Stage(words[0], words[2] if len(words) > 2 else ""))
        else:
            (stages[-1].steps if stages else before).append(step)
    return before, stages


def ignored(path: str, patterns: str) -> bool:
    r"""Tell whether a path of the context is left out: the last pattern that fits it, or a folder it is in, decides.

    Examples
    --------
    >>> [ignored(path, "*\n!worker\n**/*.pyc") for path in ("README.md", "worker/a/b.py", "worker/a/b.pyc")]
    [True, False, True]
    """
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    found = False
    for line in patterns.splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            keep = pattern.startswith("!")
            if any(re.fullmatch(_expression(pattern.removeprefix("!")), each) for each in above):
                found = not keep
    return found


class Image:
    """What an image would hold, in folders.

    Parameters
    ----------
    folder : Path
        An empty one.
    python : Path
        The interpreter that stands for the base image's.
    dockerfile : str
        Its text.

    Attributes
    ----------
    root : Path
        The last stage's file system.
    environment : dict of str to str
        What the last stage sets.
    not_run : list of Step
        The last stage's commands: they change the base image, of which there is none here.
    """

    def __init__(self, folder: Path, python: Path, dockerfile: str) -> None:
        self._folder, self._stages = folder, parse(dockerfile)[1]
        self._base = folder / "base"
        self._base.mkdir()
        (self._base / "python").symlink_to(python)
        # The same for every stage: a virtual environment names its own place.
        self.root = folder / "root"
        self.environment: dict[str, str] = {}
        self.not_run: list[Step] = []

    @property
    def final(self) -> Stage:
        """The last stage."""
        return self._stages[-1]

    def build(self) -> None:
        """Take all steps.

        Raises
        ------
        subprocess.CalledProcessError
            A command fails; with its output as a note.
        """
        for stage in self._stages:
            self.root.mkdir()
            self.environment = {}
            self._build(stage)
            if stage is not self.final:
                self.root.rename(self._folder / f"stage-{stage.name}")

    def command(self, words: list[str]) -> list[str]:
        """Return a command with its program as the last stage finds it."""
        program = shutil.which(words[0], path=self.variables()["PATH"])
        assert program, f"{words[0]} is not on the image's PATH"
        return [program, *words[1:]]

    def variables(self) -> dict[str, str]:
        """Return the environment of a container: nothing of this machine's but how to reach package indexes."""
        kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        kept |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        return kept | {"PATH": self._path, "HOME": "/nonexistent", "LANG": "C.UTF-8"} | self.environment

    @property
    def _path(self) -> str:
        return f"{self._base}:/usr/bin:/bin"

    def _build(self, stage: Stage) -> None:
        where = self.root
        for step in stage.steps:
            if step.name == "ENV":
                for name, value in (word.split("=", 1) for word in step.words()):
                    self.environment[name] = self._here(_filled(value, {"PATH": self._path}))
            elif step.name == "WORKDIR":
                where = self.root / step.text.lstrip("/")
                where.mkdir(parents=True, exist_ok=True)
            elif step.name == "COPY":
                self._copy(step.words(), where)
            elif step.name == "RUN" and stage is self.final:
                self.not_run.append(step)
            elif step.name == "RUN":
                self._run(step.text, where)

    def _run(self, command: str, where: Path) -> None:
        variables = self.variables()
        # An image must not carry pip's cache; here it spares the network.
        variables.pop("PIP_NO_CACHE_DIR", None)
        variables["HOME"] = os.environ.get("HOME", "/nonexistent")
        done = subprocess.run(
            ["/bin/sh", "-ec", self._here(command)],
            cwd=where, env=variables, capture_output=True, text=True, timeout=_STEP_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"RUN {command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"

    def _copy(self, words: list[str], where: Path) -> None:
        stage = ""
        if words[0].startswith("--from="):
            stage = words.pop(0).removeprefix("--from=")
        *sources, target = words
        there = self.root / target.lstrip("/") if target.startswith("/") else where / target
        for source in sources:
            if stage:
                shutil.copytree(self._folder / f"stage-{stage}" / source.lstrip("/"), there, symlinks=True)
                continue
            found = False
            for file, name in _context(source):
                found = True
                into = there / name if name != "." else there / file.name
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, into)
            assert found, f"COPY {source}: nothing in the context"

    def _here(self, text: str) -> str:
        """Return a text with the folders of the image in place of those it names."""
        names = "|".join(map(re.escape, FOLDERS))
        return re.sub(rf"(?<![\w./])({names})(?=[/\s:]|$)", rf"{self.root}\1", text)


def _context(source: str) -> Iterator[tuple[Path, str]]:
    """Yield what a ``COPY`` takes from the context: each file, and its path below the folder that was named."""
    patterns, there = IGNORE.read_text(), ROOT / source
    files = [there] if there.is_file() else sorted(there.rglob("*"))
    for file in files:
        if file.is_file() and not ignored(file.relative_to(ROOT).as_posix(), patterns):
            yield file, file.relative_to(there).as_posix()


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with variables filled in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], ""), text)


def _expression(pattern: str) -> str:
    """Return a pattern of .dockerignore as a regular expression."""
    parts = re.split(r"(\*\*/|\*|\?)", pattern.strip("/"))
    wild = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)
