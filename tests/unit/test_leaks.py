"""The watch over all logs and outputs of the tests can fail: each kind of leak, planted, fails a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import PERSON, found, look, secret

HEAD = """
import asyncio, logging, subprocess, sys
import pytest
from tests.leaks import PERSON, secret
from tests.workers import Worker

PASSWORD = secret()
"""
LEAKS = {
    "print": "def test_it():\n    print(PASSWORD)\n",
    "logging": "def test_it():\n    logging.getLogger('x').warning('login %s', PASSWORD)\n",
    "logging of a person": "def test_it():\n    logging.getLogger('x').warning('user %s', PERSON + '7')\n",
    "a command": "def test_it(capsys):\n    print(PASSWORD)\n    assert PASSWORD in capsys.readouterr().out\n",
    "a program": (
        "def test_it():\n    subprocess.run([sys.executable, '-c', f'print({PASSWORD!r})'], capture_output=True)\n"
    ),
    "a coroutine's program": (
        "def test_it():\n"
        "    async def run():\n"
        "        pipe = asyncio.subprocess.PIPE\n"
        "        words = (sys.executable, '-c', f'print({PASSWORD!r})')\n"
        "        process = await asyncio.create_subprocess_exec(*words, stdout=pipe)\n"
        "        await process.communicate()\n"
        "    asyncio.run(run())\n"
    ),
    "a worker": (
        "def test_it():\n"
        "    with Worker({'SEGSTREAM_KAFKA': PERSON + '7'}) as worker:\n"
        "        assert worker.child.wait(60)\n"
    ),
}
CLEAN = """
def test_it(capsys):
    logging.getLogger('x').debug('user %s', PERSON + '7')
    print(PERSON + '7')
    assert PERSON in capsys.readouterr().out
    subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True)
"""


def run(folder: Path, tests: dict[str, str]) -> str:
    """Run tests in a pytest of their own, with the plugin, and return what it says."""
    for number, text in enumerate(tests.values()):
        (folder / f"test_{number}.py").write_text(HEAD + text)
    (folder / "conftest.py").write_text(
        "from tests.leaks import Watch\n\ndef pytest_configure(config):\n    config.pluginmanager.register(Watch())\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            folder,
            folder,
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((root, os.environ.get("PYTHONPATH", "")))},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    found.clear()  # this run's own watch sees what that one says of what was planted
    return done.stdout


def test_each_planted_leak_fails_its_test(tmp_path: Path) -> None:
    """Passwords anywhere, people in what is logged; as an error after the test, with the line."""
    said = run(tmp_path, LEAKS)
    for number, name in enumerate(LEAKS):
        assert f"ERROR test_{number}.py::test_it" in said, f"{name}\n{said}"
    assert said.count("a secret, ") >= len(LEAKS) - 2
    assert said.count("a person, ") >= 2
    assert f"{len(LEAKS)} passed, {len(LEAKS)} errors" in said


def test_what_may_be_said_fails_nothing(tmp_path: Path) -> None:
    """People at DEBUG, and in what a command answers."""
    assert "1 passed in" in run(tmp_path, {"clean": CLEAN})


@pytest.mark.parametrize(
    ("line", "log", "leak"),
    [
        ("{}", False, True),
        ("{}", True, True),
        ('{"level": "debug", "event": "{}"}', True, True),
        (f"{PERSON}1", False, False),
        (f"{PERSON}1", True, True),
        ("key u0042 moved", True, True),
        ("message u-17 again", True, True),
        ('{"level": "debug", "user": "u0042"}', True, False),
        ("2026-01-31T12:00:00Z [debug    ] user=u0042", True, False),
        ("partition 3 of 12, offset 42, test-u0042a-topic", True, False),
    ],
)
def test_lines_are_told_apart(line: str, log: bool, leak: bool) -> None:  # noqa: FBT001 - parametrised
    """A secret is one at any level; a person only above DEBUG, and only in a log."""
    look(line.replace("{}", secret(), 1) if "{}" in line else line, "here", log=log)
    seen, found[:] = list(found), []
    assert bool(seen) is leak
