"""Failpoints: refused where nobody asked for them twice, and fatal where they are meant to be."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from segstream.adapters.failpoints import FREEZES, POINTS, arm
from segstream.errors import SettingsError
from segstream.settings import load_settings


def test_a_failpoint_alone_is_refused() -> None:
    """One variable that slipped into production does not make a worker kill itself."""
    with pytest.raises(SettingsError, match="SEGSTREAM_FAILPOINT is set: the worker would kill itself"):
        load_settings(failpoint="after-commit:1")
    assert load_settings(failpoint="after-commit:1", failpoint_allowed=True).failpoint == "after-commit:1"


@pytest.mark.parametrize("text", ["after-commit", "after-commit:0", "after-commit:x", ":1"])
def test_a_failpoint_is_a_point_and_a_passage(text: str) -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match="SEGSTREAM_FAILPOINT: String should match pattern"):
        load_settings(failpoint=text, failpoint_allowed=True)


def test_a_point_that_does_not_exist_is_named_with_those_that_do() -> None:
    """So that a test does not wait for a death that cannot come."""
    with pytest.raises(
        SettingsError, match="no point after-lunch; write one of after-fetch, after-load, in-reply"
    ):
        arm("after-lunch:1")


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own: what is armed stays armed."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_process_dies_at_the_passage_that_is_meant_and_not_before() -> None:
    """By SIGKILL: nothing is tidied up."""
    done = run("""
import asyncio
from segstream.adapters.failpoints import arm
from segstream.adapters.redis.state import RedisStateStore
from segstream.adapters.redis.connection import connect
arm("after-load:3")
store = RedisStateStore(connect("redis://127.0.0.1:1/0"), 0, "x")
for number in (1, 2, 3):
    print(number, flush=True)
    asyncio.run(store.load([]))
print("alive", flush=True)
""")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.split() == ["1", "2", "3"]


def test_a_clock_can_be_stepped_while_the_monotonic_one_goes_on() -> None:
    """As NTP or an operator does it."""
    done = run("""
import os, signal, time
from segstream.adapters.failpoints import arm
from segstream.tally import wall_clock
arm("clock:3600")
steps, began = [wall_clock()], time.monotonic()
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2):
    os.kill(os.getpid(), number)
    steps.append(wall_clock())
assert time.monotonic() - began < 3600
print(*[round((after - before) / 3_600_000) for before, after in zip(steps, steps[1:])])
""")
    assert done.stdout == "1 -1 -1\n", done.stderr


def test_every_point_can_be_armed() -> None:
    """What they put themselves around is there."""
    points = [*POINTS, *FREEZES]
    done = run(f"""
from segstream.adapters.failpoints import arm
for point in {points}:
    arm(f"{{point}}:1")
print("armed")
""")
    assert done.stdout == "armed\n", done.stderr
