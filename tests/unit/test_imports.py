"""Imports go one way, and importing does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from importlinter import cli

ROOT = Path(__file__).parents[2]

# Imports every module of both packages while Python reports what is opened.
WATCH = r'''
import importlib, json, pkgutil, sys, threading

WATCHED = {"socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.mkdir"}
seen, current = {}, "?"

def ours():
    """Whether our code is the nearest on the stack: libraries do as they like when imported."""
    frame = sys._getframe(2)
    while frame:
        name = frame.f_code.co_filename
        if "site-packages" in name or "segstream" in name:
            return "site-packages" not in name
        frame = frame.f_back
    return False

def hook(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if (writes or event in WATCHED) and ours():
        seen.setdefault(current, []).append(f"{event} {arguments[0]!r}")

sys.addaudithook(hook)
names = []
for top in ("segstream_schemas", "segstream"):
    current = top
    package = importlib.import_module(top)
    names += [top, *(found.name for found in pkgutil.walk_packages(package.__path__, top + "."))]
for current in names:
    if not current.endswith("__main__"):
        importlib.import_module(current)
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
print(json.dumps({"modules": names, "opened": seen, "threads": threads}))
'''

# As if only `pip install segstream` had been run: the base dependencies and no extra.
WITHOUT_EXTRAS = """
import sys
for name in ("aiokafka", "confluent_kafka", "faust", "lark", "msgpack", "mode", "numpy", "orjson", "prometheus_client",
             "pydantic_settings", "rich", "river", "ruamel", "structlog", "typer"):
    sys.modules[name] = None
"""


def test_imports_go_one_way() -> None:
    """The contracts in pyproject.toml hold: the rooms' order, and who may import which library."""
    assert (
        cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
        == cli.EXIT_STATUS_SUCCESS
    )


def test_importing_any_module_opens_nothing() -> None:
    """No socket, no file for writing, no process, no thread, whichever module is imported."""
    done = subprocess.run([sys.executable, "-B", "-c", WATCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert "segstream.local.redis" in report["modules"]
    assert report["opened"] == {}
    assert report["threads"] == []


def test_without_the_extra_the_command_says_what_to_install() -> None:
    """`pip install segstream` alone has the command, for its one line of advice."""
    program = f"{WITHOUT_EXTRAS}\nfrom segstream.cli import main\nsys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'segstream[worker]'" in done.stderr


def test_who_only_reads_needs_no_extra() -> None:
    """Every module of segstream_schemas is imported with pydantic and redis alone."""
    program = f"""{WITHOUT_EXTRAS}
import importlib, pkgutil, segstream_schemas
for found in pkgutil.walk_packages(segstream_schemas.__path__, "segstream_schemas."):
    importlib.import_module(found.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
